r"""What moved, without learning: turn and zoom by correlating log-polar spectra, then the shift.

The magnitude of a picture's Fourier transform does not see its shift. About the origin of frequencies, a turn
of the picture turns it by the same angle, and a zoom by s shrinks it by s. On axes (angle, log radius) both
are shifts, which the peak of a correlation finds; undone, they leave a shift of the pictures themselves.

Both correlations come in two kinds, and a Settings names which: of the spectra as they are (plain
cross-correlation, `normalization=None` in scikit-image) or of spectra divided by their magnitudes (phase
correlation, `"phase"`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import map_coordinates
from skimage.filters import difference_of_gaussians
from skimage.transform import SimilarityTransform, warp
from torch import Tensor

from worked.convolution.moved_pairs import ANGLE, SHIFT, TRAINING, ZOOM, lit, noisy, pairs, random_motion
from worked.convolution.what_moved import errors

ROWS, COLUMNS = 90, 48  # samples of the angle over half a turn, and of the log of the radius
PAD = 128  # the side of the Fourier transform: zeros around the picture make its samples finer
REFINE = 10  # tenths of a sample
FARTHEST = math.log(4)  # the most zoom that is ever undone: beyond, nothing of the picture would be left


@dataclass(frozen=True)
class Settings:
    """How the method looks: the band, the kind of both correlations, and where peaks may lie.

    `band`: standard deviations, in pixels, of the two blurs whose difference is kept. `turn_phase`,
    `shift_phase`: phase correlation in place of plain cross-correlation for turn and zoom, for the shift.
    `within`: the largest |dx| and |dy|, |theta| and |log s| that are looked for, or None for no limit.
    """

    band: tuple[float, float] = (0.5, 4.0)
    turn_phase: bool = False
    shift_phase: bool = False
    within: tuple[float, float, float] | None = None
    rounds: int = 2


# the best of those that `candidates` lists, by `score`, of each kind (both correlations alike)
RANGE = (SHIFT, ANGLE, ZOOM)
CROSS = Settings(band=(0.5, 4.0), within=RANGE)
PHASE = Settings(band=(0.5, 8.0), turn_phase=True, shift_phase=True, within=RANGE)


def candidates() -> list[Settings]:
    """6 bands; cross or phase correlation for turn and zoom, and for the shift; peaks within RANGE: 24."""
    bands = ((0.5, 4.0), (0.5, 8.0), (1.0, 4.0), (1.0, 8.0), (1.5, 6.0), (2.0, 8.0))
    return [Settings(band, *kinds, RANGE) for band in bands for kinds in product((False, True), repeat=2)]


def score(settings: Settings, n: int = 180, seed: int = 77) -> float:
    """Mean log of the median errors on n pairs of the training photographs: the smaller the better.

    Conditions: as taken, noise of 0.2, light of 0.8. Quantities: pixels, degrees, log of the scale.
    Known value: CROSS has -2.34, PHASE -1.91.
    """
    rng = torch.Generator().manual_seed(seed)
    p = pairs(random_motion(n, rng), rng, TRAINING)
    shown = [(p.first, p.second)]
    shown += [tuple(noisy(x, 0.2, rng) for x in shown[0]), tuple(lit(x, 0.8, rng) for x in shown[0])]
    medians = [errors(classical_all(*pair, settings), p.motion).median(dim=0).values for pair in shown]
    return torch.stack(medians).log().mean().item()


def correlation_peak(
    a: np.ndarray, b: np.ndarray, *, phase: bool, allowed: Callable | None = None
) -> np.ndarray:
    r"""The cyclic shift k, in rows and columns, that b needs to lie on a, to a tenth of a sample.

    .. math:: k = \arg\max_k |c(k)|, \qquad c = F^{-1}\big(\hat a\, \overline{\hat b}\, /\, w\big), \qquad
              w = |\hat a\, \overline{\hat b}| \text{ if phase, else } 1

    `allowed` takes the arrays of k's two coordinates and says which whole k may be chosen. With all of them
    it is scikit-image's phase_cross_correlation with normalization "phase" or None, upsample_factor 10.
    Source: Guizar-Sicairos, Thurman & Fienup 2008, doi:10.1364/OL.33.000156, for the refinement.
    """
    cross = np.fft.fft2(a) * np.fft.fft2(b).conj()
    if phase:
        cross /= np.maximum(np.abs(cross), 100 * np.finfo(float).eps)
    size = np.abs(np.fft.ifft2(cross))
    k = [np.where(i > n // 2, i - n, i) for n, i in ((n, np.arange(n)) for n in a.shape)]
    if allowed is not None:
        size = np.where(allowed(k[0][:, None], k[1][None]), size, -1.0)
    row, column = np.unravel_index(size.argmax(), size.shape)
    fine = np.arange(-(REFINE * 3 // 4), REFINE * 3 // 4 + 1) / REFINE  # 3/4 of a sample to either side
    down, across = k[0][row] + fine, k[1][column] + fine
    basis = [
        np.exp(2j * np.pi * at[:, None] * np.fft.fftfreq(n))
        for at, n in zip((down, across), a.shape, strict=True)
    ]
    close = np.abs(basis[0] @ cross @ basis[1].T)
    i, j = np.unravel_index(close.argmax(), close.shape)
    return np.array([down[i], across[j]])


@cache
def hann(side: int) -> np.ndarray:
    """The window that lets a picture fade to 0 at its border, so that the border is no edge."""
    return np.outer(np.hanning(side), np.hanning(side))


@cache
def polar_points() -> np.ndarray:
    """Rows and columns, (2, ROWS, COLUMNS), of the points of half of skimage.transform.warp_polar's log grid.

    About (PAD / 2, PAD / 2) the point (i, j) has the angle pi i / ROWS, the radius (PAD / 2)^(j / COLUMNS).
    """
    angle = np.pi * np.arange(ROWS)[:, None] / ROWS
    radius = (PAD / 2) ** (np.arange(COLUMNS)[None] / COLUMNS)
    return PAD / 2 + np.stack([radius * np.sin(angle), radius * np.cos(angle)])


def spectrum(picture: np.ndarray) -> np.ndarray:
    """Magnitudes on (angle, log radius): ROWS x COLUMNS, angles over half a turn, radii from 1 to PAD / 2.

    From each radius the mean over the angles is taken away.
    """
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(picture * hann(len(picture)), (PAD, PAD))))
    log = np.log1p(map_coordinates(magnitude, polar_points(), order=1))
    # what all directions share, the decay with the radius, would match at no zoom
    return log - log.mean(axis=0)


def classical(
    first: Float[Tensor, "h w"], second: Float[Tensor, "h w"], settings: Settings | None = None
) -> list[float]:
    """dx, dy, theta (in [-pi/2, pi/2]) and log s of one pair, as in worked.convolution.moved.

    The magnitudes repeat after half a turn, so theta is known up to pi: the smaller angle is taken. From the
    second round on, the turn and zoom that are left over are looked for after undoing those found.
    Raises ValueError unless the pictures are squares of one size.
    """
    if first.shape != second.shape or first.shape[0] != first.shape[1]:
        raise ValueError(f"want two squares of one size, got {tuple(first.shape)}, {tuple(second.shape)}")
    how = settings or Settings()
    far, turned, zoomed = how.within or (math.inf, math.pi / 2, FARTHEST)
    a, b = (difference_of_gaussians(x.double().numpy(), *how.band) for x in (first, second))
    middle, theta, zoom = (len(a) - 1) / 2, 0.0, 0.0
    row, column = math.pi / ROWS, math.log(PAD / 2) / COLUMNS  # one sample of the angle, of log s
    undone, seen = b, spectrum(a)
    for _ in range(how.rounds):

        def in_range(i, j, theta=theta, zoom=zoom):
            return (abs(theta - i * row) <= turned) & (abs(zoom + j * column) <= zoomed)

        limit = None if how.within is None else in_range
        i, j = correlation_peak(seen, spectrum(undone), phase=how.turn_phase, allowed=limit)
        theta = math.remainder(theta - i * row, math.pi)
        theta = min(max(theta, -turned), turned)
        zoom = min(max(zoom + j * column, -zoomed), zoomed)
        undone = warp(b, about(middle, theta, zoom), order=1)
    c, n = math.exp(zoom) * math.cos(theta), math.exp(zoom) * math.sin(theta)

    def displaced(i, j):
        """What a shift by (i, j) that lays `undone` on `a` says about d; rows come first."""
        return -c * j + n * i, -n * j - c * i

    def near(i, j):
        x, y = displaced(i, j)
        return np.maximum(abs(x), abs(y)) <= far

    window = hann(len(a))
    limit = None if how.within is None else near
    shift = correlation_peak(a * window, undone * window, phase=how.shift_phase, allowed=limit)
    return [*(min(max(float(x), -far), far) for x in displaced(*shift)), theta, zoom]


def about(middle: float, theta: float, zoom: float) -> SimilarityTransform:
    """scikit-image's name for the turn and zoom about (middle, middle): its own are about (0, 0)."""
    away = SimilarityTransform(translation=(-middle, -middle))
    turn = SimilarityTransform(scale=math.exp(zoom), rotation=theta)
    return away + turn + away.inverse


def classical_all(
    first: Float[Tensor, "n h w"], second: Float[Tensor, "n h w"], settings: Settings | None = None
) -> Float[Tensor, "n 4"]:
    """`classical` for every pair."""
    found = [classical(a, b, settings) for a, b in zip(first, second, strict=True)]
    return torch.tensor(found, dtype=torch.float32)
