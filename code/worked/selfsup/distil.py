"""Self-distillation in the small, with every ingredient a switch.

One loop for the experiments of selfsup/dino, so that DINO and BYOL differ only where a `Choices` says so.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worked.selfsup.byol import byol_loss
from worked.selfsup.dino import Center, DinoHead, dino_loss, entropies, teacher_probabilities
from worked.selfsup.encoder import encoder
from worked.selfsup.multicrop import random_views
from worked.selfsup.sinkhorn import sinkhorn
from worked.training import copy_buffers, follow


@dataclass(frozen=True)
class Choices:
    """One way of self-distillation; the defaults are DINO's.

    loss: "cross-entropy" or "cosine". balance: what is done to the teacher's outputs before they are
    sharpened, "subtract" (the centre), "add" (its wrong sign), "none" or "sinkhorn". predictor: an MLP on the
    student alone. batch_norm: in the head. locals: small crops beside the two large ones. m, center_m: how
    much of the teacher and of the centre stays in a step.
    """

    loss: str = "cross-entropy"
    balance: str = "subtract"
    tau_s: float = 0.1
    tau_t: float = 0.02
    m: float = 0.97
    center_m: float = 0.0
    predictor: bool = False
    batch_norm: bool = False
    locals: int = 2
    k: int = 32
    rate: float = 1e-3


class MlpHead(nn.Module):
    """Two layers without prototypes: BYOL's projector."""

    def __init__(self, d: int, hidden: int, k: int, batch_norm: bool) -> None:
        super().__init__()
        norm = [nn.BatchNorm1d(hidden)] if batch_norm else []
        self.layers = nn.Sequential(nn.Linear(d, hidden), *norm, nn.GELU(), nn.Linear(hidden, k))

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        return self.layers(x)


class Branch(nn.Module):
    """Encoder and head. ``forward`` returns (outputs of the head, features of the encoder)."""

    def __init__(self, c: Choices) -> None:
        super().__init__()
        self.encoder = encoder(width=8, features=32, norm="group")
        self.head = (
            MlpHead(32, 64, c.k, c.batch_norm)
            if c.loss == "cosine"
            else DinoHead(32, 64, 32, c.k, c.batch_norm)
        )

    def forward(self, x: Float[Tensor, "n c h w"]) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n d"]]:
        features = self.encoder(x)
        return self.head(features), features


class Distillation:
    """Student and teacher of one run, with `step` to train and `teacher` and `student` to look at."""

    def __init__(self, choices: Choices, seed: int) -> None:
        if choices.loss not in ("cross-entropy", "cosine"):
            raise ValueError(f"the loss is cross-entropy or cosine, got {choices.loss!r}")
        if choices.balance not in ("subtract", "add", "none", "sinkhorn"):
            raise ValueError(f"balance is subtract, add, none or sinkhorn; got {choices.balance!r}")
        c = self.choices = choices
        torch.manual_seed(seed)  # the initial weights: modules of torch take no generator
        self.student = Branch(c)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.predictor = MlpHead(c.k, 64, c.k, c.batch_norm) if c.predictor else nn.Identity()
        self.center = Center(c.k, c.center_m)
        parameters = [*self.student.parameters(), *self.predictor.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, lr=c.rate, weight_decay=0.04, fused=True)

    def targets(self, logits: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """What the student is to say of n images: probabilities by the chosen balance."""
        c, mean = self.choices, self.center.value()
        if c.balance == "sinkhorn":
            return sinkhorn(logits, c.tau_t)
        sign = {"subtract": 1.0, "add": -1.0, "none": 0.0}[c.balance]
        return teacher_probabilities(logits, sign * mean, c.tau_t)

    def loss(self, views: Float[Tensor, "v n c h w"]) -> Float[Tensor, ""]:
        """The loss on views of n images, the first two of them global; moves the centre on."""
        c, (v, n) = self.choices, views.shape[:2]
        with torch.no_grad():
            taught = self.teacher(views[:2].flatten(0, 1))[0]  # (2 n, k)
        said = self.predictor(self.student(views.flatten(0, 1))[0]).unflatten(0, (v, n))  # (v, n, k)
        if c.loss == "cosine":
            pairs = [(t, s) for t in range(2) for s in range(v) if t != s]
            taught = taught.unflatten(0, (2, n))
            return sum(byol_loss(said[s], taught[t]) for t, s in pairs) / len(pairs)
        if c.balance in ("subtract", "none", "add"):
            sign = {"subtract": 1.0, "add": -1.0, "none": 0.0}[c.balance]
            loss = dino_loss(
                said, taught.unflatten(0, (2, n)), sign * self.center.value(), tau_s=c.tau_s, tau_t=c.tau_t
            )
            self.center.update(taught)
            return loss
        targets = self.targets(taught).unflatten(0, (2, n))
        log_q = F.log_softmax(said / c.tau_s, dim=-1)
        agreement = torch.einsum("unk,vnk->uv", targets, log_q)
        own = torch.eye(2, v, dtype=torch.bool)
        return -agreement.masked_fill(own, 0).sum() / (n * (2 * v - 2))

    def step(self, views: Float[Tensor, "v n c h w"]) -> float:
        value = self.loss(views)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        self.optimizer.step()
        follow(self.teacher, self.student, self.choices.m)
        copy_buffers(self.teacher, self.student)
        return value.item()

    @torch.no_grad()
    def entropies(self, images: Float[Tensor, "n c h w"]) -> tuple[float, float]:
        """H(mean p) and mean H(p) of the teacher's targets for these images, in nats."""
        self.teacher.eval()
        found = entropies(self.targets(self.teacher(images)[0]))
        self.teacher.train()
        return found

    @torch.no_grad()
    def features(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """The teacher's features, which are what one keeps."""
        return self.teacher.encoder(images)

    @torch.no_grad()
    def student_features(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        return self.student.encoder(images)


def distil(
    images: Float[Tensor, "n c h w"],
    choices: Choices,
    *,
    seed: int,
    steps: int,
    batch: int = 64,
    watch: Callable[[int, Distillation], None] | None = None,
    every: int = 20,
) -> Distillation:
    """Train on random crops of the images (large: 40 % to 100 % of the area, small: 10 % to 40 %, one size).

    Small crops are resized like large ones: here multi-crop is about what the views show, not about cost.
    watch(step, run) is called before the first step, every `every` steps, and after the last.
    """
    rng = torch.Generator().manual_seed(seed)
    run, size = Distillation(choices, seed), images.shape[-1]
    for step in range(steps):
        if watch is not None and step % every == 0:
            watch(step, run)
        x = images[torch.randint(len(images), (batch,), generator=rng)]
        views = random_views(x.expand(2, -1, -1, -1, -1), rng, size=size, scale=(0.4, 1.0))
        if choices.locals:
            few = x.expand(choices.locals, -1, -1, -1, -1)
            views = torch.cat([views, random_views(few, rng, size=size, scale=(0.1, 0.4))])
        run.step(views)
    if watch is not None:
        watch(steps, run)
    return run
