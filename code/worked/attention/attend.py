"""Attention within groups of tokens, with its backward pass written out."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable


def attend(
    qkv: Float[Tensor, "3 *g n d"], bias: Float[Tensor, "..."] | None = None
) -> Float[Tensor, "*g n d"]:
    r"""Attention within each group of n tokens; qkv holds queries, keys and values, one after the other.

    .. math:: P = \operatorname{softmax}\Big(\frac{q k^\top}{\sqrt d} + B\Big), \qquad P v

    The bias B broadcasts to (*g, n, n); minus infinity in row i and column j forbids i to attend j.
    Known value: equal keys and no bias give every token the mean of the rows of v.
    Raises ValueError if the bias does not broadcast to (*g, n, n).
    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. (1).
    """
    if bias is not None:
        *g, n, _ = qkv.shape[1:]
        if bias.ndim > len(g) + 2 or any(
            have not in (1, want) for have, want in zip(bias.shape[::-1], [n, n, *reversed(g)], strict=False)
        ):
            raise ValueError(f"a bias of shape {tuple(bias.shape)} does not fit scores of {(*g, n, n)}")
    return _Attend.apply(qkv, bias)


class _Attend(torch.autograd.Function):
    r"""P v and, for G the gradient of the loss with respect to it, the gradients

    .. math:: dV = P^\top G, \quad dS = P \odot (dP - (P \odot dP)\mathbf 1), \quad dP = G V^\top,
              dQ = dS\,K / \sqrt d, \quad dK = dS^\top Q / \sqrt d, \quad dB = dS

    with dB summed over whatever B is broadcast over. Autograd would find the same; here the three gradients
    are written side by side where they are wanted, and scores are scaled as they are made.
    """

    @staticmethod
    def forward(ctx, qkv, bias):
        q, k, v = qkv.flatten(1, -3)  # (groups, n, d) each
        scale = q.shape[-1] ** -0.5
        scores = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0, alpha=scale)  # (groups, n, n)
        scores = scores.unflatten(0, qkv.shape[1:-2])  # (*g, n, n)
        if bias is not None:
            scores.add_(bias)
        P = scores.softmax(-1)
        ctx.save_for_backward(qkv, P)
        ctx.bias_shape = None if bias is None else bias.shape
        return torch.bmm(P.flatten(0, -3), v).reshape(qkv.shape[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        qkv, P = ctx.saved_tensors
        (q, k, v), G, P = qkv.flatten(1, -3), grad.flatten(0, -3), P.flatten(0, -3)
        scale, out = q.shape[-1] ** -0.5, torch.empty_like(qkv)
        dq, dk, dv = out.flatten(1, -3)
        torch.bmm(P.mT, G, out=dv)
        dS = torch._softmax_backward_data(torch.bmm(G, v.mT), P, -1, P.dtype)
        torch.baddbmm(dq, dS, k, beta=0, alpha=scale, out=dq)
        torch.baddbmm(dk, dS.mT, q, beta=0, alpha=scale, out=dk)
        dB = None
        if ctx.bias_shape is not None and ctx.needs_input_grad[1]:
            dB = dS.unflatten(0, qkv.shape[1:-2]).sum_to_size(ctx.bias_shape)
        return out, dB
