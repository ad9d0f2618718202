"""Receptive fields along one axis: by recursion, and exactly, path by path, with the borders.

A stack is a sequence of windows, the first of them next to the input. The field in a picture is the product
of the fields along its two axes.
"""

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from worked.convolution.window import TransposedWindow, Window

Stack = Sequence[Window | TransposedWindow]


class Reach(NamedTuple):
    """Output i of a layer reads inputs from ``start + i * jump`` on, ``size`` of them from first to last."""

    size: int
    jump: int
    start: int

    def interval(self, i: int) -> tuple[int, int]:
        """The first and the last input of output i; outside the picture they are padding."""
        first = self.start + i * self.jump
        return first, first + self.size - 1


def recursion(stack: Stack) -> list[Reach]:
    r"""The reach after 0, 1, ..., L layers of a stack without transposed convolutions.

    .. math:: r_l = r_{l-1} + d_l (k_l - 1) j_{l-1}, \quad j_l = s_l j_{l-1}, \quad
              a_l = a_{l-1} - p_l j_{l-1}

    from r_0 = j_0 = 1, a_0 = 0: size r, jump j (inputs between the fields of neighbours), start a.

    Known value: three times (kernel 5, padding 2; then kernel 2, stride 2) gives 36, 8 and -14.
    Raises ValueError on a transposed convolution, whose outputs have fields of different sizes: see `widest`.
    Source: Araujo et al. 2019, doi:10.23915/distill.00021. Taught in: convolution/shapes-and-fields,
    thm-fields-recursion.
    """
    reaches = [Reach(1, 1, 0)]
    for window in stack:
        if not isinstance(window, Window):
            raise ValueError(f"want convolutions and pooling only, got {window}")
        size, jump, start = reaches[-1]
        size += (window.extent - 1) * jump
        start -= window.padding * jump
        reaches.append(Reach(size, jump * window.stride, start))
    return reaches


def sizes(stack: Stack, n: int) -> list[int]:
    """The sizes n_0 = n, n_1, ..., n_L. Raises ValueError where a kernel does not fit."""
    out = [n]
    for window in stack:
        out.append(window.size(out[-1]))
    return out


def paths(stack: Stack, n: int, at: int) -> Float64[Tensor, " n"]:
    """How many paths lead from each of n inputs to output ``at``; padding, in whatever layer, ends a path.

    Exact as long as counts stay below 2^53. Known value: two windows of kernel 3 and padding 1, n = 5,
    output 0: 2, 2, 1, 0, 0; without the border it would be 3, 2, 1 from input 0 on.
    Raises ValueError if there is no output ``at``.
    """
    every = sizes(stack, n)
    if not 0 <= at < every[-1]:
        raise ValueError(f"want an output in 0..{every[-1] - 1}, got {at}")
    counts = Counter({at: 1})
    for window, size in zip(reversed(stack), every[-2::-1], strict=True):
        counts = _back(window, counts, size)
    out = torch.zeros(n, dtype=torch.float64)
    for place, count in counts.items():
        out[place] = count
    return out


def _back(window: Window | TransposedWindow, counts: Counter[int], size: int | None = None) -> Counter[int]:
    """Counts of paths one layer nearer to the input; with no size, on an axis without ends."""
    before: Counter[int] = Counter()
    for place, count in counts.items():
        for q in window.reads(place):
            if size is None or 0 <= q < size:
                before[q] += count
    return before


def field(stack: Stack, n: int, at: int) -> list[int]:
    """The inputs on which output ``at`` may depend, in order: those from which a path leads to it.

    Known value: two windows of kernel 3, dilation 2, no padding, n = 9, output 0: 0, 2, 4, 6, 8.
    """
    return paths(stack, n, at).nonzero()[:, 0].tolist()


def span(places: Sequence[int]) -> int:
    """From the first place to the last, both counted; 0 if there is none."""
    return max(places) - min(places) + 1 if places else 0


def jump(stack: Stack) -> Fraction:
    """By how many inputs the field moves from one output to the next, on average: strides multiply."""
    out = Fraction(1)
    for window in stack:
        out = out * window.stride if isinstance(window, Window) else out / window.stride
    return out


def widest(stack: Stack) -> int:
    """The largest span of any output's field, far from the borders: exact, transposed or not.

    Fields repeat, shifted, with the product of the strides of the transposed convolutions as period; the
    outputs of one period are tried. Known value: kernel 3, stride 2, transposed: 2. Equals the size of
    `recursion` where that is defined.
    """
    period = math.prod(w.stride for w in stack if isinstance(w, TransposedWindow))
    best = 0
    for at in range(period):
        places = Counter({at: 1})
        for window in reversed(stack):
            places = Counter(dict.fromkeys(_back(window, places), 1))
        best = max(best, span(list(places)))
    return best
