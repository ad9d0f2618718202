"""Who sends messages to whom: a sparse 0/1 matrix A whose transpose is kept for the backward pass.

Convention, the one of PyTorch Geometric: a column (u, v) of ``edge_index`` is an edge from u to v: node v
listens to its neighbour u, and A[v, u] = 1. Row v of A H is then the sum of h_u over u in N(v).
"""

import warnings
from typing import Any

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor


class Adjacency:
    r"""The adjacency matrix A of a graph on nodes 0..n-1, stored by rows; multiply with ``adjacency @ h``.

    .. math:: (A H)_v = \sum_{u \in N(v)} h_u, \qquad N(v) = \{u : (u, v) \text{ is an edge}\}

    edge_index: row 0 holds the senders u, row 1 the receivers v. An undirected graph lists each edge in both
    directions. Loops (v, v) and nodes without edges are fine. N(v) is a set, so no edge may stand twice.
    ``edge_index`` is kept sorted by receiver, then sender; ``symmetric`` says whether A = A^T.

    Known value: edges (0, 1), (1, 0), (1, 2), (2, 1) make a path; A (1, 10, 100)^T = (10, 101, 10)^T.
    Raises ValueError, naming the edge, for a node outside 0..n-1 and for an edge that stands twice.
    Taught in: graphs/equivariance, def-layer.
    """

    edge_index: Int64[Tensor, "2 e"]
    n: int
    symmetric: bool
    kept: dict[str, Any]  # what a layer derives from the graph alone, so that it is computed once

    def __init__(self, edge_index: Int[Tensor, "2 e"], n: int) -> None:
        if edge_index.ndim != 2 or len(edge_index) != 2 or edge_index.dtype not in (torch.int32, torch.int64):
            got = f"shape {tuple(edge_index.shape)} of {edge_index.dtype}"
            raise ValueError(f"edge_index: want shape (2, e) of int64 or int32, got {got}")
        if n < 1:
            raise ValueError(f"a graph needs at least one node, got n={n}")
        u, v = edge_index.long()
        outside = ((u < 0) | (u >= n) | (v < 0) | (v >= n)).nonzero()
        if len(outside):
            edge = tuple(edge_index[:, outside[0, 0]].tolist())
            raise ValueError(f"edge {edge} has an end that does not exist: n={n}, so nodes are 0..{n - 1}")
        key = (v * n + u).sort().values  # one number an edge, in the order of rows of A
        twice = (key.diff() == 0).nonzero()
        if len(twice):
            v_twice, u_twice = divmod(int(key[twice[0, 0]]), n)
            raise ValueError(f"edge {(u_twice, v_twice)} stands twice; N(v) is a set, so list each edge once")
        self.n = n
        self.edge_index = torch.stack([key % n, key // n])
        key_transposed = (self.edge_index[0] * n + self.edge_index[1]).sort().values
        self.symmetric = torch.equal(key, key_transposed)
        self._key, self._key_transposed = key, key if self.symmetric else key_transposed
        self._matrices: dict[tuple[torch.dtype, bool], Tensor] = {}
        self.kept = {}

    def matrix(self, dtype: torch.dtype, transposed: bool = False) -> Float[Tensor, "n n"]:
        """A, or its transpose, as a CSR tensor: built at the first call, then kept."""
        transposed = transposed and not self.symmetric
        if (dtype, transposed) not in self._matrices:
            key = self._key_transposed if transposed else self._key
            self._matrices[dtype, transposed] = _csr(key, self.n, dtype)
        return self._matrices[dtype, transposed]

    def dense(self, dtype: torch.dtype = torch.float64) -> Float[Tensor, "n n"]:
        """A with its zeros written out: for small graphs and for checks."""
        u, v = self.edge_index
        a = torch.zeros(self.n, self.n, dtype=dtype, device=u.device)
        a[v, u] = 1
        return a

    def in_degrees(self) -> Int64[Tensor, " n"]:
        """How many neighbours each node listens to: the row sums of A."""
        return torch.bincount(self.edge_index[1], minlength=self.n)

    def to(self, device: torch.device | str) -> "Adjacency":
        return Adjacency(self.edge_index.to(device), self.n)

    def __matmul__(self, h: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """A H, differentiable in H as often as wanted."""
        check_features(h, self)
        return _Product.apply(h, self, False)

    def __repr__(self) -> str:
        return f"Adjacency(n={self.n}, edges={self.edge_index.shape[1]}, symmetric={self.symmetric})"


def check_features(h: Tensor, adjacency: Adjacency) -> None:
    """Raise ValueError unless h has a row of float32 or float64 features for each node of the graph."""
    if h.ndim != 2 or len(h) != adjacency.n:
        raise ValueError(f"h: want shape ({adjacency.n}, d), a row a node, got {tuple(h.shape)}")
    if h.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"h: want float32 or float64, got {h.dtype}")


class _Product(torch.autograd.Function):
    """A H; the gradient of a scalar with respect to H is A^T times that with respect to A H."""

    @staticmethod
    def forward(ctx, h, adjacency, transposed):
        ctx.adjacency, ctx.transposed = adjacency, transposed
        return torch.mm(adjacency.matrix(h.dtype, transposed), h)

    @staticmethod
    def backward(ctx, grad):
        return _Product.apply(grad, ctx.adjacency, not ctx.transposed), None, None


def _csr(key: Int64[Tensor, " e"], n: int, dtype: torch.dtype) -> Float[Tensor, "n n"]:
    """The CSR tensor with a 1 at row key // n, column key % n, for sorted keys.

    Indices are int32 because MKL takes these as they are; int64 would be copied at each product.
    """
    starts = torch.arange(n + 1, device=key.device) * n
    crow = torch.searchsorted(key, starts).int()
    col = (key % n).int()
    ones = torch.ones(len(key), dtype=dtype, device=key.device)
    with warnings.catch_warnings():
        # PyTorch says once a process that its CSR tensors are in beta. We use their construction and their
        # product with a dense matrix, and test both: the warning would tell a reader nothing.
        warnings.filterwarnings(
            "ignore", message="Sparse CSR tensor support is in beta", category=UserWarning
        )
        return torch.sparse_csr_tensor(crow, col, ones, (n, n), check_invariants=True)
