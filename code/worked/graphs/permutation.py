"""New numbers for the nodes of a graph. ``pi[v]`` is the new number of node v, for v = 0..n-1."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from worked.graphs.adjacency import Adjacency


def check_permutation(pi: Int64[Tensor, " n"], n: int) -> None:
    """Raise ValueError unless pi holds each of 0..n-1 once."""
    if pi.shape != (n,) or not torch.equal(pi.sort().values, torch.arange(n, device=pi.device)):
        raise ValueError(f"pi: want each of 0..{n - 1} once, got {pi.tolist()}")


def permutation_matrix(pi: Int64[Tensor, " n"], dtype: torch.dtype = torch.float64) -> Float[Tensor, "n n"]:
    """P with P[pi[v], v] = 1, so that row pi[v] of P H is row v of H.

    Known value: pi = (1, 2, 0) gives P (a, b, c)^T = (c, a, b)^T. Raises ValueError if pi is no permutation.
    """
    check_permutation(pi, len(pi))
    p = torch.zeros(len(pi), len(pi), dtype=dtype, device=pi.device)
    p[pi, torch.arange(len(pi), device=pi.device)] = 1
    return p


def permute_rows(h: Float[Tensor, "n *rest"], pi: Int64[Tensor, " n"]) -> Float[Tensor, "n *rest"]:
    """P H without the matrix: what belongs to node v moves to row pi[v].

    Known value: rows a, b, c under pi = (1, 2, 0) become c, a, b. Raises ValueError if pi is no permutation.
    """
    check_permutation(pi, len(h))
    return h[pi.argsort()]


def permute_graph(adjacency: Adjacency, pi: Int64[Tensor, " n"]) -> Adjacency:
    """The same graph under the new numbers: edge (u, v) becomes (pi[u], pi[v]). Its matrix is P A P^T.

    Known value: edge (0, 1) under pi = (1, 2, 0) becomes (1, 2). Raises ValueError if pi is no permutation.
    """
    check_permutation(pi, adjacency.n)
    return Adjacency(pi[adjacency.edge_index], adjacency.n)
