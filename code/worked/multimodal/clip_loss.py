"""CLIP's symmetric loss with its backward pass written by hand: one n x n matrix, not many."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from worked.multimodal.clip_gradient import check
from worked.multimodal.cosine import pull_back, unit_rows

ROWS = 256  # of logits at a time: small beside all n, and still in the processor's cache when used again


def clip_loss(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], log_scale: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    r"""CLIP's loss in nats: cross-entropy of finding the pair, mean over n pairs and both directions.

    .. math::
        L = -\frac1{2n} \sum_{i=1}^n \Big(
            \log \frac{e^{\gamma s_{ii}}}{\sum_j e^{\gamma s_{ij}}}
            + \log \frac{e^{\gamma s_{ii}}}{\sum_j e^{\gamma s_{ji}}} \Big)

    s_ij is the cosine of image embedding x_i and text embedding y_j; it does not contain the temperature.
    gamma = exp(log_scale) = 1/tau does. Both halves read the same logits, which are the only n x n matrix;
    all else is done in blocks of ROWS rows. First derivatives only.

    Known value: if all cosines are equal the loss is log n.
    Raises ValueError if n < 2, shapes or types differ, log_scale is not one number, or a row is zero.
    Source: Radford et al. 2021, arXiv:2103.00020, fig. 3. Taught in: multimodal/clip-gradient, def-clip-loss.
    """
    check(x, y, log_scale)
    return _ClipLoss.apply(x, y, log_scale)


def logits_and_partitions(
    u: Float[Tensor, "n d"], v: Float[Tensor, "m d"], scale: Float[Tensor, ""]
) -> tuple[Float[Tensor, "n m"], Float[Tensor, " n"], Float[Tensor, " m"]]:
    r"""l_ij = scale u_i.v_j, with log sum_j exp l_ij for each row and log sum_i exp l_ij for each column.

    Rows come in blocks. A column's sum is kept as peak + log(total), and rescaled when the peak rises:
    total' = total exp(peak - peak') + sum of exp(l - peak') over the block.

    Known value: for u = v = I_2 and scale 0 all four sums' logarithms are log 2. Taught in: prop-clip-blocks.
    """
    n, m = len(u), len(v)
    logits, rows = u.new_empty(n, m), u.new_empty(n)
    peak, total = u.new_full((m,), -torch.inf), u.new_zeros(m)
    for k in blocks(n):
        block = torch.mm(scale * u[k], v.T, out=logits[k])  # (ROWS, m)
        rows[k] = block.logsumexp(1)
        higher = torch.maximum(peak, block.amax(0))
        total = total * (peak - higher).exp() + (block - higher).exp_().sum(0)
        peak = higher
    return logits, rows, peak + total.log()


class _ClipLoss(torch.autograd.Function):
    """Forward keeps the logits and the logarithms of their sums; backward makes G of them, block by block."""

    @staticmethod
    def forward(ctx, x, y, log_scale):
        scale = log_scale.exp()
        logits, rows, columns = logits_and_partitions(unit_rows(x)[0], unit_rows(y)[0], scale)
        ctx.save_for_backward(x, y, scale, logits, rows, columns)
        return ((rows + columns) / 2 - logits.diagonal()).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, y, scale, logits, rows, columns = ctx.saved_tensors
        x_norm, (v, y_norm), n = x.norm(dim=1, keepdim=True), unit_rows(y), len(x)
        factor = grad * scale / (2 * n)
        grad_x, grad_y, grad_log_scale = torch.empty_like(x), torch.zeros_like(y), torch.zeros_like(scale)
        for k in blocks(n):
            G = (logits[k] - rows[k, None]).exp_()  # P (ROWS, n)
            G.add_((logits[k] - columns).exp_())  # P + Q
            G.diagonal(k.start).sub_(2)  # 2 n G
            u, grad_u = x[k] / x_norm[k], (G @ v).mul_(factor)  # (ROWS, d)
            grad_x[k] = pull_back(x[k], x_norm[k], grad_u)
            grad_y.addmm_(G.T, u)  # of the unit rows, until the loop below
            grad_log_scale += (grad_u * u).sum()
        for k in blocks(n):
            grad_y[k] = pull_back(y[k], y_norm[k], factor * grad_y[k])
        return grad_x, grad_y, grad_log_scale


def blocks(n: int) -> Iterator[slice]:
    """Slices of at most ROWS that cover 0..n-1 in order."""
    return (slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS))
