"""The 8x8 digits that come with scikit-learn: 1,797 grey pictures, nothing to download."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from worked.data.store import Card

CARD = Card(
    name="digits",
    what="1,797 handwritten digits, 8x8, 17 grey levels",
    source="scikit-learn, after E. Alpaydin and C. Kaynak (1998), doi:10.24432/C50P49",
    licence="CC BY 4.0",
    bundled=True,
    size="in scikit-learn",
)


def digits() -> tuple[Float32[Tensor, "n 1 8 8"], Int64[Tensor, " n"]]:
    """All 1,797 images, scaled from 0..16 to [-1, 1] (-1 is background), and their labels 0..9.

    Known values: the first ten labels are 0, 1, ..., 9; scikit-learn's 8 of 16 is 0 here.
    """
    from sklearn.datasets import load_digits  # seconds to import, and only needed here

    bunch = load_digits()
    images = torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 8 - 1  # (n, 1, 8, 8)
    return images, torch.tensor(bunch.target, dtype=torch.int64)
