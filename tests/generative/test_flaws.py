import pytest
import torch
from torch.testing import assert_close
from worked.generative.flaws import RESIZERS, dulled, jpeg, resized, speckled


def test_speckled_share_and_negative(rng):
    x = torch.rand(50, 3, 8, 8, generator=rng)
    assert_close(speckled(x, 1.0, rng), 1 - x)
    assert_close(speckled(x, 0.0, rng), x)
    hit = speckled(x, 0.1, rng) != x
    assert (hit.any(1) == hit.all(1)).all()  # all channels of a pixel, or none
    assert abs(hit.float().mean() - 0.1) < 4 * (0.1 * 0.9 / 3200) ** 0.5


def test_dulled_averages_neighbours(rng):
    x = torch.rand(9, 1, 4, 4, generator=rng)
    assert_close(dulled(x, 1), x)
    assert_close(dulled(x, 9), x.mean(0, keepdim=True).expand_as(x))
    line = torch.tensor([0.0, 0.1, 0.9, 1.0]).reshape(4, 1, 1, 1)
    assert_close(dulled(line, 2).flatten(), torch.tensor([0.05, 0.05, 0.95, 0.95]))


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_keeps_grey_and_loses_noise(channels, rng):
    flat = torch.full((2, channels, 16, 16), 0.3)
    assert (jpeg(flat, 75) - flat).abs().max() < 1.5 / 255
    noise = torch.rand(2, channels, 16, 16, generator=rng)
    assert (jpeg(noise, 20) - noise).abs().mean() > (jpeg(noise, 95) - noise).abs().mean() > 0


def test_resized_antialiased_averages_what_bilinear_skips():
    x = torch.zeros(1, 1, 16, 16)
    x[..., ::4] = 1  # one column in four
    inside = {how: resized(x, 4, how)[0, 0, 1:3, 1:3] for how in RESIZERS}
    assert_close(inside["antialiased"], torch.full((2, 2), 0.25))
    assert_close(inside["bilinear"], torch.zeros(2, 2))  # between columns 1 and 2 of four: never looks at 0
    assert_close(inside["nearest"], torch.ones(2, 2))


def test_rejects():
    x, rng = torch.zeros(2, 1, 4, 4), torch.Generator()
    for call, message in [
        (lambda: speckled(x, 1.5, rng), "got 1.5"),
        (lambda: dulled(x, 3), "got k=3"),
        (lambda: jpeg(x, 0), "got 0"),
        (lambda: resized(x, 2, "bicubic"), "got 'bicubic'"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
