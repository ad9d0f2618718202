"""Small pictures at chosen places of a larger, empty one."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def place(
    pictures: Float[Tensor, "n c a b"], places: Int[Tensor, "n 2"], size: int
) -> Float[Tensor, "n c size size"]:
    """Picture i on zeros, its upper left pixel at row places[i, 0] and column places[i, 1].

    Known value: a single 1 placed at (2, 0) of 3x3 pixels is the lower left corner.
    Raises ValueError unless all pictures lie inside.
    """
    n, c, a, b = pictures.shape
    last = torch.tensor([size - a, size - b], device=places.device)
    if (places < 0).any() or (places > last).any():
        low, high = places.amin(0).tolist(), places.amax(0).tolist()
        raise ValueError(f"want places from (0, 0) to {tuple(last.tolist())}, got {low} to {high}")
    canvas = pictures.new_zeros(n, c, size, size)
    rows = places[:, :1] + torch.arange(a, device=places.device)  # (n, a)
    columns = places[:, 1:] + torch.arange(b, device=places.device)  # (n, b)
    at = torch.arange(n, device=places.device)[:, None, None]
    canvas[at, :, rows[:, :, None], columns[:, None, :]] = pictures.movedim(1, -1)
    return canvas


def random_places(n: int, last: int, rng: torch.Generator) -> Int[Tensor, "n 2"]:
    """n places, rows and columns drawn independently from 0..last. Known value: last = 0 gives zeros."""
    if n < 1 or last < 0:
        raise ValueError(f"want n >= 1 and last >= 0, got n={n}, last={last}")
    return torch.randint(last + 1, (n, 2), generator=rng)
