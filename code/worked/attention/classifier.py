"""A vision transformer that answers questions about pictures: body, readout, head, and how it is trained."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worked.attention.questions import Pictures, answer_loss, predicted
from worked.attention.vit import Seen, ViT
from worked.training import History, fit, warmup_cosine

READOUTS = ("class", "mean")


class Classifier(nn.Module):
    """Logits from pictures in [0, 1]: resized and normalised, through a ViT, then one linear map.

    readout: "class" reads the class token, "mean" the mean of all other tokens; nothing else differs, so
    that both have the same parameters. size: pictures are resized to it (bicubic), if given.

    Known value: the mean of 2, with width 2 and 3 logits, has 9 parameters in its head.
    Raises ValueError on another readout.
    """

    def __init__(
        self,
        body: ViT,
        answers: int,
        *,
        readout: str = "class",
        size: int | None = None,
        mean: tuple[float, ...] = (0.5, 0.5, 0.5),
        std: tuple[float, ...] = (0.5, 0.5, 0.5),
    ) -> None:
        super().__init__()
        if readout not in READOUTS:
            raise ValueError(f"readout is one of {', '.join(READOUTS)}; got {readout!r}")
        self.body, self.readout, self.size = body, readout, size
        self.head = nn.Linear(body.norm.normalized_shape[0], answers)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        for name, value in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(value)[:, None, None], persistent=False)

    def forward(self, images: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b k"], Seen]:
        """Logits, and what `ViT.forward` saw on the way."""
        if self.size is not None and images.shape[2:] != (self.size, self.size):
            images = F.interpolate(images, size=(self.size, self.size), mode="bicubic", align_corners=False)
        features, seen = self.body((images - self.mean) / self.std)
        if self.readout == "mean":
            features = seen["tokens"][:, 1:].mean(dim=1)
        return self.head(features), seen


def small_body(
    seed: int, *, positions: bool = True, width: int = 32, depth: int = 2, heads: int = 2, size: int = 24
) -> ViT:
    """An untrained ViT for pictures of 24 x 24 pixels in patches of 4, drawn from a seed.

    Wider start than the published one (0.02), for short runs: matrices with standard deviation
    1/sqrt(inputs), positions with 1. positions=False: all zero, and they stay so.

    Known value: 37 tokens. Raises ValueError as `ViT`.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():  # modules of torch take no generator: draw here what is overwritten below
        body = ViT(size=size, patch=4, width=width, depth=depth, heads=heads, hidden=2 * width)
    with torch.no_grad():
        for module in body.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                module.weight.normal_(std=module.weight[0].numel() ** -0.5, generator=rng)
                module.bias.zero_()
        body.positions.normal_(generator=rng)
        if not positions:
            body.positions.zero_().requires_grad_(False)
    return body


def train(
    net: Classifier,
    pictures: Pictures,
    *,
    seed: int,
    steps: int = 200,
    batch: int = 48,
    rate: float = 6e-3,
    before_loss: Callable[[Float[Tensor, "b k"]], Float[Tensor, "b k"]] = lambda logits: logits,
) -> History:
    """Train in place: AdamW, warm-up and cosine; `batch` pictures a step, drawn with replacement.

    before_loss: applied to the logits before the loss. The net is left in eval mode.
    Known value: a head of zeros begins at the sum of log(number of answers). Raises ValueError as `fit`.
    """
    rng, device = torch.Generator().manual_seed(seed), net.head.weight.device

    def batches() -> Iterator[Tensor]:
        while True:
            yield torch.randint(len(pictures), (batch,), generator=rng)

    def loss(chosen: Tensor) -> Float[Tensor, ""]:
        logits, _ = net(pictures.images[chosen].to(device))
        return answer_loss(before_loss(logits), pictures.answers[chosen].to(device), pictures.sizes)

    learnt = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=rate, weight_decay=0.01, fused=True)
    net.train()
    history = fit(loss, batches(), optimizer, steps=steps, schedule=warmup_cosine(steps, steps // 10))
    net.eval()
    return history


@torch.no_grad()
def examine(
    net: Classifier, pictures: Pictures, part: int = 250
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "questions"]]:
    """All logits, on the CPU, and the share of right answers to each question."""
    device = net.head.weight.device
    logits = torch.cat([net(images.to(device))[0].cpu() for images in pictures.images.split(part)])
    right = predicted(logits, pictures.sizes) == pictures.answers
    return logits, right.float().mean(dim=0)
