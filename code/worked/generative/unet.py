"""A small U-Net with time embedding: eps(x_t, t), the network of the chapter on denoising diffusion."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn


def time_embedding(t: Int[Tensor, " b"], d: int, longest: float = 10_000.0) -> Float[Tensor, "b d"]:
    r"""Sines and cosines of t at d/2 frequencies, from 1 down to about 1/longest radian a step.

    .. math:: e_i(t) = \sin(\omega_i t), \quad e_{d/2+i}(t) = \cos(\omega_i t), \quad
              \omega_i = \text{longest}^{-2i/d}

    Known value: t = 0 gives d/2 zeros, then d/2 ones.
    Raises ValueError if d is odd.
    Source: Vaswani et al. 2017, arXiv:1706.03762, sec. 3.5 (there sines and cosines alternate).
    """
    if d % 2:
        raise ValueError(f"need an even width, got d={d}")
    i = torch.arange(d // 2, device=t.device, dtype=torch.float32)
    angle = t[:, None].float() * torch.exp(-math.log(longest) * 2 * i / d)  # (b, d/2)
    return torch.cat([angle.sin(), angle.cos()], dim=1)  # (b, d)


class ResidualBlock(nn.Module):
    """x + conv(silu(scale * norm(conv(silu(norm(x)))) + shift)); scale and shift come from the time.

    The second convolution starts at zero, so a new block passes its input on (through a 1x1
    convolution where the number of channels changes).
    """

    def __init__(self, c_in: int, c_out: int, time_width: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time = nn.Linear(time_width, 2 * c_out)
        self.norm2 = nn.GroupNorm(groups, c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(
        self, x: Float[Tensor, "b c_in h w"], e: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b c_out h w"]:
        h = self.conv1(F.silu(self.norm1(x)))  # (b, c_out, h, w)
        scale, shift = self.time(e)[:, :, None, None].chunk(2, dim=1)  # (b, c_out, 1, 1) each
        h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        return self.skip(x) + self.conv2(F.silu(h))


class SelfAttention(nn.Module):
    """x + attention over the h*w positions; its last projection starts at zero."""

    def __init__(self, c: int, groups: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, c)
        self.qkv = nn.Linear(c, 3 * c)
        self.out = nn.Linear(c, c)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        tokens = rearrange(self.norm(x), "b c h w -> b (h w) c")
        q, k, v = rearrange(self.qkv(tokens), "b n (three m d) -> three b m n d", three=3, m=self.heads)
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(dim=-1)  # (b, m, n, n)
        mixed = rearrange(weights @ v, "b m n d -> b n (m d)")
        return x + rearrange(self.out(mixed), "b (h w) c -> b c h w", h=x.shape[2])


class UNet(nn.Module):
    """The noise eps that the network believes to be in x_t, given x_t and t.

    Level i works at resolution 1 / 2^i with widths[i] channels: one residual block on the way down, one
    in the middle, one on the way up, which also reads what the way down had at its level. Self-attention
    follows the blocks of the lowest level. The last convolution starts at zero.

    Known value: a new network answers 0 whatever the input is.
    Raises ValueError if height or width is not a multiple of 2^(levels - 1), or groups does not divide
    every width.
    Source: after Ho et al. 2020, arXiv:2006.11239, app. B; scale and shift by time as in Nichol &
    Dhariwal 2021, arXiv:2102.09672, app. A.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        widths: Sequence[int] = (32, 64, 128),
        time_width: int = 128,
        groups: int = 8,
    ) -> None:
        super().__init__()
        if any(width % groups for width in widths):
            raise ValueError(f"need widths that are multiples of groups={groups}, got {tuple(widths)}")
        self.multiple = 2 ** (len(widths) - 1)
        self.time_width = time_width
        self.time = nn.Sequential(
            nn.Linear(time_width, time_width), nn.SiLU(), nn.Linear(time_width, time_width)
        )
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        before = [widths[0], *widths[:-1]]
        self.down = nn.ModuleList(
            ResidualBlock(c, width, time_width, groups) for c, width in zip(before, widths, strict=True)
        )
        self.middle = ResidualBlock(widths[-1], widths[-1], time_width, groups)
        self.attend_down = SelfAttention(widths[-1], groups)
        self.attend_middle = SelfAttention(widths[-1], groups)
        after = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(
            ResidualBlock(width + c, width, time_width, groups)
            for width, c in zip(widths, after, strict=True)
        )
        self.norm = nn.GroupNorm(groups, widths[0])
        self.out = nn.Conv2d(widths[0], channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Float[Tensor, "b c h w"], t: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        if x.shape[2] % self.multiple or x.shape[3] % self.multiple:
            raise ValueError(
                f"need height and width in multiples of {self.multiple}, got {tuple(x.shape[2:])}"
            )
        e = F.silu(self.time(time_embedding(t, self.time_width)))  # (b, time_width)
        h, seen = self.stem(x), []
        for i, block in enumerate(self.down):
            h = block(h if i == 0 else F.avg_pool2d(h, 2), e)  # halve, but for the first level
            if i == len(self.down) - 1:
                h = self.attend_down(h)
            seen.append(h)
        h = self.attend_middle(self.middle(h, e))
        for i, block in reversed(list(enumerate(self.up))):
            h = block(torch.cat([h, seen[i]], dim=1), e)
            if i > 0:
                h = F.interpolate(h, scale_factor=2.0, mode="nearest")
        return self.out(F.silu(self.norm(h)))
