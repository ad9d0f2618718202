"""One round of message passing: each node adds what it is to what its neighbours say."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from worked.graphs.adjacency import Adjacency, check_features
from worked.graphs.dense import product


def message_passing(
    h: Float[Tensor, "n d"], adjacency: Adjacency, W: Float[Tensor, "d k"], W_prime: Float[Tensor, "d k"]
) -> Float[Tensor, "n k"]:
    r"""The layer before its activation, for all nodes at once. Linear in h, in W and in W'.

    .. math:: S = H W + A H W', \qquad s_v = h_v W + \sum_{u \in N(v)} h_u W'

    Row v of H is h_v, so weights stand on the right: W and W' here are the transposes of those that multiply
    column vectors. W acts on the node itself, W' on its neighbours.

    Known value: on the path 0 - 1 - 2 with h = 1, 10, 100, W = 2, W' = 3 gives 32, 323, 230.
    Raises ValueError for shapes that do not fit and for types other than float32 and float64.
    Source: Morris et al. 2019, arXiv:1810.02244, the basic GNN. Taught in: graphs/equivariance, def-layer.
    """
    check_features(h, adjacency)
    for name, weight in (("W", W), ("W_prime", W_prime)):
        if weight.ndim != 2 or len(weight) != h.shape[1] or weight.shape != W.shape:
            want = f"({h.shape[1]}, k) with one k for both weights"
            raise ValueError(f"{name}: want shape {want}, got {tuple(weight.shape)}, W has {tuple(W.shape)}")
        if weight.dtype != h.dtype:
            raise ValueError(f"{name}: want {h.dtype}, the type of h, got {weight.dtype}")
    return _MessagePassing.apply(h, adjacency, W, W_prime)


class _MessagePassing(torch.autograd.Function):
    """S = H W + A H W' and, for G the gradient of the loss with respect to S, the gradients

    H: G W^T + A^T G W'^T,   W: H^T G,   W': (A H)^T G = H^T (A^T G).

    (A H) W' = A (H W'): the sparse product is taken on the side where rows are shorter.
    """

    @staticmethod
    def forward(ctx, h, adjacency, W, W_prime):
        d, k = W.shape
        ctx.adjacency = adjacency
        a = adjacency.matrix(h.dtype)
        if d <= k:
            a_h = torch.mm(a, h)  # (n, d)
            ctx.save_for_backward(h, a_h, W, W_prime)
            return product(h, W).add_(product(a_h, W_prime))
        ctx.save_for_backward(h, None, W, W_prime)
        return product(h, W).addmm_(a, product(h, W_prime))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        h, a_h, W, W_prime = ctx.saved_tensors
        need_h, _, need_W, need_W_prime = ctx.needs_input_grad
        a_transposed = ctx.adjacency.matrix(grad.dtype, transposed=True)
        grad_h = grad_W = grad_W_prime = None
        if need_h:
            grad_h = product(grad, W.T)
        if need_W:
            grad_W = product(h.T, grad)
        if a_h is not None:  # A was multiplied first
            if need_W_prime:
                grad_W_prime = product(a_h.T, grad)
            if need_h:
                grad_h.addmm_(a_transposed, product(grad, W_prime.T))
        elif need_h or need_W_prime:
            a_grad = torch.mm(a_transposed, grad)  # (n, k)
            if need_W_prime:
                grad_W_prime = product(h.T, a_grad)
            if need_h:
                grad_h.add_(product(a_grad, W_prime.T))
        return grad_h, None, grad_W, grad_W_prime


class MessagePassing(nn.Module):
    """The layer with its own W and W' (both d x k), drawn uniformly within +-1/sqrt(d) by the generator.

    No activation and no bias: sigma stands where the layer is used.
    Raises ValueError unless d and k are at least 1.
    """

    def __init__(
        self, d: int, k: int, *, generator: torch.Generator | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        if d < 1 or k < 1:
            raise ValueError(f"need at least one feature in and out, got d={d}, k={k}")
        draws = torch.rand(2, d, k, generator=generator, dtype=dtype) * 2 - 1
        self.W, self.W_prime = (nn.Parameter(draw / d**0.5) for draw in draws)

    def forward(self, h: Float[Tensor, "n d"], adjacency: Adjacency) -> Float[Tensor, "n k"]:
        return message_passing(h, adjacency, self.W, self.W_prime)
