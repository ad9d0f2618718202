"""How far information travels through blocks whose windows take turns."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from worked.attention.window import axis_shift


def reach(size: int, window: int, shifts: Sequence[int]) -> Bool[Tensor, "size size"]:
    """Along one axis: True at (i, j) if output i may depend on input j after blocks with these shifts.

    Block l joins the tokens of [s + kM, s + (k+1)M), k any whole number, s its shift. A map's cells are
    products of such intervals, so token (y, x) of the output may depend on (y', x') of the input if both axes
    say so.

    Known value: size 8, M = 4, shifts 0 and 2: rows 2 to 5 are all True; rows 0 and 1 see 0 to 3, rows 6 and
    7 see 4 to 7. Raises ValueError unless M divides the size and 0 <= s < M. Taught in: attention/swin, thm-
    swin-reach.
    """
    if window < 1 or size < 1 or size % window:
        raise ValueError(f"windows of {window} do not fill an axis of {size}")
    sees = torch.eye(size, dtype=torch.bool)
    for shift in shifts:
        cell = (torch.arange(size) - axis_shift(size, window, shift)).div(window, rounding_mode="floor")
        joined = cell[:, None] == cell  # (size, size)
        sees = (joined.double() @ sees.double()) > 0
    return sees
