"""A CLIP small enough to train in seconds: a convolutional network for pictures, a bag of words for text."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


class ImageEncoder(nn.Module):
    """Pictures (n, 3, side, side) to embeddings (n, d): three strided convolutions, then all places linearly.

    No average over places at the end: captions say where things are. The projection has no bias, as in CLIP.
    Raises ValueError unless the side is a multiple of 8.
    """

    def __init__(self, side: int, d: int, width: int = 16) -> None:
        super().__init__()
        if side % 8 or side < 8:
            raise ValueError(f"want a side that is a multiple of 8, got {side}")
        self.trunk = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.projection = nn.Linear(2 * width * (side // 8) ** 2, d, bias=False)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        return self.projection(self.trunk(2 * images - 1))


class TextEncoder(nn.Module):
    """Captions as word numbers (n, length), 0 filling up, to embeddings (n, d): mean of words, then an MLP.

    The order of words is lost; no two captions of this book's scenes differ in nothing else.
    """

    def __init__(self, words: int, d: int, width: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        self.hidden = nn.Linear(width, 2 * width)
        self.projection = nn.Linear(2 * width, d, bias=False)

    def forward(self, tokens: Int64[Tensor, "n length"]) -> Float[Tensor, "n d"]:
        count = (tokens > 0).sum(1, keepdim=True)  # (n, 1)
        mean = self.embedding(tokens).sum(1) / count  # (n, width)
        return self.projection(torch.relu(self.hidden(mean)))


class TinyClip(nn.Module):
    """Both encoders and the logarithm of the scale, 1/tau; learned unless fixed=True.

    Known value: CLIP starts at tau = 0.07, a log scale of 2.659. All weights are drawn from `seed`.
    """

    def __init__(
        self, side: int, words: int, *, seed: int, d: int = 64, tau: float = 0.07, fixed: bool = False
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # modules draw from the global generator: leave it as found
            torch.manual_seed(seed)
            self.image, self.text = ImageEncoder(side, d), TextEncoder(words, d)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / tau)), requires_grad=not fixed)

    def forward(
        self, images: Float[Tensor, "n 3 h w"], tokens: Int64[Tensor, "n length"]
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """Embeddings of pictures and of captions, neither of unit length."""
        return self.image(images), self.text(tokens)
