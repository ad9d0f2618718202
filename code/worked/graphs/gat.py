"""Graph attention: a weighted mean over neighbours, the weights computed from both ends of the edge."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from worked.graphs.adjacency import Adjacency, check_features
from worked.graphs.aggregate import max_neighbours
from worked.graphs.loops import with_loops
from worked.graphs.pattern import Pattern
from worked.graphs.weights import check_weight, uniform


def attention_weights(
    from_score: Float[Tensor, "n heads"],
    to_score: Float[Tensor, "n heads"],
    adjacency: Adjacency,
    slope: float = 0.2,
) -> Float[Tensor, "e heads"]:
    r"""How much v listens to u, for each edge (u, v) in the order of ``adjacency.edge_index``.

    .. math:: \alpha_{vu} = \frac{e^{s_{vu}}}{\sum_{w \in N(v)} e^{s_{vw}}}, \qquad
              s_{vu} = \operatorname{LeakyReLU}(\text{to}_v + \text{from}_u)

    Known value: equal scores give 1 / |N(v)|.
    Raises ValueError for scores that do not fit the graph.
    Source: Velickovic et al. 2018, arXiv:1710.10903, eq. (3). Taught in: graphs/message-functions.
    """
    check_features(from_score, adjacency)
    check_features(to_score, adjacency)
    u, v = adjacency.edge_index
    s = F.leaky_relu(from_score[u] + to_score[v], slope)  # (e, heads)
    place = v[:, None].expand_as(s)
    top = torch.zeros_like(to_score).scatter_reduce(0, place, s.detach(), "amax", include_self=False)
    weight = (s - top[v]).exp()
    return weight / torch.zeros_like(to_score).index_add(0, v, weight)[v]


def attend_neighbours(
    x: Float[Tensor, "n heads c"],
    from_score: Float[Tensor, "n heads"],
    to_score: Float[Tensor, "n heads"],
    adjacency: Adjacency,
    slope: float = 0.2,
) -> Float[Tensor, "n heads c"]:
    r"""For each head the mean of the neighbours' x, weighted by ``attention_weights``; 0 without neighbours.

    .. math:: y_v = \sum_{u \in N(v)} \alpha_{vu} x_u

    Forward and backward are sparse products on one matrix of all heads: no tensor of shape (e, heads, c) is
    ever made. Known value: equal scores give the plain mean.
    Raises ValueError for shapes that do not fit.
    """
    if x.ndim != 3 or x.shape[:2] != from_score.shape or from_score.shape != to_score.shape:
        got = f"x {tuple(x.shape)}, scores {tuple(from_score.shape)} and {tuple(to_score.shape)}"
        raise ValueError(f"want x of shape (n, heads, c) and two scores of shape (n, heads), got {got}")
    check_features(from_score, adjacency)
    return _Attend.apply(x, from_score, to_score, adjacency, slope)


class _Attend(torch.autograd.Function):
    r"""With w the weights before they are normalised, z their sums, y = w x / z and G the gradient at y:

    dx = w^T (G / z),   ds_{vu} = w_{vu} (<G_v / z_v, x_u> - <G_v / z_v, y_v>),

    since the softmax takes \sum_w \alpha_{vw} <G_v, x_w> = <G_v, y_v> from each of <G_v, x_u>. Before the
    LeakyReLU, ds counts ``slope`` times where the sum of scores is negative.
    """

    @staticmethod
    def forward(ctx, x, from_score, to_score, adjacency, slope):
        n, heads, c = x.shape
        pattern, (u, v) = Pattern.of(adjacency, heads), adjacency.edge_index
        raw = from_score.index_select(0, u).add_(to_score.index_select(0, v))  # (e, heads)
        # LeakyReLU rises, so the largest score of a row is that of its largest sender
        top = F.leaky_relu(_largest_sender(from_score, adjacency) + to_score, slope)
        weight = F.leaky_relu(raw, slope).sub_(top.index_select(0, v)).exp_()
        total = pattern.to_receivers(weight)
        total = total.clamp_(min=torch.finfo(x.dtype).tiny).view(-1, 1)  # 0 only where there is no neighbour
        table = x.reshape(n * heads, c)
        matrix = pattern.matrix(weight)
        y = torch.mm(matrix, table).div_(total)
        ctx.adjacency, ctx.slope, ctx.shape, ctx.matrix = adjacency, slope, x.shape, matrix
        ctx.save_for_backward(table, weight, raw, total, y)
        return y.view(n, heads, c)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        n, heads, c = ctx.shape
        pattern, v = Pattern.of(ctx.adjacency, heads), ctx.adjacency.edge_index[1]
        table, weight, raw, total, y = ctx.saved_tensors
        grad = grad.reshape(n * heads, c) / total
        mean = (grad * y).sum(1).view(n, heads)
        ds = pattern.products(grad, table, ctx.matrix).sub_(mean.index_select(0, v)).mul_(weight)
        ds = torch.ops.aten.leaky_relu_backward(ds, raw, ctx.slope, False)
        grad_x = torch.mm(pattern.transposed(weight), grad).view(n, heads, c)
        return grad_x, pattern.to_senders(ds), pattern.to_receivers(ds), None, None


def _largest_sender(score: Float[Tensor, "n heads"], adjacency: Adjacency) -> Float[Tensor, "n heads"]:
    """max_neighbours without a gradient: on a CPU by the sparse kernel, which copies nothing to edges."""
    if score.device.type == "cpu":
        return torch.sparse.mm(adjacency.matrix(score.dtype), score, "amax")
    return max_neighbours(score, adjacency)


class GAT(nn.Module):
    r"""The layer with its own weights: x = h W in heads, scores <x, a_from> and <x, a_to>, plus a bias.

    .. math:: y_v = \sum_{u \in N(v) \cup \{v\}} \alpha_{vu} x_u + b, \qquad x_u = h_u W

    The node itself is among those it listens to. Heads stand end to end, or are averaged if not ``concat``.
    Raises ValueError unless all sizes are at least 1.
    Source: Velickovic et al. 2018, arXiv:1710.10903. Taught in: graphs/message-functions, def-mf-gat.
    """

    def __init__(
        self,
        d: int,
        c: int,
        *,
        heads: int = 1,
        concat: bool = True,
        slope: float = 0.2,
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if heads < 1:
            raise ValueError(f"heads: want 1 or more, got {heads}")
        self.heads, self.concat, self.slope = heads, concat, slope
        self.W = nn.Parameter(uniform(d, heads * c, generator, dtype))
        self.a_from = nn.Parameter(uniform(c, heads, generator, dtype).T.contiguous())  # (heads, c)
        self.a_to = nn.Parameter(uniform(c, heads, generator, dtype).T.contiguous())
        self.bias = nn.Parameter(torch.zeros(heads * c if concat else c, dtype=dtype))

    def scores(
        self, h: Float[Tensor, "n d"]
    ) -> tuple[Float[Tensor, "n heads c"], Float[Tensor, "n heads"], Float[Tensor, "n heads"]]:
        """x, and what each node brings to the score as sender and as receiver.

        <h W, a> = h (W a): the scores take a product with 2 heads columns, not one for each entry of x.
        """
        check_weight("W", self.W, h)
        by_head = self.W.unflatten(1, (self.heads, -1))  # (d, heads, c)
        scores = h @ torch.cat([(by_head * a).sum(2) for a in (self.a_from, self.a_to)], 1)
        x = (h @ self.W).unflatten(1, (self.heads, -1))  # (n, heads, c)
        return x, *scores.chunk(2, 1)

    def weights(self, h: Float[Tensor, "n d"], adjacency: Adjacency) -> Float[Tensor, "e heads"]:
        """``attention_weights`` on the graph with its loops: a row for each edge of ``with_loops``."""
        _, sender, receiver = self.scores(h)
        return attention_weights(sender, receiver, with_loops(adjacency), self.slope)

    def forward(self, h: Float[Tensor, "n d"], adjacency: Adjacency) -> Float[Tensor, "n k"]:
        check_features(h, adjacency)
        y = attend_neighbours(*self.scores(h), with_loops(adjacency), self.slope)  # (n, heads, c)
        return (y.flatten(1) if self.concat else y.mean(1)) + self.bias
