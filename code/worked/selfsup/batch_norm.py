"""Batch norm on several devices, in one process: each device knows the statistics of its own part only."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def device_batch_norm(
    x: Float[Tensor, "n c *places"],
    weight: Float[Tensor, " c"],
    bias: Float[Tensor, " c"],
    devices: int = 1,
    eps: float = 1e-5,
) -> Float[Tensor, "n c *places"]:
    r"""Training-mode batch norm of n images that lie, n / devices each and in order, on ``devices`` devices.

    .. math:: y = \gamma \frac{x - \mu_r}{\sqrt{v_r + \epsilon}} + \beta

    mu_r and v_r are mean and (biased) variance of a channel over the images and places of device r.
    devices=1 gives the global statistics.
    Known value: x = 0, 2, 10, 12 in one channel, devices=2, eps=0: -1, 1, -1, 1. Raises ValueError unless
    devices divides n.
    Source: Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1; the parts: He et al. 2020,
    arXiv:1911.05722, sec. 3.3.
    """
    n, c = x.shape[:2]
    if devices < 1 or n % devices:
        raise ValueError(f"{n} images do not spread evenly over {devices} devices")
    apart = (
        x.unflatten(0, (devices, -1)).transpose(0, 1).flatten(1, 2)
    )  # (b, devices c, places): a channel a device
    y = F.batch_norm(apart, None, None, weight.repeat(devices), bias.repeat(devices), training=True, eps=eps)
    return y.unflatten(1, (devices, c)).transpose(0, 1).flatten(0, 1)


class DeviceBatchNorm(nn.Module):
    """A batch norm layer that computes like one on ``devices`` devices while it trains.

    ``norm`` is the nn.BatchNorm1d or 2d whose parameters and running averages it keeps; in eval mode it is
    that layer. The running averages are those of the whole batch. Raises ValueError as `device_batch_norm`
    does.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, devices: int) -> None:
        super().__init__()
        self.norm, self.devices = norm, devices
        self.train(norm.training)

    def forward(self, x: Float[Tensor, "n c *places"]) -> Float[Tensor, "n c *places"]:
        whole = self.norm(x)  # in training mode this also updates the running averages
        if not self.training or self.devices == 1:
            return whole
        return device_batch_norm(x, self.norm.weight, self.norm.bias, self.devices, self.norm.eps)


def replace_batch_norm(
    network: nn.Module, make: Callable[[nn.BatchNorm1d | nn.BatchNorm2d], nn.Module]
) -> nn.Module:
    """A copy of the network with make(norm) in the place of each batch norm."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(module, name, make(child))
    return network


def on_devices(network: nn.Module, devices: int) -> nn.Module:
    """A copy of the network in which each batch norm computes as on ``devices`` devices.

    Known value: on_devices(network, 1) computes what the network does.
    """
    return replace_batch_norm(network, lambda norm: DeviceBatchNorm(norm, devices))


def across_devices(n: int, devices: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """MoCo's shuffling: an order in which to encode n keys, and the one that puts the results back.

    ``keys[back]`` undoes ``images[order]``. The order is random, so a key meets its query's device by
    chance only.
    Known value: order[back] is 0..n-1. Raises ValueError unless devices divides n.
    Source: He et al. 2020, arXiv:1911.05722, sec. 3.3, shuffling BN.
    """
    if devices < 1 or n % devices:
        raise ValueError(f"{n} images do not spread evenly over {devices} devices")
    order = torch.randperm(n, generator=rng)
    return order, order.argsort()
