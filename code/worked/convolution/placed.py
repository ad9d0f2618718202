"""Small pictures at chosen places of a larger, empty one."""

import torch
from einops import rearrange
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


def scattered(
    pictures: Float[Tensor, "n 1 a a"],
    labels: Int[Tensor, " n"],
    grid: tuple[int, int, int],
    cell: int,
    rng: torch.Generator,
) -> tuple[Float[Tensor, "b 1 h w"], Int[Tensor, "b m 2"], Int[Tensor, "b m"]]:
    """b large pictures of rows x columns cells, a small one at a random place in each cell: none overlap.

    grid is (b, rows, columns), cell the side of a cell in pixels. Returns the large pictures, the upper left
    pixels of the m = rows columns small ones in each, and their labels.

    Known value: with a = cell the small pictures fill the large one, their places multiples of cell.
    Raises ValueError if a cell is smaller than a picture.
    """
    (b, rows, columns), side = grid, pictures.shape[-1]
    if cell < side:
        raise ValueError(f"want cells of at least {side}, the side of the pictures, got {cell}")
    m = rows * columns
    which = torch.randint(len(labels), (b * m,), generator=rng)
    within = random_places(b * m, cell - side, rng)
    tiles = place(pictures[which], within.to(pictures.device), cell)
    large = rearrange(tiles, "(b i j) c u v -> b c (i u) (j v)", b=b, i=rows)
    corners = cell * torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    return large, within.reshape(b, m, 2) + corners, labels[which].reshape(b, m)
