"""One sparse matrix for all heads of graph attention: where its entries stand, computed once a graph."""

import torch
from jaxtyping import Float
from torch import Tensor

from worked.graphs.adjacency import Adjacency


class Pattern:
    """Row v heads + k, column u heads + k for each edge (u, v) and head k, so that heads never mix.

    Values are given as a table (e, heads), a row an edge in the order of ``adjacency.edge_index``; the
    pattern knows where the sparse matrix and its transpose want them. Features of shape (n, heads, c), as a
    table of n heads rows, are multiplied by the matrix as they lie in memory.

    Known value: the edges (0, 1), (1, 0) with 2 heads have entries at (0, 2), (1, 3), (2, 0), (3, 1).
    """

    def __init__(self, adjacency: Adjacency, heads: int) -> None:
        u, v = adjacency.edge_index
        head = torch.arange(heads, device=u.device)
        row, column = ((end[:, None] * heads + head).flatten() for end in (v, u))  # (e heads,)
        self.heads, self.size = heads, adjacency.n * heads
        self._order, self._starts, self._column = self._sorted(row, column)
        self._order_t, self._starts_t, self._column_t = self._sorted(column, row)
        self._table_order = self._order.argsort()  # from the matrix's order back to the table's
        self._edges = (adjacency.n, len(u))
        self._incoming = self._row_starts(v, adjacency.n), torch.arange(len(u), device=u.device).int()
        by_sender = u.argsort()
        self._outgoing = self._row_starts(u[by_sender], adjacency.n), by_sender.int()

    @classmethod
    def of(cls, adjacency: Adjacency, heads: int) -> "Pattern":
        """The pattern of a graph, kept with the graph. Raises ValueError unless heads is at least 1."""
        if heads < 1:
            raise ValueError(f"heads: want 1 or more, got {heads}")
        name = f"pattern of {heads} heads"
        if name not in adjacency.kept:
            adjacency.matrix(torch.float32)  # which silences, once a process, that CSR is in beta
            adjacency.kept[name] = cls(adjacency, heads)
        return adjacency.kept[name]

    def matrix(self, values: Float[Tensor, "e heads"]) -> Float[Tensor, "size size"]:
        """The matrix with these values."""
        return self._csr(self._starts, self._column, values.reshape(-1).index_select(0, self._order))

    def transposed(self, values: Float[Tensor, "e heads"]) -> Float[Tensor, "size size"]:
        """Its transpose, sorted by rows of the transpose."""
        return self._csr(self._starts_t, self._column_t, values.reshape(-1).index_select(0, self._order_t))

    def products(
        self, left: Float[Tensor, "size c"], right: Float[Tensor, "size c"], matrix: Tensor
    ) -> Float[Tensor, "e heads"]:
        """For each entry the inner product of left's row at its row and right's row at its column.

        matrix: any that ``matrix()`` made; only the places of its entries count.
        """
        found = torch.sparse.sampled_addmm(matrix, left, right.T, beta=0).values()
        return found.index_select(0, self._table_order).view(-1, self.heads)

    def to_receivers(self, values: Float[Tensor, "e heads"]) -> Float[Tensor, "n heads"]:
        """For each node the sum over the edges that it listens to."""
        return self._sums(self._incoming, values)

    def to_senders(self, values: Float[Tensor, "e heads"]) -> Float[Tensor, "n heads"]:
        """For each node the sum over the edges that it speaks on."""
        return self._sums(self._outgoing, values)

    def _sorted(self, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The order by row, then column; where each row starts; the columns in that order."""
        order = (row * self.size + column).argsort()
        return order, self._row_starts(row[order], self.size), column[order].int()

    @staticmethod
    def _row_starts(row: Tensor, rows: int) -> Tensor:
        return torch.searchsorted(row, torch.arange(rows + 1, device=row.device)).int()

    def _sums(self, which: tuple[Tensor, Tensor], values: Tensor) -> Tensor:
        ones = values.new_ones(len(values))
        return torch.mm(torch.sparse_csr_tensor(*which, ones, self._edges, check_invariants=False), values)

    def _csr(self, starts: Tensor, column: Tensor, values: Tensor) -> Tensor:
        return torch.sparse_csr_tensor(starts, column, values, (self.size, self.size), check_invariants=False)
