"""Views: the identity when all is off, random per image and per call, pixels stay pixels, colour right."""

import pytest
import torch
from torch.testing import assert_close
from worked.selfsup.augment import Augment

OFF = {"crop": (1.0, 1.0), "flip": 0.0, "colour": 0.0, "grey": 0.0, "blur": 0.0}


@pytest.fixture
def images(rng):
    return torch.rand(40, 3, 12, 12, generator=rng)


def brightness(x):
    return torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]), x)


def test_all_off_changes_nothing(images, rng):
    assert_close(Augment(12, **OFF)(images, rng), images, rtol=0, atol=0)


def test_a_whole_crop_at_another_size_is_interpolation(images, rng):
    want = torch.nn.functional.interpolate(images, size=(24, 24), mode="bilinear", align_corners=False)
    assert_close(Augment(24, **OFF)(images, rng), want, rtol=0, atol=1e-5)  # float32 positions of 24 pixels


def test_a_flip_is_a_mirror_image(images, rng):
    flipped = Augment(12, **(OFF | {"flip": 1.0}))(images, rng)
    assert_close(flipped, images.flip(3), rtol=0, atol=1e-5)


def test_crops_keep_the_area_they_promise(rng):
    """On a picture of x and y positions, the range that a crop shows is its width and height."""
    side = (torch.arange(64) + 0.5) / 64
    picture = torch.stack([side.expand(64, 64), side[:, None].expand(64, 64), torch.zeros(64, 64)])
    views = Augment(16, **(OFF | {"crop": (0.2, 0.5)}), aspect=4 / 3)(picture.expand(500, -1, -1, -1), rng)
    width = (views[:, 0].amax((1, 2)) - views[:, 0].amin((1, 2))) * 16 / 15  # between centres of pixels
    height = (views[:, 1].amax((1, 2)) - views[:, 1].amin((1, 2))) * 16 / 15
    area, aspect = width * height, width / height
    assert 0.2 - 0.01 <= area.min() < 0.23
    assert 0.47 < area.max() <= 0.5 + 0.01
    assert aspect.max() <= 4 / 3 + 0.02
    assert aspect.min() >= 3 / 4 - 0.02


def test_views_differ_between_images_and_calls_and_a_seed_repeats_them(images):
    augment = Augment(12)
    rng = torch.Generator().manual_seed(1)
    same = images[:1].expand(8, -1, -1, -1)
    first, second = augment(same, rng), augment(same, rng)
    again = augment(same, torch.Generator().manual_seed(1))
    assert len({view.sum().item() for view in first}) == 8
    assert (first - second).abs().max() > 0.05
    assert_close(first, again, rtol=0, atol=0)


def test_grey_has_no_colour_and_the_same_brightness(images, rng):
    grey = Augment(12, **(OFF | {"grey": 1.0}))(images, rng)
    assert_close(grey[:, 0], grey[:, 1], rtol=0, atol=1e-5)
    assert_close(grey[:, 0], brightness(images), rtol=0, atol=1e-5)


def test_hue_turns_colour_and_leaves_grey_and_brightness_in_place(rng):
    """On grey pictures only brightness and contrast can act; on coloured ones the hue moves as well."""
    tone = torch.rand(60, 1, 6, 6, generator=rng).expand(-1, 3, -1, -1)
    jittered = Augment(6, **(OFF | {"colour": 1.0}))(tone, rng)
    assert_close(jittered[:, 0], jittered[:, 2], rtol=0, atol=1e-5)
    red = torch.tensor([0.5, 0.35, 0.35])[:, None, None].expand(200, 3, 6, 6)
    views = Augment(6, **(OFF | {"colour": 1.0}))(red, rng)
    assert (views[:, :, 0, 0].argmax(1) != 0).any()  # not red any more
    factor = brightness(views)[:, 0, 0] / brightness(red)[:, 0, 0]  # hue and saturation leave it as it was
    assert 0.2 - 1e-4 <= factor.min() < 0.4  # brightness times 1 - 0.8 to 1 + 0.8
    assert 1.6 < factor.max() <= 1.8 + 1e-4


def test_pixels_stay_in_range_and_blur_smooths(images, rng):
    views = Augment(12, colour=1.0, grey=0.2, blur=0.5)(images, rng)
    assert views.min() >= 0
    assert views.max() <= 1
    soft = Augment(12, **(OFF | {"blur": 1.0}))(images, rng)
    assert soft.diff(dim=3).abs().mean() < 0.5 * images.diff(dim=3).abs().mean()


@pytest.mark.parametrize(
    "wrong", [{"crop": (0.0, 1.0)}, {"crop": (0.6, 0.4)}, {"colour": -0.1}, {"grey": 1.1}, {"aspect": 0.5}]
)
def test_rejects(wrong):
    with pytest.raises(ValueError, match="got"):
        Augment(12, **wrong)
