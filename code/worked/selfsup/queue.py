"""What MoCo adds to InfoNCE: keys kept from earlier steps, and a key encoder that changes slowly."""

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from worked.training import follow


class KeyQueue:
    """The last ``size`` keys, unit rows, oldest first; nothing else is remembered and no gradient flows in.

    Known value: size 3 after the batches (a, b) and (c, d) holds b, c, d. Raises ValueError if size or d is
    below 1, or if keys of another width come.
    Source: He et al. 2020, arXiv:1911.05722, sec. 3.2. Taught in: selfsup/contrastive, prop-queue.
    """

    def __init__(self, size: int, d: int, *, dtype: torch.dtype = torch.float32) -> None:
        if size < 1 or d < 1:
            raise ValueError(f"need size >= 1 and d >= 1, got size={size}, d={d}")
        self.size = size
        self._keys = torch.empty(0, d, dtype=dtype)

    @torch.no_grad()
    def update(self, keys: Float[Tensor, "n d"]) -> None:
        """Enter a batch of keys; as many of the oldest leave as are too many."""
        if keys.shape[1] != self._keys.shape[1]:
            raise ValueError(f"want keys of width {self._keys.shape[1]}, got {tuple(keys.shape)}")
        new = F.normalize(keys, dim=1).to(self._keys.dtype)
        self._keys = torch.cat([self._keys.to(new.device), new])[-self.size :]

    def value(self) -> Float[Tensor, "m d"]:
        """The keys, m <= size of them: fewer until enough have come."""
        return self._keys


class MomentumEncoder:
    r"""The key encoder: a copy whose parameters follow those of the query encoder at a constant rate.

    .. math:: \theta_k \leftarrow m \theta_k + (1 - m) \theta_q

    Buffers (running means of batch norm) belong to each encoder and are left alone. It stays in the mode,
    training or not, that the copied encoder was in. m = 0 is the query encoder itself, m = 1 a frozen copy.

    Known value: from 1 towards 0 at m = 0.9, two updates give 0.81. Raises ValueError unless 0 <= m <= 1.
    Source: He et al. 2020, arXiv:1911.05722, eq. (2).
    """

    def __init__(self, encoder: nn.Module, m: float) -> None:
        if not 0 <= m <= 1:
            raise ValueError(f"need 0 <= m <= 1, got {m}")
        self.m, self._query = m, encoder
        self._key = copy.deepcopy(encoder).requires_grad_(False)

    def update(self) -> None:
        follow(self._key, self._query, self.m)

    def value(self) -> nn.Module:
        """The key encoder, without gradients. It goes on changing with `update`."""
        return self._key

    @torch.no_grad()
    def distance(self) -> float:
        """Euclidean distance of all parameters of the two encoders: what `update` shrinks by the factor m."""
        pairs = zip(self._key.parameters(), self._query.parameters(), strict=True)
        return sum((key - query).double().square().sum() for key, query in pairs).sqrt().item()
