"""Deformable convolution, versions 1 and 2: every output reads its input at points of its own."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Pair = int | tuple[int, int]


def pair(value: Pair) -> tuple[int, int]:
    """The same number for rows and columns, or one of each. Known value: pair(2) = (2, 2)."""
    return (value, value) if isinstance(value, int) else value


def sampling_points(
    offsets: Float[Tensor, "b two_gk h w"],
    kernel: Pair,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Float[Tensor, "b g k h w 2"]:
    r"""Where each output reads: rows and columns of the input, counted from the centre of its first pixel.

    .. math:: p_n(i) = s\,i - a + d\,n + \Delta p_n(i)

    i is the place of the output, n = (0, 0), (0, 1), ... one of the k = kh kw taps, row by row; s stride,
    a padding, d dilation, each for its axis. Channels of the offsets, in this order: offset group, tap, and
    then the *row's offset before the column's*, as torchvision has it. The last axis of the result is (y, x).

    Known value: without offsets, a 1 x 1 kernel with stride 2 reads output (1, 3) at (2, 6).
    Raises ValueError unless the channels are a multiple of 2 k.
    Source: Dai et al. 2017, arXiv:1703.06211. Taught in: convolution/deformable, def-deform-layer.
    """
    (kh, kw), (sy, sx), (ay, ax), (ey, ex) = map(pair, (kernel, stride, padding, dilation))
    _b, channels, h, w = offsets.shape
    if channels == 0 or channels % (2 * kh * kw):
        raise ValueError(f"offsets: want a multiple of 2 x {kh} x {kw} channels, got {channels}")
    dy, dx = offsets.unflatten(1, (-1, kh * kw, 2)).unbind(3)  # (b, g, k, h, w) each

    def count(n: int) -> Tensor:
        return torch.arange(n, device=offsets.device, dtype=offsets.dtype)

    y = (sy * count(h) - ay)[:, None] + (ey * count(kh)).repeat_interleave(kw)[:, None, None]  # (k, h, 1)
    x = (sx * count(w) - ax) + (ex * count(kw)).repeat(kh)[:, None, None]  # (k, 1, w)
    return torch.stack([y + dy, x + dx], -1)


def bilinear(x: Float[Tensor, "b c h w"], points: Float[Tensor, "b *n 2"]) -> Float[Tensor, "b c *n"]:
    r"""Each picture at its own points (y, x), between pixels too; zero outside.

    .. math:: x(p) = \sum_q g(p_y - q_y)\, g(p_x - q_x)\, x(q), \qquad g(t) = \max(0, 1 - |t|)

    q runs over all pixels. Where p has a whole coordinate, x(p) has a kink along it, and the gradient to p is
    the one-sided derivative to larger coordinates.

    grid_sample wants coordinates from -1 to 1 and turns them back into pixels, with rounding, which would
    make a whole number a little smaller or larger and the side of the kink a matter of luck. So the picture
    is padded to a power of two: then both conversions are exact for whole numbers.

    Known value: a 2 x 2 picture 0, 1, 2, 3 has 1.5 at (0.5, 0.5) and 1.5 = 3/2 at (1, 1.5).
    Source: Jaderberg et al. 2015, arXiv:1506.02025 (the kernel). Taught in: convolution/deformable,
    def-deform-bilinear.
    """
    b, c, h, w = x.shape
    tall, wide = (1 << (side - 1).bit_length() for side in (h, w))
    x = F.pad(x, (0, wide - w, 0, tall - h)) if (tall, wide) != (h, w) else x
    scale = points.new_tensor([2 / wide, 2 / tall])
    grid = points.flip(-1) * scale + (scale / 2 - 1)  # grid_sample counts columns first
    out = F.grid_sample(x, grid.reshape(b, 1, -1, 2), align_corners=False)  # (b, c, 1, n)
    return out.reshape(b, c, *points.shape[1:-1])


def deformable_conv(
    x: Float[Tensor, "b c h w"],
    offsets: Float[Tensor, "b two_gk out_h out_w"],
    weight: Float[Tensor, "o c_per_group kh kw"],
    bias: Float[Tensor, " o"] | None = None,
    *,
    mask: Float[Tensor, "b gk out_h out_w"] | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Float[Tensor, "b o out_h out_w"]:
    r"""Convolution whose taps read the input at the p_n(i) of `sampling_points`, times a mask m_n(i).

    .. math:: y_o(i) = \beta_o + \sum_{c, n} w_{ocn}\, m_n(i)\, x_c\big(p_n(i)\big)

    Version 1 has no mask (m = 1), version 2 has. Groups: c / c_per_group. Offset groups: the channels of
    offsets / 2 k, each of which moves an equal share of the input's channels.

    One matrix product after one sampling: the samples of a picture are the columns of a (c k) x (out_h out_w)
    matrix.

    Known value: zero offsets and no mask are torch.nn.functional.conv2d.
    Raises ValueError for sizes that do not fit.
    Source: Dai et al. 2017, arXiv:1703.06211; mask: Zhu et al. 2019, arXiv:1811.11168.
    Taught in: convolution/deformable, def-deform-layer.
    """
    g, groups = _check(x, offsets, weight, bias, mask, stride, padding, dilation)
    (b, c), (o, _, kh, kw), (h, w) = x.shape[:2], weight.shape, offsets.shape[2:]
    points = sampling_points(offsets, (kh, kw), stride=stride, padding=padding, dilation=dilation)
    split = x.reshape(b * g, c // g, *x.shape[2:])  # an offset group as a picture of its own
    columns = bilinear(split, points.flatten(3, 4).flatten(0, 1))  # (b g, c/g, k, h w)
    if mask is not None:
        columns = columns * mask.reshape(b * g, 1, kh * kw, h * w)
    columns = columns.reshape(b, groups, -1, h * w)  # (b, groups, c/groups k, h w)
    out = (weight.reshape(groups, o // groups, -1) @ columns).reshape(b, o, h, w)
    return out if bias is None else out + bias[:, None, None]


def _check(x, offsets, weight, bias, mask, stride, padding, dilation) -> tuple[int, int]:
    """The number of offset groups and of groups, or a ValueError that says what does not fit."""
    (b, c), (o, share, kh, kw) = x.shape[:2], weight.shape
    if share < 1 or c % share or o % (c // share):
        raise ValueError(f"weight {tuple(weight.shape)} makes no groups of {c} channels in and {o} out")
    if offsets.shape[1] == 0 or offsets.shape[1] % (2 * kh * kw):
        raise ValueError(f"offsets: want a multiple of 2 x {kh} x {kw} channels, got {offsets.shape[1]}")
    g = offsets.shape[1] // (2 * kh * kw)
    if c % g:
        raise ValueError(f"{g} offset groups do not divide {c} channels")
    size = tuple(
        (side + 2 * a - e * (k - 1) - 1) // s + 1
        for side, k, s, a, e in zip(
            x.shape[2:], (kh, kw), *map(pair, (stride, padding, dilation)), strict=True
        )
    )
    if min(size) < 1:
        raise ValueError(f"the kernel is larger than its padded input: the output would be {size}")
    if offsets.shape != (b, 2 * g * kh * kw, *size):
        raise ValueError(f"offsets: want {(b, 2 * g * kh * kw, *size)}, got {tuple(offsets.shape)}")
    if mask is not None and mask.shape != (b, g * kh * kw, *size):
        raise ValueError(f"mask: want {(b, g * kh * kw, *size)}, got {tuple(mask.shape)}")
    if bias is not None and bias.shape != (o,):
        raise ValueError(f"bias: want {(o,)}, got {tuple(bias.shape)}")
    return g, c // share


class DeformableConv(nn.Module):
    """A square deformable convolution with its own branch: an ordinary convolution that computes offsets.

    The branch has the layer's kernel, stride, padding and dilation; it starts at zero, so that the layer
    starts as ordinary convolution (version 2: with every m = 1/2, as its mask is a sigmoid). padding="same"
    size: dilation (kernel - 1) / 2, for odd kernels.

    `branch(x)` gives offsets and mask (None in version 1); a subclass or a hook may read them.
    Raises ValueError for an even kernel and for channels that the groups do not divide.
    """

    def __init__(
        self,
        c: int,
        o: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        offset_groups: int = 1,
        modulated: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"an odd kernel has a centre; got {kernel}")
        if c % groups or o % groups or c % offset_groups:
            raise ValueError(f"{c} to {o} channels in {groups} groups, {offset_groups} offset groups")
        self.place = {"stride": stride, "padding": dilation * (kernel - 1) // 2, "dilation": dilation}
        self.points = offset_groups * kernel**2
        fan_in = c // groups * kernel**2
        draws = torch.randn(o, c // groups, kernel, kernel, generator=generator)
        self.weight = nn.Parameter(draws * (2 / fan_in) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(o))
        out = (3 if modulated else 2) * self.points
        self.branch_weight = nn.Parameter(torch.zeros(out, c, kernel, kernel))
        self.branch_bias = nn.Parameter(torch.zeros(out))

    def branch(
        self, x: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b two_gk out_h out_w"], Float[Tensor, "b gk out_h out_w"] | None]:
        out = F.conv2d(x, self.branch_weight, self.branch_bias, **self.place)
        offsets, rest = out[:, : 2 * self.points], out[:, 2 * self.points :]
        return offsets, rest.sigmoid() if rest.shape[1] else None

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o out_h out_w"]:
        offsets, mask = self.branch(x)
        return deformable_conv(x, offsets, self.weight, self.bias, mask=mask, **self.place)
