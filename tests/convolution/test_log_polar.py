import math

import numpy as np
import pytest
import torch
from skimage.transform import warp
from worked.convolution.log_polar import about, classical, classical_all, hann, spectrum
from worked.convolution.moved import warp as ours
from worked.convolution.moved_pairs import TRAINING, pairs
from worked.convolution.what_moved import errors


def test_turn_and_zoom_are_about_the_centre(rng):
    picture = torch.rand(9, 9, generator=rng, dtype=torch.float64)
    theirs = warp(picture.numpy(), about(4.0, 0.3, 0.2).inverse, order=1)
    mine = ours(picture[None], torch.tensor([[0, 0, 0.3, 0.2]], dtype=torch.float64))[0].numpy()
    assert np.abs(theirs - mine)[2:-2, 2:-2].max() < 1e-9
    assert theirs[4, 4] == pytest.approx(picture[4, 4].item())


def test_finds_known_motions_of_a_photograph():
    rng = torch.Generator().manual_seed(5)
    motion = torch.tensor(
        [[0, 0, 0, 0], [5, -3, 0, 0], [0, 0, 0.35, 0], [0, 0, 0, 0.15], [-4, 2, -0.3, -0.1]]
    ).float()
    p = pairs(motion, rng, TRAINING[:1])
    found = errors(classical_all(p.first, p.second), motion)
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
