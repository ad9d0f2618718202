"""Pictures, questions about them, and the answers: what a small vision transformer is taught and asked."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from worked.data import cifar10
from worked.data.cifar10 import CLASSES
from worked.data.scenes import COLOURS, PLACES, scenes


@dataclass(frozen=True)
class Pictures:
    """n pictures, the same questions about each, and their answers as indices."""

    images: Float32[Tensor, "n c h w"]  # in [0, 1]
    answers: Int64[Tensor, "n questions"]
    questions: dict[str, tuple[str, ...]]  # what can be answered, by the name of the question
    masks: Bool[Tensor, "n h w"] | None = None  # where the object is, if that is known

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sizes(self) -> list[int]:
        """The number of possible answers, question by question."""
        return [len(possible) for possible in self.questions.values()]


def scene_questions(n: int, *, rng: torch.Generator, size: int = 24, background: str = "texture") -> Pictures:
    """n scenes of one upright object: of which colour is it, and in which quarter of the picture?

    The two answers are independent and uniform. The first does not change when the patches are moved about,
    the second does. Known value: chance is 1/6 and 1/4. Raises ValueError as `worked.data.scenes`.
    """
    drawn = scenes(n, rng=rng, size=size, background=background, turn=False)
    return Pictures(
        drawn.images,
        torch.stack([drawn.colour, drawn.place], dim=1),
        {"colour": tuple(COLOURS), "place": PLACES},
        drawn.masks,
    )


def cifar_questions(n: int, *, rng: torch.Generator, split: str = "train") -> Pictures:
    """n photographs of CIFAR-10 in random order, with one question: of what? MissingData without WORKED_DATA.

    Known value: chance is 1/10. Raises ValueError unless 1 <= n <= the size of the split.
    """
    images, labels = cifar10(split)
    if not 1 <= n <= len(images):
        raise ValueError(f"need 1 <= n <= {len(images)}, got {n}")
    chosen = torch.randperm(len(images), generator=rng)[:n]
    return Pictures(images[chosen], labels[chosen][:, None], {"what": CLASSES})


def answer_loss(
    logits: Float[Tensor, "n k"], answers: Int64[Tensor, "n questions"], sizes: list[int]
) -> Float[Tensor, ""]:
    """Cross-entropy in nats, mean over pictures, summed over questions; each has its columns of the logits.

    Known value: equal logits give the sum of log(size). Raises ValueError if the sizes do not fit.
    """
    return torch.stack(
        [F.cross_entropy(part, a) for part, a in zip(_parts(logits, sizes), answers.unbind(1), strict=True)]
    ).sum()


def predicted(logits: Float[Tensor, "n k"], sizes: list[int]) -> Int64[Tensor, "n questions"]:
    """The answer of the largest logit to each question. Raises ValueError if the sizes do not fit."""
    return torch.stack([part.argmax(dim=1) for part in _parts(logits, sizes)], dim=1)


def _parts(logits: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
    if logits.shape[1] != sum(sizes):
        raise ValueError(f"got {logits.shape[1]} logits, want {' + '.join(map(str, sizes))}")
    return logits.split(sizes, dim=1)
