r"""What moved, without learning: phase correlation in log-polar coordinates, by scikit-image.

The magnitude of a picture's Fourier transform does not see its shift. About the origin of frequencies, a turn
of the picture turns it by the same angle, and a zoom by s shrinks it by s. On axes (angle, log radius) both
are shifts, which the peak of a correlation finds; undone, they leave a shift of the pictures themselves.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from skimage.filters import difference_of_gaussians
from skimage.registration import phase_cross_correlation
from skimage.transform import SimilarityTransform, warp, warp_polar
from torch import Tensor

ROWS, COLUMNS = 90, 48  # samples of the angle over half a turn, and of the log of the radius
PAD = 128  # the side of the Fourier transform: zeros around the picture make its samples finer
BAND = (0.5, 4.0)  # standard deviations, in pixels, of the two blurs whose difference is kept
REFINE = 10  # tenths of a sample


def hann(side: int) -> np.ndarray:
    """The window that lets a picture fade to 0 at its border, so that the border is no edge."""
    return np.outer(np.hanning(side), np.hanning(side))


def spectrum(picture: np.ndarray) -> np.ndarray:
    """Magnitudes on (angle, log radius): ROWS x COLUMNS, angles over half a turn, radii from 1 to PAD / 2.

    From each radius the mean over the angles is taken away.
    """
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(picture * hann(len(picture)), (PAD, PAD))))
    full = warp_polar(
        magnitude,
        center=(PAD / 2, PAD / 2),
        radius=PAD / 2,
        output_shape=(2 * ROWS, COLUMNS),
        scaling="log",
        order=1,
    )
    log = np.log1p(full[:ROWS])
    return log - log.mean(
        axis=0
    )  # what all directions share, the decay with the radius, would match at no zoom


def classical(first: Float[Tensor, "h w"], second: Float[Tensor, "h w"], rounds: int = 2) -> list[float]:
    """dx, dy, theta (in [-pi/2, pi/2)) and log s of one pair, as in worked.convolution.moved.

    The magnitudes repeat after half a turn, so theta is known up to pi: the smaller angle is taken. From the
    second round on, the turn and zoom that are left over are looked for after undoing those found.
    Raises ValueError unless the pictures are squares of one size.
    """
    if first.shape != second.shape or first.shape[0] != first.shape[1]:
        raise ValueError(f"want two squares of one size, got {tuple(first.shape)}, {tuple(second.shape)}")
    a, b = (difference_of_gaussians(x.double().numpy(), *BAND) for x in (first, second))
    middle, theta, zoom = (len(a) - 1) / 2, 0.0, 0.0
    undone, seen = b, spectrum(a)
    for _ in range(rounds):
        found = phase_cross_correlation(seen, spectrum(undone), upsample_factor=REFINE, normalization=None)[0]
        theta = math.remainder(theta - found[0] * math.pi / ROWS, math.pi)
        zoom += found[1] * math.log(PAD / 2) / COLUMNS
        zoom = min(max(zoom, -math.log(4)), math.log(4))  # beyond, nothing of the picture would be left
        undone = warp(b, about(middle, theta, zoom), order=1)
    window = hann(len(a))
    shift = phase_cross_correlation(a * window, undone * window, upsample_factor=REFINE, normalization=None)[
        0
    ]
    c, n = math.exp(zoom) * math.cos(theta), math.exp(zoom) * math.sin(theta)
    y, x = -shift  # scikit-image counts rows first
    return [c * x - n * y, n * x + c * y, theta, zoom]


def about(middle: float, theta: float, zoom: float) -> SimilarityTransform:
    """scikit-image's name for the turn and zoom about (middle, middle): its own are about (0, 0)."""
    away = SimilarityTransform(translation=(-middle, -middle))
    turn = SimilarityTransform(scale=math.exp(zoom), rotation=theta)
    return away + turn + away.inverse


def classical_all(first: Float[Tensor, "n h w"], second: Float[Tensor, "n h w"]) -> Float[Tensor, "n 4"]:
    """`classical` for every pair."""
    return torch.tensor([classical(a, b) for a, b in zip(first, second, strict=True)])
