import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.registration import phase_cross_correlation
from skimage.transform import warp, warp_polar
from worked.convolution.log_polar import (
    COLUMNS,
    CROSS,
    PAD,
    PHASE,
    RANGE,
    ROWS,
    Settings,
    about,
    candidates,
    classical,
    classical_all,
    correlation_peak,
    hann,
    score,
    spectrum,
)
from worked.convolution.moved import warp as ours
from worked.convolution.moved_pairs import TRAINING, noisy, pairs, random_motion
from worked.convolution.what_moved import errors


def test_turn_and_zoom_are_about_the_centre(rng):
    picture = torch.rand(9, 9, generator=rng, dtype=torch.float64)
    theirs = warp(picture.numpy(), about(4.0, 0.3, 0.2).inverse, order=1)
    mine = ours(picture[None], torch.tensor([[0, 0, 0.3, 0.2]], dtype=torch.float64))[0].numpy()
    assert np.abs(theirs - mine)[2:-2, 2:-2].max() < 1e-9
    assert theirs[4, 4] == pytest.approx(picture[4, 4].item())


@pytest.mark.parametrize("settings", [None, CROSS, PHASE])
def test_finds_known_motions_of_a_photograph(settings):
    rng = torch.Generator().manual_seed(5)
    motion = torch.tensor(
        [[0, 0, 0, 0], [5, -3, 0, 0], [0, 0, 0.35, 0], [0, 0, 0, 0.15], [-4, 2, -0.3, -0.1]]
    ).float()
    p = pairs(motion, rng, TRAINING[:1])
    found = errors(classical_all(p.first, p.second, settings), motion)
    assert (found < torch.tensor([1.0, 2.0, 0.04])).all(), found


def test_the_spectrum_is_periodic_in_the_angle_and_blind_to_gain_of_direction(rng):
    picture = torch.rand(64, 64, generator=rng, dtype=torch.float64).numpy()
    seen = spectrum(picture)
    assert np.abs(seen.mean(axis=0)).max() < 1e-12
    assert np.abs(spectrum(-picture) - seen).max() < 1e-9
    assert hann(64)[0].max() == 0


def test_rejects_rectangles():
    with pytest.raises(ValueError, match="want two squares"):
        classical(torch.zeros(4, 5), torch.zeros(4, 5))


def test_errors_by_hand():
    true = torch.tensor([[0.0, 0.0, math.radians(10), 0.0]])
    found = torch.tensor([[3.0, 4.0, math.radians(350), -0.1]])
    assert errors(found, true)[0].tolist() == pytest.approx([5, 20, 0.1], abs=1e-4)


@given(
    shape=st.tuples(st.integers(4, 30), st.integers(4, 30)), phase=st.booleans(), seed=st.integers(0, 2**31)
)
def test_without_limit_the_peak_is_scikit_images(shape, phase, seed):
    rng = np.random.default_rng(seed)
    a, more = rng.standard_normal((2, *shape))
    b = np.roll(a, (1, -1), axis=(0, 1)) + 0.3 * more
    want = phase_cross_correlation(a, b, upsample_factor=10, normalization="phase" if phase else None)[0]
    assert np.abs(correlation_peak(a, b, phase=phase) - want).max() < 1e-9


def test_a_peak_outside_the_range_is_not_chosen(rng):
    a = torch.randn(16, 16, generator=rng).numpy()
    b = np.roll(a, 5, axis=1)
    assert correlation_peak(a, b, phase=False).tolist() == [0, -5]
    near = correlation_peak(a, b, phase=False, allowed=lambda i, j: np.maximum(abs(i), abs(j)) <= 2)
    assert np.abs(near).max() <= 2.7


def test_the_grid_is_warp_polars(rng):
    picture = torch.rand(64, 64, generator=rng, dtype=torch.float64).numpy()
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(picture * hann(64), (PAD, PAD))))
    shape, middle = (2 * ROWS, COLUMNS), (PAD / 2, PAD / 2)
    full = warp_polar(magnitude, center=middle, radius=PAD / 2, output_shape=shape, scaling="log", order=1)
    log = np.log1p(full[:ROWS])
    assert np.abs(spectrum(picture) - (log - log.mean(axis=0))).max() < 1e-9


@pytest.mark.parametrize("settings", [CROSS, PHASE])
def test_answers_stay_in_the_range_even_for_noise(settings, rng):
    motion = random_motion(6, rng)
    p = pairs(motion, rng, TRAINING)
    found = classical_all(noisy(p.first, 1.0, rng), noisy(p.second, 1.0, rng), settings)
    far, turned, zoomed = RANGE
    assert (found.abs() <= torch.tensor([far, far, turned, zoomed]) + 1e-6).all()


def test_settings_are_the_best_of_those_tried_on_a_few_pairs():
    assert len(candidates()) == 24
    assert {CROSS, PHASE} <= set(candidates())
    assert score(CROSS, n=24) < min(score(PHASE, n=24), score(Settings((2.0, 8.0), within=RANGE), n=24))
