"""Random initial weights from a given generator, with a stated gain."""

import math

import torch
from torch import nn


def draw_weights(network: nn.Module, *, generator: torch.Generator, gain: float = 2.0) -> None:
    r"""Draw every convolution's and linear map's weights anew, in place; their biases become zero.

    .. math:: w \sim \mathcal N(0, \text{gain} / n_{\text{in}})

    n_in is how many numbers one output is a sum of. gain = 2 keeps the mean square of a ReLU network's maps
    from layer to layer (He); gain = 1/3 is the variance of PyTorch's own default, 1/(3 n_in). A transposed
    convolution counts the inputs of a kernel as large as its stride: one pixel of every input channel.

    Known value: a 3x3 convolution of 8 channels has standard deviation sqrt(2/72) = 1/6.
    Raises ValueError unless gain > 0.
    Source: He et al. 2015, arXiv:1502.01852. Taught in: convolution/unet-and-densenet, thm-dense-gradient.
    """
    if gain <= 0:
        raise ValueError(f"need gain > 0, got {gain}")
    with torch.no_grad():
        for module in network.modules():
            if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                continue
            weight = module.weight
            inputs = len(weight) if isinstance(module, nn.ConvTranspose2d) else weight[0].numel()
            draw = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
            weight.copy_(draw * math.sqrt(gain / inputs))
            if module.bias is not None:
                module.bias.zero_()
