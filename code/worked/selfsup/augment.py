"""Random views of a batch of images, drawn for the whole batch at once and from one generator."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)  # weights of red, green, blue in brightness: ITU-R BT.601


@dataclass(frozen=True)
class Augment:
    """Views of images in [0, 1]: crop and resize, flip, colour jitter, grey, blur, in this order.

    size: side of the views in pixels. crop: smallest and largest share of the area that a crop keeps; (1, 1)
    keeps all. aspect: largest ratio of a crop's sides. flip: probability of a mirror image. colour: strength
    s of jitter in brightness, contrast and saturation (factors in [1 - 0.8 s, 1 + 0.8 s]) and in hue (a turn
    of up to 0.2 s of a circle), applied with probability 0.8. grey, blur: probability. 0 switches each off.

    Known value: Augment(size, crop=(1, 1), flip=0, colour=0, grey=0) returns images of that size unchanged.
    Raises ValueError on a crop outside 0 < lo <= hi <= 1, a negative strength, or probabilities outside [0,
    1]. Source: Chen et al. 2020, arXiv:2002.05709, appendix A; hue is turned in the YIQ plane instead of in
    HSV.
    """

    size: int
    crop: tuple[float, float] = (0.3, 1.0)
    aspect: float = 4 / 3
    flip: float = 0.5
    colour: float = 0.5
    grey: float = 0.2
    blur: float = 0.0

    def __post_init__(self) -> None:
        lo, hi = self.crop
        if not 0 < lo <= hi <= 1 or self.aspect < 1:
            raise ValueError(
                f"need 0 < lo <= hi <= 1 and aspect >= 1, got crop={self.crop}, aspect={self.aspect}"
            )
        if self.colour < 0 or not all(0 <= p <= 1 for p in (self.flip, self.grey, self.blur)):
            raise ValueError(f"need colour >= 0 and probabilities in [0, 1], got {self}")

    def __call__(self, images: Float[Tensor, "n c h w"], rng: torch.Generator) -> Float[Tensor, "n c s s"]:
        """One random view of each image; another call with the same generator gives other views."""
        x = self._crop_and_flip(images, rng)
        if x.shape[1] == 3 and (self.colour or self.grey):
            x = self._recolour(x, rng)
        return _blur(x, _chance(x, self.blur, rng)) if self.blur else x

    def _crop_and_flip(self, x: Tensor, rng: torch.Generator) -> Tensor:
        n, _, h, w = x.shape
        lo, hi = self.crop
        area = lo + (hi - lo) * _uniform(x, rng)
        stretch = self.aspect ** (_uniform(x, rng) - 0.5)
        sides = (
            [(area.sqrt() * stretch).clamp(max=1), (area.sqrt() / stretch).clamp(max=1)]
            if lo < 1
            else [area, area]
        )
        shift = [
            (2 * _uniform(x, rng) - 1) * (1 - side) for side in sides
        ]  # the crop stays inside the picture
        mirror = 1 - 2 * _chance(x, self.flip, rng).to(x)
        if lo == 1 and not self.flip and (h, w) == (self.size, self.size):
            return x
        theta = x.new_zeros(n, 2, 3)
        theta[:, 0, 0], theta[:, 0, 2] = sides[0] * mirror, shift[0]
        theta[:, 1, 1], theta[:, 1, 2] = sides[1], shift[1]
        grid = F.affine_grid(theta, [n, x.shape[1], self.size, self.size], align_corners=False)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    def _recolour(self, x: Tensor, rng: torch.Generator) -> Tensor:
        s = self.colour * _chance(x, 0.8, rng).to(x)  # strength per image
        factor = [1 + 0.8 * s * (2 * _uniform(x, rng) - 1) for _ in range(3)]
        angle = 2 * torch.pi * 0.2 * s * (2 * _uniform(x, rng) - 1)
        luma = x.new_tensor(_LUMA)
        to_yiq = x.new_tensor([_LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
        turn = x.new_zeros(len(x), 3, 3)
        turn[:, 0, 0] = 1
        turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
        turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
        hue = torch.linalg.inv(to_yiq) @ turn @ to_yiq  # (n, 3, 3)
        keep = factor[2] * (1 - _chance(x, self.grey, rng).to(x))  # saturation; grey takes it all away
        saturate = keep[:, None, None] * torch.eye(3).to(x) + (1 - keep)[:, None, None] * luma.expand(3, 3)
        mixed = torch.einsum("nij,njhw->nihw", saturate @ hue, x)
        bright = factor[0][:, None, None, None] * mixed
        mean = torch.einsum("j,njhw->n", luma, bright)[:, None, None, None] / (x.shape[2] * x.shape[3])
        return (mean + factor[1][:, None, None, None] * (bright - mean)).clamp(0, 1)


def _uniform(x: Tensor, rng: torch.Generator) -> Float[Tensor, " n"]:
    return torch.rand(len(x), generator=rng, device=rng.device).to(x)


def _chance(x: Tensor, p: float, rng: torch.Generator) -> Tensor:
    return torch.rand(len(x), generator=rng, device=rng.device).to(x.device) < p


def _blur(x: Tensor, chosen: Tensor) -> Tensor:
    """The chosen images smoothed with (1, 2, 1)/4 along both axes, twice; a Gaussian of deviation 1 pixel."""
    taps = x.new_tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
    smooth = x
    for _ in range(2):
        smooth = F.conv2d(F.pad(smooth, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])
    return torch.where(chosen[:, None, None, None], smooth, x)
