"""DINO: cross-entropy between a sharpened, centred teacher and a student, over pairs of views."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def teacher_probabilities(
    logits: Float[Tensor, "*b k"], center: Float[Tensor, " k"], tau: float
) -> Float[Tensor, "*b k"]:
    r"""What the teacher teaches: its outputs g, centred and sharpened.

    .. math:: P_t = \operatorname{softmax}\big((g - c)/\tau_t\big)

    The center c is *subtracted*. The paper's text adds it (g + c), its pseudo-code and its code subtract
    it; with c the mean of g, adding drives the outputs to one corner.

    Known value: logits equal to the center give 1/k. Raises ValueError if tau <= 0.
    Source: Caron et al. 2021, arXiv:2104.14294, algorithm 1. Chapter: sec-dino-centre.
    """
    if tau <= 0:
        raise ValueError(f"need a temperature > 0, got tau={tau}")
    return ((logits - center) / tau).softmax(dim=-1)


def dino_loss(
    student: Float[Tensor, "views n k"],
    teacher: Float[Tensor, "globals n k"],
    center: Float[Tensor, " k"],
    *,
    tau_s: float = 0.1,
    tau_t: float = 0.04,
) -> Float[Tensor, ""]:
    r"""Cross-entropy in nats, averaged over n images and over all pairs of a teacher's and another view.

    .. math:: L = \frac{1}{|\Pi|\,n} \sum_{(u, v) \in \Pi} \sum_i
              -\sum_k P_t(g_{ui})_k \log \operatorname{softmax}(s_{vi}/\tau_s)_k,
              \qquad \Pi = \{(u, v): u \ne v\}

    Row u of ``teacher`` is the teacher's output for global view u, and row u of ``student`` the student's for
    the *same* view; the student's further rows are its local views. No gradient reaches the teacher.

    Known value: student logits all equal give log k, whatever the teacher says.
    Raises ValueError if tau_s <= 0, or the student sees fewer views than the teacher, or no pair is left.
    Source: Caron et al. 2021, arXiv:2104.14294, eq. (3) and algorithm 1.
    """
    views, teachers, n = len(student), len(teacher), student.shape[1]
    if tau_s <= 0:
        raise ValueError(f"need a temperature > 0, got tau_s={tau_s}")
    if views < max(2, teachers) or teachers < 1:
        raise ValueError(f"want views >= 2 of which the first are the teacher's; got {views} and {teachers}")
    targets = teacher_probabilities(teacher.detach(), center, tau_t)  # (globals, n, k)
    log_q = F.log_softmax(student / tau_s, dim=-1)  # (views, n, k)
    agreement = torch.einsum("unk,vnk->uv", targets, log_q)  # (globals, views)
    own = torch.eye(teachers, views, dtype=torch.bool, device=student.device)
    return -agreement.masked_fill(own, 0).sum() / (n * (teachers * views - teachers))


class Center:
    r"""The running mean of the teacher's outputs, over views and images.

    .. math:: c \leftarrow m c + (1 - m)\, \frac1n \sum_i g_i

    Starts at 0. Known value: after one update with constant outputs g, c = (1 - m) g.
    Raises ValueError unless 0 <= momentum < 1.
    Source: Caron et al. 2021, arXiv:2104.14294, eq. (4).
    """

    def __init__(self, k: int, momentum: float = 0.9) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"need 0 <= momentum < 1, got {momentum}")
        self.momentum = momentum
        self._mean = torch.zeros(k)

    @torch.no_grad()
    def update(self, logits: Float[Tensor, "*b k"]) -> None:
        mean = logits.detach().reshape(-1, logits.shape[-1]).mean(dim=0)
        self._mean = self.momentum * self._mean.to(mean) + (1 - self.momentum) * mean

    def value(self) -> Float[Tensor, " k"]:
        return self._mean

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean": self._mean}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._mean = state["mean"]


class DinoHead(nn.Module):
    """Features to k outputs: an MLP, then the cosine to each of k unit prototypes, in [-1, 1].

    Three layers, a bottleneck normalised to length 1, a last layer whose rows have length 1. Batch norm is
    off, as the paper advises for vision transformers.
    Source: Caron et al. 2021, arXiv:2104.14294, sec. 3.1 and appendix C.
    Raises ValueError if k < 2.
    """

    def __init__(self, width: int, hidden: int, bottleneck: int, k: int, batch_norm: bool = False) -> None:
        super().__init__()
        if k < 2:
            raise ValueError(f"need k >= 2 outputs, got {k}")
        layers: list[nn.Module] = []
        for d_in in (width, hidden):
            norm = [nn.BatchNorm1d(hidden)] if batch_norm else []
            layers += [nn.Linear(d_in, hidden), *norm, nn.GELU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(hidden, bottleneck))
        self.prototypes = nn.Parameter(torch.randn(k, bottleneck))
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=1 / math.sqrt(module.in_features))
                nn.init.zeros_(module.bias)

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        return F.normalize(self.mlp(x), dim=-1) @ F.normalize(self.prototypes, dim=-1).T


def entropies(p: Float[Tensor, "n k"]) -> tuple[float, float]:
    r"""The two entropies, in nats, that tell how a teacher has collapsed: H(mean p) and mean H(p).

    Their difference is the mutual information between image and output: 0 in either collapse.

    .. math:: H(\bar p) - \overline{H(p_i)} = \frac1n \sum_i \mathrm{KL}(p_i \,\|\, \bar p) \ge 0

    Known value: n = k different one-hot rows give log k and 0; uniform rows give log k twice.
    """
    p = p.detach().double()
    mean = p.mean(dim=0)
    return torch.special.entr(mean).sum().item(), torch.special.entr(p).sum(dim=-1).mean().item()


def momentum_schedule(start: float, steps: int):
    r"""The teacher's averaging rate at each step: from `start` up to 1, in half a cosine.

    .. math:: m(s) = 1 - (1 - m_0)\,\tfrac12\big(1 + \cos(\pi s/S)\big)

    Known value: m(0) = start, m(S) = 1. Raises ValueError unless 0 <= start <= 1 and steps >= 1.
    Source: Caron et al. 2021, arXiv:2104.14294, sec. 3.1 ("from 0.996 to 1").
    """
    if not 0 <= start <= 1 or steps < 1:
        raise ValueError(f"need 0 <= start <= 1 and steps >= 1, got start={start}, steps={steps}")
    return lambda step: 1 - (1 - start) * (1 + math.cos(math.pi * min(step, steps) / steps)) / 2
