"""Which triplets to train on: random, semi-hard or hard; and a data set of triplets of pictures."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

KINDS = ("random", "semi-hard", "hard")


def mine(
    z: Float[Tensor, "n d"], labels: Int[Tensor, " n"], kind: str, *, rng: torch.Generator
) -> Int[Tensor, "3 m"]:
    """Indices of anchor, positive and negative (rows 0, 1, 2): one triplet for each anchor that has one.

    "random": a random positive (another row of the class), a random negative (a row of another class).
    "semi-hard": a random positive p; of the negatives farther from the anchor than p the nearest, or the
    farthest negative if none is farther than p. "hard": the farthest positive and the nearest negative.
    A row alone in its class is no anchor. Distances are Euclidean.

    Known value: points 0, 1 (class 0) and 3 (class 1) on a line: "hard" gives (0, 1, 2) and (1, 0, 2).
    Raises ValueError on another kind, or if there is no triplet at all.
    Source: Schroff et al. 2015, arXiv:1503.03832 (semi-hard); Hermans et al. 2017, arXiv:1703.07737 (hard).
    """
    if kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}; got {kind!r}")
    same = labels[:, None] == labels  # (n, n)
    mate = same & ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    anchor = (mate.any(1) & ~same.all(1)).nonzero()[:, 0]  # (m,)
    if len(anchor) == 0:
        raise ValueError("no triplet: need two rows of one class and a row of another")
    mate, other = mate[anchor], ~same[anchor]  # (m, n)
    d = torch.cdist(z.detach()[anchor], z.detach(), compute_mode="donot_use_mm_for_euclid_dist")  # (m, n)
    positive = d.masked_fill(~mate, -torch.inf).argmax(1) if kind == "hard" else _any(mate, rng)
    if kind == "random":
        negative = _any(other, rng)
    elif kind == "hard":
        negative = d.masked_fill(~other, torch.inf).argmin(1)
    else:
        beyond = other & (d > d.gather(1, positive[:, None]))
        nearest = d.masked_fill(~beyond, torch.inf).argmin(1)
        farthest = d.masked_fill(~other, -torch.inf).argmax(1)
        negative = torch.where(beyond.any(1), nearest, farthest)
    return torch.stack([anchor, positive, negative])


def _any(allowed: Tensor, rng: torch.Generator) -> Tensor:
    """In each row a random column among the allowed ones."""
    draw = torch.rand(allowed.shape, generator=rng).to(allowed.device)
    return draw.masked_fill(~allowed, -1.0).argmax(1)


class TripletDataset(Dataset):
    """Triplets of pictures: item i is (anchor, positive, negative), each (c, h, w), and their three labels.

    At first triplets are random. `choose` replaces them by others, mined with embeddings of the pictures;
    call it once an epoch, because an embedding changes as it is trained.

    Known value: four pictures with labels (0, 0, 1, 1) make four triplets; item 0 has anchor 0, positive 1
    and picture 2 or 3 as its negative.
    Raises ValueError if images and labels differ in number, or if there is no triplet.
    """

    def __init__(
        self, images: Float[Tensor, "n c h w"], labels: Int[Tensor, " n"], *, rng: torch.Generator
    ) -> None:
        if len(images) != len(labels):
            raise ValueError(f"need a label for each picture, got {len(images)} and {len(labels)}")
        self.images, self.labels, self.rng = images, labels, rng
        self.index = mine(images.flatten(1), labels, "random", rng=rng)  # (3, m)

    def choose(self, z: Float[Tensor, "n d"], kind: str) -> None:
        """Take other triplets, mined with embeddings z of the pictures."""
        self.index = mine(z, self.labels, kind, rng=self.rng)

    def __len__(self) -> int:
        return self.index.shape[1]

    def __getitem__(self, i: int | Tensor) -> tuple[Tensor, Tensor]:
        rows = self.index[:, i]
        return self.images[rows], self.labels[rows]

    def batches(self, size: int, count: int) -> list[tuple[Tensor, Tensor]]:
        """``count`` batches of ``size`` triplets, in random order and from the start again if need be.

        Pictures (3 size, c, h, w), first all anchors, then positives, then negatives; labels (3 size,).
        """
        rounds = -(-size * count // len(self))
        order = torch.cat([torch.randperm(len(self), generator=self.rng) for _ in range(rounds)])
        picked = (self[chosen] for chosen in order[: size * count].split(size))
        return [(images.flatten(0, 1), labels.flatten()) for images, labels in picked]
