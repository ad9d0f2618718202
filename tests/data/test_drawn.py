"""Scenes and cluttered digits: the truth they come with is true of the pixels, and seeds repeat it."""

import pytest
import torch
from torch.testing import assert_close
from worked.data import cluttered_digits, digits, scenes
from worked.data.cluttered_digits import TRAIN
from worked.data.scenes import BACKGROUNDS, COLOURS, PLACES, SCALES, SHAPES, photograph_crops


@pytest.fixture
def drawn(rng):
    return scenes(600, rng=rng, background="plain")


def test_a_seed_draws_the_same_again():
    a, b = (scenes(5, rng=torch.Generator().manual_seed(3)) for _ in range(2))
    assert_close(a.images, b.images, rtol=0, atol=0)
    assert a.captions() == b.captions()


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_values_are_pixels_and_no_object_touches_the_edge(background, rng):
    s = scenes(300, rng=rng, background=background)
    assert (s.images >= 0).all()
    assert (s.images <= 1).all()
    assert s.masks.flatten(1).any(1).all()
    border = s.masks.clone()
    border[:, 1:-1, 1:-1] = False
    assert not border.any()


def test_the_colour_is_that_of_the_pixels_under_the_mask(drawn):
    palette = torch.tensor(list(COLOURS.values()))
    inside = (drawn.images * drawn.masks[:, None]).sum((2, 3)) / drawn.masks.sum((1, 2))[:, None]
    direction = torch.nn.functional.normalize(inside, dim=1) @ torch.nn.functional.normalize(palette, dim=1).T
    assert (direction.argmax(1) == drawn.colour).double().mean() > 0.98  # the edge pixels mix with the ground


def test_place_and_scale_are_those_of_the_mask(drawn):
    y, x = (drawn.masks.sum(axis).float() for axis in (2, 1))
    steps = torch.arange(32) - 15.5
    right = (x * steps).sum(1) > 0
    low = (y * steps).sum(1) > 0
    assert (2 * low + right == drawn.place).all()
    disc = drawn.shape == SHAPES.index("disc")
    radius = (drawn.masks.sum((1, 2)) / torch.pi).sqrt() / 32
    assert (radius[disc & (drawn.scale == 0)] < 0.22).all()
    assert (radius[disc & (drawn.scale == 1)] > 0.22).all()


def test_areas_of_upright_shapes_are_those_of_geometry(rng):
    s = scenes(400, rng=rng, size=64, turn=False)
    r = {"small": (0.14, 0.20), "large": (0.24, 0.32)}
    area = {
        "square": (2 * 0.86) ** 2,
        "bar": 2.1 * 0.72,
        "disc": torch.pi,
        "ring": torch.pi * (1.02**2 - 0.5**2),
    }
    for name, unit in area.items():
        for scale, (lo, hi) in enumerate(r.values()):
            of = s.masks[(s.shape == SHAPES.index(name)) & (s.scale == scale)].float().mean((1, 2))
            assert (of > 0.88 * unit * lo**2).all()  # 64 pixels: an edge is off by half a pixel at most
            assert (of < 1.12 * unit * hi**2).all()


def test_attributes_are_uniform_and_independent(rng):
    s = scenes(6000, rng=rng, size=12)
    for index, names in ((s.shape, SHAPES), (s.colour, tuple(COLOURS)), (s.scale, SCALES), (s.place, PLACES)):
        share, k = index.bincount() / 6000, len(names)
        assert len(share) == k
        assert (share - 1 / k).abs().max() < 4 * (1 / k * (1 - 1 / k) / 6000) ** 0.5  # four standard errors
    together = (s.shape * 2 + s.scale).bincount() / 6000
    assert (together - 1 / 12).abs().max() < 4 * (1 / 12 * 11 / 12 / 6000) ** 0.5


def test_a_caption_says_what_is_there(rng):
    s = scenes(1, rng=rng)
    words = s.captions()[0].split()
    assert words[1] == SCALES[s.scale[0]]
    assert words[2] == tuple(COLOURS)[s.colour[0]]
    assert words[3] == SHAPES[s.shape[0]]
    assert " ".join(words[-2:]) == PLACES[s.place[0]]


@pytest.mark.parametrize("wrong", [{"background": "sea"}, {"n": 0}, {"size": 8}])
def test_scenes_reject(wrong, rng):
    with pytest.raises(ValueError, match="got"):
        scenes(**({"n": 3, "rng": rng} | wrong))


def test_digits_stand_on_their_ground_and_splits_share_nothing(rng):
    images, labels = cluttered_digits(200, rng=rng, clutter=0.0)
    assert images.shape == (200, 3, 32, 32)
    assert labels.unique().tolist() == list(range(10))
    assert (images >= 0).all()
    assert (images <= 1).all()
    assert (images.amax(1).flatten(1) == 0).any(1).all()  # bare ground somewhere, black
    assert (images.amax((1, 2, 3)) > 0.35).all()  # and ink
    dim, _ = cluttered_digits(200, rng=rng, clutter=0.3, split="test")
    assert dim.flatten(1).quantile(0.1, dim=1).max() <= 0.3
    assert len(digits()[1]) > TRAIN


def test_halves_of_the_photographs_share_no_pixel(rng):
    """The four photographs replaced by ones that are 0 on the left and 1 on the right."""
    import sys

    module = sys.modules["worked.data.scenes"]
    step = torch.zeros(3, 60, 100)
    step[:, :, 50:] = 1
    original, module.photograph = module.photograph, lambda name: step
    try:
        left, right = (photograph_crops(50, 16, rng=rng, half=half) for half in ("left", "right"))
    finally:
        module.photograph = original
    assert left.mean() < 0.05  # smoothing and interpolation reach one pixel over the middle
    assert right.mean() > 0.95


@pytest.mark.parametrize("wrong", [{"split": "valid"}, {"n": 0}, {"size": 8}, {"clutter": 1.5}])
def test_digits_reject(wrong, rng):
    with pytest.raises(ValueError, match="got"):
        cluttered_digits(**({"n": 3, "rng": rng} | wrong))


def test_crops_reject_another_half(rng):
    with pytest.raises(ValueError, match="half is one of"):
        photograph_crops(3, 16, rng=rng, half="top")
