"""Windows of a map of tokens: partition, cyclic shift, who may attend whom, relative places."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Int, Num
from torch import Tensor


def window_partition(x: Num[Tensor, "b h w *c"], window: int) -> Num[Tensor, "b windows n *c"]:
    """Cut every map into windows of M x M tokens: n = M^2, windows = hw/M^2, both counted row by row.

    Known value: the 4 x 4 map 0..15 has, for M = 2, the first window 0, 1, 4, 5.
    Raises ValueError unless M divides h and w. Taught in: attention/swin, def-swin-window.
    """
    b, h, w, *c = x.shape
    _divides(h, w, window)
    x = x.reshape(b, h // window, window, w // window, window, *c)
    return x.transpose(2, 3).reshape(b, -1, window**2, *c)  # (b, windows, n, ...)


def window_merge(x: Num[Tensor, "b windows n *c"], h: int, w: int, window: int) -> Num[Tensor, "b h w *c"]:
    """The inverse of `window_partition`: put the windows of an h x w map back to their places.

    Raises ValueError unless M divides h and w and the windows fill the map.
    """
    _divides(h, w, window)
    b, windows, n, *c = x.shape
    if (windows, n) != (h * w // window**2, window**2):
        want = (h * w // window**2, window**2)
        raise ValueError(f"a {h} x {w} map has {want} windows and tokens in each, got {(windows, n)}")
    x = x.reshape(b, h // window, w // window, window, window, *c)
    return x.transpose(2, 3).reshape(b, h, w, *c)


def cyclic_shift(x: Num[Tensor, "b h w *c"], rows: int, columns: int) -> Num[Tensor, "b h w *c"]:
    """Move every map up and to the left; what leaves at one edge comes in at the opposite one.

    Known value: the row 0, 1, 2, 3 moved by one is 1, 2, 3, 0. A negative shift undoes a positive one.
    """
    return x.roll((-rows, -columns), (1, 2))


def axis_shift(size: int, window: int, shift: int) -> int:
    """The shift along an axis: none where a single window covers it, for there is no border to cross.

    Raises ValueError unless 0 <= shift < M.
    """
    if not 0 <= shift < window:
        raise ValueError(f"need 0 <= shift < window, got shift={shift}, window={window}")
    return shift if size > window else 0


def region_labels(h: int, w: int, window: int, shift: int) -> Int[Tensor, "windows n"]:
    """For each token of each window of the shifted map: 1 if it left at the left edge, + 2 if at the top.

    Tokens of one window are neighbours in the picture exactly if their labels agree.

    Known value: h = w = 4, M = 2, s = 1 has the windows 0 0 0 0, 0 1 0 1, 0 0 2 2 and 0 1 2 3.
    Raises ValueError unless M divides h and w and 0 <= s < M.
    Source: Liu et al. 2021, arXiv:2103.14030, figure 4; four labels here do what nine do there.
    Taught in: attention/swin, thm-swin-mask.
    """
    down, right = axis_shift(h, window, shift), axis_shift(w, window, shift)
    from_top, from_left = torch.arange(h) >= h - down, torch.arange(w) >= w - right  # wrapped around the edge
    labels = 2 * from_top.long()[:, None] + from_left.long()  # (h, w)
    return window_partition(labels[None], window)[0]


def may_attend(labels: Int[Tensor, "windows n"]) -> Bool[Tensor, "windows n n"]:
    """True where token i of a window may attend token j: the two have the same label.

    Known value: labels 0, 1, 0 give rows 101, 010, 101. Every token may attend itself.
    """
    return labels[:, :, None] == labels[:, None, :]


def relative_place(window: int) -> Int[Tensor, "n n"]:
    r"""Which of the (2M-1)^2 entries of the bias table belongs to query i and key j.

    .. math:: (y_i - y_j + M - 1)\,(2M - 1) + (x_i - x_j + M - 1)

    Known value: for M = 2 the first row is 4, 3, 1, 0; for i = j always the middle, 2M(M-1).
    Raises ValueError if M < 1. Source: Liu et al. 2021, arXiv:2103.14030, eq. (4).
    """
    if window < 1:
        raise ValueError(f"a window has at least one token, got window={window}")
    y, x = torch.arange(window**2) // window, torch.arange(window**2) % window
    rows, columns = y[:, None] - y + window - 1, x[:, None] - x + window - 1  # both 0..2M-2
    return rows * (2 * window - 1) + columns


@dataclass(frozen=True)
class Arrangement:
    """The tokens of an h x w map in the order of its (shifted) windows.

    `order` lists, window after window, the number of the token in the map, `inverse` leads back, and
    `allowed` says who may attend whom: None where all tokens of all windows may.
    """

    windows: int
    order: Int[Tensor, " hw"]
    inverse: Int[Tensor, " hw"]
    allowed: Bool[Tensor, "windows n n"] | None


@lru_cache(maxsize=32)
def arrange(h: int, w: int, window: int, shift: int, device: torch.device) -> Arrangement:
    """Shift, partition and mask of an h x w map as indices, worked out once for each size.

    Known value: h = w = 4, M = 2, s = 1 begins 5, 6, 9, 10: the middle of the map is the first window.
    Raises ValueError unless M divides h and w and 0 <= s < M.
    """
    down, right = axis_shift(h, window, shift), axis_shift(w, window, shift)
    numbers = torch.arange(h * w).reshape(1, h, w)
    order = window_partition(cyclic_shift(numbers, down, right), window).flatten()
    allowed = may_attend(region_labels(h, w, window, shift)).to(device) if down or right else None
    return Arrangement(h * w // window**2, order.to(device), order.argsort().to(device), allowed)


def _divides(h: int, w: int, window: int) -> None:
    if window < 1 or h % window or w % window:
        raise ValueError(
            f"windows of {window} x {window} tokens do not fill a map of {h} x {w}: pad it first"
        )
