"""Pictures whose windows each hold one coloured mark: what a token knows of the window beside its own."""

from collections.abc import Sequence

import torch
from jaxtyping import Float32, Int
from torch import Tensor

from worked.data import photograph

COLOURS = torch.tensor(
    [[0.9, 0.1, 0.1], [0.1, 0.7, 0.1], [0.1, 0.2, 0.9], [0.9, 0.8, 0.1]]
)  # of the kinds 0..3
SIDE = 4  # pixels of a mark


def backgrounds(
    n: int, size: int, names: Sequence[str], rng: torch.Generator
) -> Float32[Tensor, "n 3 size size"]:
    """Square cuts of these photographs, each at a random place and of a random one, values in [0, 1]."""
    pictures = [photograph(name) for name in names]
    cuts = []
    for which in torch.randint(len(pictures), (n,), generator=rng).tolist():
        h, w = pictures[which].shape[1:]
        top, left = (int(torch.randint(side - size + 1, (), generator=rng)) for side in (h, w))
        cuts.append(pictures[which][:, top : top + size, left : left + size])
    return torch.stack(cuts)


def marked(
    pictures: Float32[Tensor, "n 3 h w"], cell: int, kinds: int, rng: torch.Generator
) -> tuple[Float32[Tensor, "n 5 h w"], Int[Tensor, "n rows columns"]]:
    """One mark in every cell of the pictures, of random kind at a random place in it; and the kinds.

    A cell is a square of so many pixels. The pictures are dimmed to half, and two channels are added that
    hold row and column from -1 to 1: attention with relative places only could not tell left from right.

    Known value: 16 x 16 pictures in cells of 8 have 2 x 2 kinds each.
    Raises ValueError unless cells fill the pictures, marks fit into cells and 2 <= kinds <= 4.
    """
    n, _, h, w = pictures.shape
    if cell < SIDE or h % cell or w % cell:
        raise ValueError(
            f"cells of {cell} pixels do not fill pictures of {h} x {w}, or are smaller than a mark"
        )
    if not 2 <= kinds <= len(COLOURS):
        raise ValueError(f"need 2 to {len(COLOURS)} kinds, got {kinds}")
    kind = torch.randint(kinds, (n, h // cell, w // cell), generator=rng)
    top, left = torch.randint(cell - SIDE + 1, (2, *kind.shape), generator=rng)

    def inside(start: Tensor, size: int, axis: int) -> Tensor:
        """Whether pixel i of an axis lies on the mark of its cell: (n, rows, columns, size of a cell)."""
        i = torch.arange(cell)
        return (i >= start[..., None]) & (i < start[..., None] + SIDE)

    on = inside(top, h, 0)[..., :, None] & inside(left, w, 1)[..., None, :]  # (n, rows, columns, cell, cell)
    on = on.movedim(3, 2).reshape(n, 1, h, w)
    colour = (
        COLOURS[kind].movedim(-1, 1).repeat_interleave(cell, 2).repeat_interleave(cell, 3)
    )  # (n, 3, h, w)
    images = torch.where(on, colour, pictures / 2)
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    return torch.cat([images, torch.stack([rows, columns]).expand(n, -1, -1, -1)], 1), kind


def beside(kind: Int[Tensor, "n rows columns"]) -> Int[Tensor, "n rows columns"]:
    """For every window the kind in its partner: windows 0 and 1 of a row are partners, 2 and 3, and so on.

    Known value: the row 5 6 7 8 becomes 6 5 8 7. Raises ValueError if the number of columns is odd.
    """
    if kind.shape[2] % 2:
        raise ValueError(f"partners need an even number of columns, got {kind.shape[2]}")
    return kind.unflatten(2, (-1, 2)).flip(3).flatten(2)
