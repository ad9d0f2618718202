"""The fully connected layer and the convolution, each written as the other."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


def as_convolution(layer: nn.Linear, c: int, h: int, w: int) -> nn.Conv2d:
    r"""The convolution with filters as large as the picture that computes what the layer computes on it.

    .. math:: W^{\text{conv}}_{k,c,u,v} = W_{k,\,(c h + u) w + v}, \qquad
              y_k = b_k + \sum_{c,u,v} W^{\text{conv}}_{k,c,u,v}\, x_{c,u,v}

    The layer takes pictures of shape (c, h, w), flattened in this order; the convolution takes them as they
    are, without padding, and returns (b, k, 1, 1); of a larger picture, a map. The weights are copied.

    Known value: five classes on 10x10 grey pictures: filters (5, 1, 10, 10), 505 parameters in either.
    Raises ValueError if the layer does not take c h w numbers.
    Taught in: convolution/connected-or-convolved, thm-cnn-same.
    """
    if layer.in_features != c * h * w:
        raise ValueError(f"want a layer of {c} * {h} * {w} = {c * h * w} inputs, got {layer.in_features}")
    bias = layer.bias is not None
    conv = nn.Conv2d(c, layer.out_features, (h, w), bias=bias).to(layer.weight)
    with torch.no_grad():
        conv.weight.copy_(rearrange(layer.weight, "k (c h w) -> k c h w", c=c, h=h))
        if bias:
            conv.bias.copy_(layer.bias)
    return conv


def dense_matrix(
    weight: Float[Tensor, "k c kh kw"], h: int, w: int, *, padding: int = 0, stride: int = 1
) -> Float[Tensor, "outputs inputs"]:
    r"""The matrix of a convolution without bias on pictures of h x w: shared entries, and zeros.

    .. math:: M_{(k,i,j),(c,y,x)} = W_{k,c,\;y - is + p,\;x - js + p}, \quad
              0 \text{ where the filter has no such entry}

    Rows are numbered as conv2d's output is flattened, columns as its input is; s is the stride, p the padding
    with zeros on all sides.

    Known value: the filter (1, 2) on a row of three pixels gives the matrix ((1, 2, 0), (0, 1, 2)).
    Raises ValueError if the filter is larger than the padded picture.
    Taught in: convolution/connected-or-convolved, thm-cnn-matrix.
    """
    kh, kw = weight.shape[2:]
    if kh > h + 2 * padding or kw > w + 2 * padding:
        raise ValueError(
            f"a filter of {kh} x {kw} does not fit a picture of {h} x {w} with padding {padding}"
        )
    u, rows = _offsets(h, kh, padding, stride, weight.device)
    v, columns = _offsets(w, kw, padding, stride, weight.device)
    inside = rows[:, None, :, None] & columns[None, :, None, :]  # (i, j, y, x)
    entries = weight[:, :, u[:, None, :, None], v[None, :, None, :]] * inside  # (k, c, i, j, y, x)
    return rearrange(entries, "k c i j y x -> (k i j) (c y x)")


def _offsets(
    size: int, kernel: int, padding: int, stride: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Which row of the filter output i lays on row y, (outputs, size), and whether there is such a row."""
    outputs = (size + 2 * padding - kernel) // stride + 1
    index = (
        torch.arange(size, device=device) - stride * torch.arange(outputs, device=device)[:, None] + padding
    )
    return index.clamp(0, kernel - 1), (index >= 0) & (index < kernel)
