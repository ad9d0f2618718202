import pytest
import torch
from torch.testing import assert_close
from worked.convolution.warped import ANGLE, BEND, KINDS, SCALE, SETS, warp, warped

NO = {"angle": torch.zeros(1), "scale": torch.ones(1), "bend": torch.zeros(1)}


def spot(y, x, size=5):
    picture = torch.zeros(1, 1, size, size)
    picture[0, 0, y, x] = 1
    return picture


def test_nothing_done_changes_nothing(rng):
    pictures = torch.rand(2, 3, 8, 8, generator=rng)
    two = {name: value.expand(2) for name, value in NO.items()}
    assert_close(warp(pictures, 8, **two), pictures, rtol=0, atol=1e-5)


def test_a_right_angle_moves_right_to_below():
    got = warp(spot(2, 4), 5, **{**NO, "angle": torch.tensor([torch.pi / 2])})
    assert_close(got, spot(4, 2), rtol=0, atol=1e-5)


def test_twice_as_large_is_twice_as_far(rng):
    big = warp(spot(8, 12, 17), 17, **{**NO, "scale": torch.tensor([2.0])})
    assert big[0, 0].argmax() == 8 * 17 + 16


def test_bend_shifts_rows_by_a_parabola():
    line = spot(0, 8, 17)
    line[0, 0, :, 8] = 1
    got = warp(line, 17, **{**NO, "bend": torch.tensor([0.5])})[0, 0]
    assert got[8].argmax() == 8
    assert got[0].argmax() == got[16].argmax() == 6


def test_centre_comes_to_the_middle():
    got = warp(spot(1, 3), 5, **NO, centre=torch.tensor([[-0.4, 0.4]]))
    assert got[0, 0].argmax() == 12


@pytest.mark.parametrize("name", SETS)
def test_sets(name, rng):
    data = warped(name, 200, rng=rng)
    assert data.images.shape == (200, 1, 16, 16)
    assert set(data.labels.tolist()) == set(range(SETS[name]))
    assert data.angle.abs().max() <= ANGLE
    assert data.bend.abs().max() <= 2 * BEND
    assert 1 / SCALE <= data.scale.min() < 0.8
    assert 1.25 < data.scale.max() <= SCALE
    still = warped(name, 5, rng=rng, kinds=())
    assert not still.angle.any()
    assert not still.bend.any()
    assert (still.scale == 1).all()
    only = warped(name, 5, rng=rng, kinds=(KINDS[0],))
    assert only.angle.all()
    assert not only.bend.any()
    assert (only.scale == 1).all()


@pytest.mark.usefixtures("unhooked")
def test_rejects(rng):
    for args in [("letters", 3), ("digits", 3, "valid"), ("digits", 3, "train", ("twisted",))]:
        name, n, *rest = args
        options = dict(zip(("split", "kinds"), rest, strict=False))
        with pytest.raises(ValueError, match="want one of"):
            warped(name, n, rng=rng, **options)
    with pytest.raises(ValueError, match="scale > 0, got 0"):
        warp(spot(1, 1), 5, **{**NO, "scale": torch.zeros(1)})
