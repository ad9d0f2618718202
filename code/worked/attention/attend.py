"""Scaled dot-product attention, with its backward pass written out: the one that all of the book uses."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def attend(
    q: Float[Tensor, "*g n d"],
    k: Float[Tensor, "*g m d"],
    v: Float[Tensor, "*g m e"],
    bias: Float[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "*g n e"], Float[Tensor, "*g n m"]]:
    r"""What n queries read from m keys and values, in each of the groups g; and the weights P of the mixture.

    .. math:: P = \operatorname{softmax}\Big(\frac{q k^\top}{\sqrt d} + B\Big), \qquad P v

    Row i of P belongs to query i and sums to one. The bias B broadcasts to (*g, n, m); minus infinity in row
    i and column j forbids query i to read j (see `as_bias`). Gradients flow through both results, once.

    Known value: equal keys and no bias give every query the mean of the rows of v, and weights 1/m.
    A query to which all keys are forbidden gets nan: the mean of nothing.
    Raises ValueError if q, k and v do not belong together, or the bias does not broadcast to (*g, n, m).
    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. (1). Taught in: attention/multi-head, def-multi-attend.
    """
    *g, n, d = q.shape
    m = k.shape[-2]
    if k.shape != (*g, m, d) or v.shape[:-1] != (*g, m):
        raise ValueError(
            f"got q, k, v of {[tuple(t.shape) for t in (q, k, v)]}, want (*g, n, d), (*g, m, d), (*g, m, e)"
        )
    if bias is not None and (
        bias.ndim > len(g) + 2
        or any(have not in (1, want) for have, want in zip(bias.shape[::-1], [m, n, *g[::-1]], strict=False))
    ):
        raise ValueError(f"a bias of shape {tuple(bias.shape)} does not fit scores of {(*g, n, m)}")
    return _Attend.apply(q, k, v, bias)


def as_bias(allowed: Bool[Tensor, "*s"], dtype: torch.dtype = torch.float32) -> Float[Tensor, "*s"]:
    """0 where allowed is True, minus infinity elsewhere: what `attend` adds to the scores.

    True = may be read, as in scaled_dot_product_attention; in MultiheadAttention's masks True = forbidden.
    """
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, -torch.inf)


class _Attend(torch.autograd.Function):
    r"""P v and P. With G and H the gradients of the loss with respect to the two:

    .. math:: dV = P^\top G, \quad dP = G V^\top + H, \quad
              dS = P \odot (dP - (P \odot dP)\mathbf 1 \mathbf 1^\top), \quad
              dQ = dS\,K / \sqrt d, \quad dK = dS^\top Q / \sqrt d, \quad dB = dS

    with dB summed over whatever B is broadcast over. Autograd would find the same; here scores are scaled as
    they are made, and the product is written for groups without a copy of the weights.
    """

    @staticmethod
    def forward(ctx, q, k, v, bias):
        ctx.set_materialize_grads(False)
        ctx.groups, ctx.scale = q.shape[:-2], q.shape[-1] ** -0.5
        many = math.prod(ctx.groups)
        q, k, v = (t.reshape(many, *t.shape[-2:]) for t in (q, k, v))
        scores = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0, alpha=ctx.scale)  # (groups, n, m)
        scores = scores.view(*ctx.groups, *scores.shape[-2:])  # (*g, n, m)
        if bias is not None:
            scores.add_(bias)
        P = scores.softmax(-1)
        ctx.save_for_backward(q, k, v, P)
        ctx.bias_shape = None if bias is None else bias.shape
        out = torch.bmm(P.reshape(many, *P.shape[-2:]), v)
        return out.reshape(*ctx.groups, *out.shape[-2:]), P

    @staticmethod
    @once_differentiable
    def backward(ctx, G, H):
        q, k, v, P = ctx.saved_tensors
        P = P.reshape(len(q), *P.shape[-2:])
        dV, dP = None, None if H is None else H.reshape(P.shape)
        if G is not None:
            G = G.reshape(len(q), *G.shape[-2:])
            dV = torch.bmm(P.mT, G)
            dP = torch.bmm(G, v.mT) if dP is None else torch.baddbmm(dP, G, v.mT)
        if dP is None:
            return None, None, None, None
        dS = torch._softmax_backward_data(dP, P, -1, P.dtype)
        none = q.new_empty(())
        dQ = torch.baddbmm(none, dS, k, beta=0, alpha=ctx.scale)
        dK = torch.baddbmm(none, dS.mT, q, beta=0, alpha=ctx.scale)
        shaped = [None if t is None else t.reshape(*ctx.groups, *t.shape[-2:]) for t in (dQ, dK, dV, dS)]
        dB = None
        if ctx.bias_shape is not None and ctx.needs_input_grad[3]:
            dB = shaped[3].sum_to_size(ctx.bias_shape)
        return *shaped[:3], dB
