"""A classifier of small pictures, slid over a large one: crop by crop, and all at once."""

import copy

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from worked.convolution.connected import as_convolution

POINTWISE = (nn.ReLU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.Identity)


def crops(x: Float[Tensor, "b c h w"], size: int, step: int = 1) -> Float[Tensor, "b i j c size size"]:
    """All crops of size x size whose upper left corners lie at multiples of step: a view, no copy.

    Known value: 5x7 pixels have 3 x 5 crops of 3x3 at step 1, and 2 x 3 at step 2.
    Raises ValueError if no crop fits or step < 1.
    """
    if min(x.shape[2:]) < size or step < 1:
        raise ValueError(
            f"want pictures of at least {size} x {size} and step >= 1, got {tuple(x.shape)}, step {step}"
        )
    return rearrange(x.unfold(2, size, step).unfold(3, size, step), "b c i j u v -> b i j c u v")


def crop_by_crop(
    network: nn.Module, x: Float[Tensor, "b c h w"], size: int, step: int = 1
) -> Float[Tensor, "b k i j"]:
    """The network's scores on every crop, each computed alone: the slow meaning of a sliding classifier."""
    patches = crops(x, size, step)
    b, i, j = patches.shape[:3]
    scores = network(patches.flatten(0, 2))  # (b i j, k)
    return rearrange(scores, "(b i j) k -> b k i j", b=b, i=i, j=j)


def slid(network: nn.Sequential, c: int, size: int) -> tuple[nn.Sequential, int]:
    """The same network without a fixed input size, and its step: the product of all strides.

    Convolutions and pooling are taken over as they are, the first linear layer after Flatten becomes a
    convolution with filters as large as its map, and later ones become 1x1 convolutions. Output (i, j) is
    what the network says of the crop at (i step, j step). No parameters are shared with the network given.

    Known value: Flatten and Linear(100, 5) on 10x10 pictures become one convolution of five 10x10 filters,
    step 1.
    Raises ValueError for padding, dilation or ceil_mode (a crop's border would not be the picture's), for
    strides that do not fit the size, and for layers of other kinds.
    Source: Sermanet et al. 2014, arXiv:1312.6229; Long et al. 2015, arXiv:1411.4038.
    Taught in: convolution/connected-or-convolved, thm-cnn-slide.
    """
    layers: list[nn.Module] = []
    step, flat = 1, False
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) and not flat:
            side, kernel, stride = size, _side(layer, "kernel_size"), _side(layer, "stride")
            if (
                _side(layer, "padding")
                or getattr(layer, "ceil_mode", False)
                or _side(layer, "dilation", 1) != 1
            ):
                raise ValueError(f"want no padding, dilation or ceil_mode, got {layer}")
            if side < kernel or (side - kernel) % stride:
                raise ValueError(f"want a stride that uses every row, got {side} rows for {layer}")
            size, step = (side - kernel) // stride + 1, step * stride
            if isinstance(layer, nn.Conv2d):
                c = layer.out_channels
            layers.append(copy.deepcopy(layer))
        elif isinstance(layer, nn.Flatten) and not flat:
            flat = True
        elif isinstance(layer, nn.Linear) and flat:
            layers.append(as_convolution(layer, c, size, size))
            c, size = layer.out_features, 1
        elif isinstance(layer, POINTWISE):
            layers.append(copy.deepcopy(layer))
        else:
            raise ValueError(f"want Conv2d, pooling, an activation, Flatten and then Linear, got {layer}")
    if not flat:
        raise ValueError("want a network that flattens its map; this one takes any size as it is")
    return nn.Sequential(*layers), step


def _side(layer: nn.Module, name: str, default: int = 0) -> int:
    """A square attribute as one number."""
    value = getattr(layer, name, default)
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if isinstance(value, str) or len(set(pair)) != 1:
        raise ValueError(f"want the same {name} for rows and columns, got {value!r}")
    return pair[0]
