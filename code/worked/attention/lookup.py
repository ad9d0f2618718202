"""A task that is attention itself: a list of names with values, and the question which value a name has."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked.attention.attend import attend
from worked.attention.multi_head import MultiHeadAttention


class Lookups(NamedTuple):
    """n questions: the name asked for, the list of name and value side by side, and the value."""

    asked: Float[Tensor, "n 1 c"]
    listed: Float[Tensor, "n m cv"]
    answers: Int[Tensor, " n"]


def lookups(
    n: int, names: Float[Tensor, "all c"], *, pairs: int, values: int, rng: torch.Generator
) -> Lookups:
    """n lists of so many different names, each with a random value, and for each list one name of it.

    Values are coordinate vectors of length sqrt(values). Known value: one pair leaves nothing to choose.
    Raises ValueError unless 1 <= pairs <= number of names.
    """
    if not 1 <= pairs <= len(names):
        raise ValueError(f"need 1 <= pairs <= {len(names)} names, got {pairs}")
    chosen = torch.rand(n, len(names), generator=rng).argsort(1)[:, :pairs]  # (n, m)
    value = torch.randint(values, (n, pairs), generator=rng)
    asked, row = torch.randint(pairs, (n,), generator=rng), torch.arange(n)
    listed = torch.cat([names[chosen], values**0.5 * F.one_hot(value, values)], 2)  # (n, m, c + values)
    return Lookups(names[chosen[row, asked]][:, None], listed, value[row, asked])


class Reader(nn.Module):
    """One head that reads a list of lookups: logits of the values, and the weights of the list's entries.

    Scores are ``scale`` times the inner product of query and key. All weights start normal with variance one
    over the number of inputs, and those of the queries divided by ``shrink``.
    """

    def __init__(
        self, c: int, values: int, *, d_k: int, scale: float, shrink: float = 1.0, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.head = MultiHeadAttention(c, 1, d_k=d_k, d_v=2 * values, d_out=values, d_context=c + values)
        self.factor = scale * d_k**0.5  # attend divides by the root
        with torch.no_grad():
            for p in self.head.parameters():
                p.copy_(torch.randn(p.shape, generator=rng) / p.shape[1] ** 0.5)
            self.head.q.weight /= shrink

    def forward(self, asked: Tensor, listed: Tensor) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n m"]]:
        """Logits and weights."""
        q = self.head.q(asked) * self.factor
        out, weights = attend(q, self.head.k(listed), self.head.v(listed))
        return self.head.project(out)[:, 0], weights[:, 0]
