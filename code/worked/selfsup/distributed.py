"""Embeddings and batch statistics of several processes, with gradients; by torch.distributed."""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def gather(z: Float[Tensor, "n d"]) -> Float[Tensor, "all_n d"]:
    r"""The rows of all processes, in the order of ranks, on every process; gradients find their way back.

    If process r goes on to compute a loss l_r from the gathered rows, the gradient that reaches the rows of
    a process is that of the *sum* of all l_r. DistributedDataParallel divides by the number of processes:
    together, the gradient of the mean loss. ``torch.distributed.all_gather`` alone returns constants.

    All processes must hold equally many rows. In a single process it returns z.
    Known value: with l_r = r-independent sum of all rows and W processes, every row's gradient is W.
    Source: Chen et al. 2020, arXiv:2002.05709, sec. 3 (global batch). Taught in: selfsup/contrastive,
    prop-gather.
    """
    if not dist.is_initialized():
        return z
    return _Gather.apply(z)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        parts = [torch.empty_like(z) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, z.contiguous())
        ctx.rows = slice(len(z) * dist.get_rank(), len(z) * (dist.get_rank() + 1))
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)  # sum over the processes' losses
        return total[ctx.rows]


def sync_batch_norm(
    x: Float[Tensor, "n c *places"], weight: Float[Tensor, " c"], bias: Float[Tensor, " c"], eps: float = 1e-5
) -> Float[Tensor, "n c *places"]:
    r"""Batch norm in training mode with mean and variance over the images of all processes.

    .. math:: \hat x = \frac{x - \mu}{\sqrt{v + \epsilon}}, \quad y = \gamma \hat x + \beta, \qquad
        \nabla x = \frac{\gamma}{\sqrt{v + \epsilon}}
        \big(\nabla y - \langle \nabla y \rangle - \hat x \langle \hat x \odot \nabla y \rangle\big)

    mu, v and the brackets are means per channel over images, places *and processes*. gamma and beta get the
    gradients of this process's images: the sum over processes is the whole, and DistributedDataParallel
    takes the mean.

    In a single process it is ordinary batch norm. Processes may hold different numbers of images.
    Known value: two processes with one channel, x = 0 and x = 2, eps = 0, weight 1 and bias 0: -1 and 1.
    Source: Ioffe & Szegedy 2015, arXiv:1502.03167, sec. 3, the means over the mini-batch taken over all
    devices.
    """
    return _SyncBatchNorm.apply(x, weight, bias, eps)


class _SyncBatchNorm(torch.autograd.Function):
    """Statistics in two rounds, the mean and then the squares about it: a plain sum of squares cancels."""

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        axes, ones = _axes(x), [1, -1] + [1] * (x.ndim - 2)
        count = torch.full((1,), x.numel() // x.shape[1], dtype=x.dtype, device=x.device)
        total = _sum_over_processes(torch.cat([x.sum(axes), count]))
        count, mean = total[-1], (total[:-1] / total[-1]).reshape(ones)
        centred = x - mean
        variance = _sum_over_processes(centred.square().sum(axes)) / count
        scale = (variance + eps).rsqrt().reshape(ones)
        normal = centred * scale
        ctx.save_for_backward(normal, scale, weight, count)
        return normal * weight.reshape(ones) + bias.reshape(ones)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        normal, scale, weight, count = ctx.saved_tensors
        axes, ones = _axes(grad), scale.shape
        of_weight, of_bias = (grad * normal).sum(axes), grad.sum(axes)
        total = _sum_over_processes(torch.cat([of_weight, of_bias])) / count
        slope, shift = (part.reshape(ones) for part in total.chunk(2))
        of_x = weight.reshape(ones) * scale * (grad - shift - normal * slope)
        return of_x, of_weight, of_bias, None


class SyncBatchNorm(nn.Module):
    """The layer of `sync_batch_norm`, with the parameters of the norm it replaces; no running averages."""

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Float[Tensor, "n c *places"]) -> Float[Tensor, "n c *places"]:
        return sync_batch_norm(x, self.weight, self.bias, self.eps)


@torch.no_grad()
def average_gradients(network: nn.Module) -> None:
    """Replace every gradient by its mean over the processes: what DistributedDataParallel does.

    Known value: gradients 1 and 3 in two processes become 2 in both. In a single process nothing changes.
    Raises ValueError for a parameter that has no gradient: the processes would wait for one another in vain.
    Source: Li et al. 2020, arXiv:2006.15704, sec. 3.
    """
    for name, p in network.named_parameters():
        if p.grad is None:
            raise ValueError(f"{name} has no gradient: run the backward pass first")
        if dist.is_initialized():
            dist.all_reduce(p.grad)
            p.grad.div_(dist.get_world_size())


def _axes(x: Tensor) -> list[int]:
    return [axis for axis in range(x.ndim) if axis != 1]


def _sum_over_processes(x: Tensor) -> Tensor:
    """The sum over all processes, on each; in place, and of a single process the tensor itself."""
    if dist.is_initialized():
        dist.all_reduce(x)
    return x
