"""BYOL: an online network with a predictor foretells what its slowly moving copy sees in another view.

No negatives. The loss has constant solutions; selfsup/byol asks what keeps the training away from them.
"""

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worked.training import follow


def byol_loss(
    q: Float[Tensor, "n d"], z: Float[Tensor, "n d"], stop_gradient: bool = True
) -> Float[Tensor, ""]:
    r"""Squared distance of the unit vectors along prediction q and target z, averaged over n pairs.

    .. math:: \frac1n \sum_i \Big| \frac{q_i}{|q_i|} - \frac{z_i}{|z_i|} \Big|^2
              = \frac1n \sum_i \big( 2 - 2 \cos(q_i, z_i) \big)

    z is taken as a constant: no gradient flows into it, unless stop_gradient=False, which is there to show
    what that does. Rescaling a row of q or z changes nothing.

    Known value: 0 for parallel rows, 2 for orthogonal ones, 4 for opposite ones.
    Raises ValueError without rows, on shapes that differ, and on a row of zeros, which has no direction.
    Source: Grill et al. 2020, arXiv:2006.07733, eq. (2). Taught in: selfsup/byol, thm-byol-loss.
    """
    if q.shape != z.shape or q.ndim != 2 or len(q) == 0:
        raise ValueError(
            f"want two equal shapes (n, d) with n >= 1, got {tuple(q.shape)} and {tuple(z.shape)}"
        )
    if stop_gradient:
        z = z.detach()
    for name, rows in (("q", q), ("z", z)):
        if (rows == 0).all(dim=1).any():
            raise ValueError(f"{name} has a row of zeros, which has no direction")
    difference = F.normalize(q, dim=1, eps=0) - F.normalize(z, dim=1, eps=0)  # (n, d)
    return difference.square().sum(1).mean()


class Pair(nn.Module):
    r"""The online network, its predictor, and the target network that follows it.

    .. math:: \xi \leftarrow m \xi + (1 - m) \theta

    theta are the parameters of ``online`` (encoder and projector), xi those of ``target``, m the decay. The
    predictor has no copy. With m = 0 the target *is* the online network (SimSiam). ``predictor=None`` leaves
    the predictor out. Like the online network, the target normalises by the statistics of its own batch.

    Known value: a parameter at 1 whose copy is at 0 gives 0.1 after one `update` with m = 0.9.
    Raises ValueError unless 0 <= m <= 1 (m = 1: the target never moves).
    Source: Grill et al. 2020, arXiv:2006.07733, eq. (1). Taught in: selfsup/byol, alg-byol.
    """

    def __init__(self, online: nn.Module, predictor: nn.Module | None, decay: float) -> None:
        super().__init__()
        if not 0 <= decay <= 1:
            raise ValueError(f"need 0 <= decay <= 1, got {decay}")
        self.online, self.decay = online, decay
        self.predictor = predictor if predictor is not None else nn.Identity()
        self.target = online if decay == 0 else copy.deepcopy(online)

    def trained(self, stop_gradient: bool = True) -> list[nn.Parameter]:
        """The parameters that the optimiser moves: without the stop, the target's are among them."""
        if stop_gradient:
            return [*self.online.parameters(), *self.predictor.parameters()]
        return list(self.parameters())

    def loss(
        self, x1: Float[Tensor, "n c h w"], x2: Float[Tensor, "n c h w"], stop_gradient: bool = True
    ) -> Float[Tensor, ""]:
        """Both ways: predict view 2 from view 1, and view 1 from view 2. Between 0 and 8.

        Both views pass through each network side by side, so batch norm sees all 2n of them.
        """
        both, n = torch.cat([x1, x2]), len(x1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not stop_gradient):
            z = self.target(both)  # (2 n, d)
        q = self.predictor(self.online(both))
        return 2 * byol_loss(q, z.roll(n, dims=0), stop_gradient)

    def update(self) -> None:
        """Move the target towards the online network; its running statistics are its own."""
        if self.target is not self.online:
            follow(self.target, self.online, self.decay)
