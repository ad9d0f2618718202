"""The three functions of the question, for one node: own message h, neighbours' messages as rows of m.

Row convention: a matrix stands on the right of a row. A scalar weight w is the matrix w I.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def own_and_mean(
    h: Float[Tensor, " d"], m: Float[Tensor, "n d"], W: Float[Tensor, "d k"], W_prime: Float[Tensor, "d k"]
) -> Float[Tensor, " k"]:
    r"""(a) h W + (1/n) sum_j m_j W'; without neighbours, h W.

    Known value: h = 1, m = 2, 4, W = 10, W' = 1 gives 13. Taught in: graphs/message-functions.
    """
    return h @ W + (m @ W_prime).sum(0) / max(len(m), 1)


def maximum_with_own_weights(
    h: Float[Tensor, " d"], m: Float[Tensor, "n d"], W: Float[Tensor, "d k"], rest: Float[Tensor, "n d k"]
) -> Float[Tensor, " k"]:
    r"""(b) max(h W_1, m_1 W_2, m_2 W_3, ...), entry by entry, with a weight for each neighbour.

    Known value: h = 0, m = 1, 2, rest = 1, -1 gives 1; with the neighbours exchanged it gives 2.
    Raises ValueError unless there are as many weights as neighbours. Taught in: graphs/message-functions.
    """
    if len(rest) != len(m):
        raise ValueError(f"{len(rest)} weights for {len(m)} neighbours: this function needs one for each")
    said = torch.einsum("nd,ndk->nk", m, rest)
    return torch.cat([(h @ W)[None], said]).amax(0)


def maximum_with_shared_weight(
    h: Float[Tensor, " d"], m: Float[Tensor, "n d"], W: Float[Tensor, "d k"], W_prime: Float[Tensor, "d k"]
) -> Float[Tensor, " k"]:
    r"""(c) max(h W, m_1 W', m_2 W', ...), entry by entry; without neighbours, h W.

    Known value: h = 0, m = 1, 2, W' = -1 gives 0; with h = -5, W = 1 it gives -1. Taught in:
    graphs/message-functions.
    """
    return torch.cat([(h @ W)[None], m @ W_prime]).amax(0)
