"""Which sets of keys one head can prefer to all others: counted by a formula, found by linear programming."""

from itertools import product
from math import comb

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor


def selectable(m: int, d_k: int) -> int:
    r"""How many sets of m keys in general position a query of width d_k can prefer to the keys outside.

    .. math:: 2 \sum_{i=0}^{d_k} \binom{m-1}{i}

    The empty set and the set of all keys count too. Known value: m = 3, d_k = 1 gives 6: of three keys on a
    line no query prefers the middle one, nor the outer two. Raises ValueError unless m >= 1 and d_k >= 0.
    Source: Cover 1965, doi:10.1109/PGEC.1965.264137 (there for hyperplanes through the origin).
    Taught in: attention/multi-head, thm-multi-select.
    """
    if m < 1 or d_k < 0:
        raise ValueError(f"need m >= 1 and d_k >= 0, got m={m}, d_k={d_k}")
    return 2 * sum(comb(m - 1, i) for i in range(d_k + 1))


def can_select(keys: Float[Tensor, "m d"], wanted: Bool[Tensor, " m"], threshold: bool = True) -> bool:
    """Whether some query gives every wanted key a higher score than every other key.

    Asks a linear program for q and t with q . k - t >= 1 on the wanted keys and <= -1 on the others; without
    ``threshold`` t is 0. Known value: keys 0, 1, 2 on a line: {2} can be selected and {1} cannot.
    Raises ValueError if there are no keys.
    """
    from scipy.optimize import linprog  # comes with scikit-learn; a second to import, and only needed here

    if len(keys) == 0:
        raise ValueError("no keys to select from")
    points, sign = keys.detach().cpu().double().numpy(), np.where(wanted.cpu().numpy(), 1.0, -1.0)
    rows = np.c_[points, -np.ones(len(points))] if threshold else points
    found = linprog(
        np.zeros(rows.shape[1]), A_ub=-sign[:, None] * rows, b_ub=-np.ones(len(rows)), bounds=(None, None)
    )
    return bool(found.success)


def count_selectable(keys: Float[Tensor, "m d"], threshold: bool = True) -> int:
    """How many of the 2^m sets of keys some query can select. Known value: keys 0, 1, 2 on a line give 6.

    A set can be selected if its complement can, by the opposite query: half of them are tried.
    """
    sets = (torch.tensor([False, *rest]) for rest in product((False, True), repeat=len(keys) - 1))
    return 2 * sum(can_select(keys, wanted, threshold) for wanted in sets)
