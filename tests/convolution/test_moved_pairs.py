import math

import pytest
import torch
from torch.testing import assert_close
from worked.convolution import moved_pairs
from worked.convolution.moved import inverse, move, pixels, sample
from worked.convolution.moved_pairs import (
    LEAST,
    TEST,
    TRAINING,
    cut,
    grey,
    lit,
    look,
    noisy,
    pairs,
    random_motion,
    reach,
)


def slow_look(picture, place, view, size, k):
    """Every sample of every pixel, one by one."""
    found = torch.zeros(len(place), size, size)
    for n in range(len(place)):
        for row in range(size):
            for column in range(size):
                total = 0.0
                for i in range(k):
                    for j in range(k):
                        u = torch.tensor([column + (j + 0.5) / k - 0.5, row + (i + 0.5) / k - 0.5])
                        point = place[n] + move((u - (size - 1) / 2)[None, None], view[n : n + 1])[0, 0]
                        total += sample(picture, point).item()
                found[n, row, column] = total / k**2
    return found


@pytest.mark.parametrize("k", [1, 2, 3])
def test_look_averages_samples_of_each_pixel(k, rng):
    picture = torch.rand(30, 40, generator=rng)
    place = torch.tensor([[20.0, 15.0], [18.3, 14.2]])
    view = torch.tensor([[0.0, 0.0, 0.3, 0.2], [1.0, -2.0, -1.0, -0.1]])
    got = look(picture, place, view, 6, k)
    assert_close(got, slow_look(picture, place, view, 6, k), rtol=0, atol=2e-6)


def test_the_identity_shows_the_photograph_itself(rng):
    picture = torch.rand(12, 12, generator=rng)
    seen = look(picture, torch.tensor([[5.5, 5.5]]), torch.zeros(1, 4), 4, 1)
    assert_close(seen[0], picture[4:8, 4:8], rtol=0, atol=1e-6)


def test_both_pictures_show_one_scene(rng, monkeypatch):
    # On a plane of grey x + 2 y the averages over a pixel are exact: what A shows at u, B shows at T(u).
    y, x = torch.meshgrid(torch.arange(300.0), torch.arange(300.0), indexing="ij")
    monkeypatch.setattr(moved_pairs, "grey", lambda name: (x + 2 * y) / 900)
    motion = random_motion(5, rng)
    first, second = cut("plane", motion, rng, size=16)
    u = pixels(16, 16).float() - 7.5
    for a, b, m in zip(first, second, motion, strict=True):
        there = move(u[None], m[None])[0] + 7.5
        inside = ((there >= 0) & (there <= 15)).all(dim=1)
        assert inside.any()
        assert_close(sample(b, there)[inside], a.flatten()[inside], rtol=0, atol=1e-5)


def test_reach_covers_all_that_is_seen(rng):
    motion = random_motion(50, rng)
    u = pixels(64, 64).float().expand(50, -1, -1) - 31.5
    far = torch.maximum(u.norm(dim=2), move(u, inverse(motion)).norm(dim=2)).amax(dim=1)
    assert (reach(motion) >= far).all()
    assert (reach(motion) <= far + 4).all()  # the corner may lie aside of the shift, and is half a pixel off


def test_pairs_are_repeatable_and_have_something_to_see():
    def make():
        rng = torch.Generator().manual_seed(3)
        return pairs(random_motion(9, rng), rng, TEST, k=1)

    one, two = make(), make()
    assert_close(one.first, two.first, rtol=0, atol=0)
    assert one.source[:5] == (*TEST, TEST[0])
    assert min(one.first.std(dim=(1, 2)).min(), one.second.std(dim=(1, 2)).min()) >= LEAST
    assert one.first.min() >= 0
    assert one.second.max() <= 1
    assert len(one) == 9


def test_no_photograph_is_in_both_sets_and_all_are_large_enough(rng):
    assert not set(TRAINING) & set(TEST)
    corner = torch.tensor([[8.0, 8.0, 0.5, -math.log(1.25)]])
    for name in TRAINING + TEST:
        cut(name, corner, rng, k=1)
        assert max(grey(name).shape) <= 800


def test_noise_and_light(rng):
    x = torch.full((200, 16, 16), 0.5)
    assert (noisy(x, 0.1, rng) - x).std().item() == pytest.approx(0.1, rel=0.05)
    assert_close(noisy(x, torch.zeros(200), rng), x, rtol=0, atol=0)
    ramp = lit(x, 0.6, rng)
    assert_close(ramp.mean(dim=(1, 2)), torch.full((200,), 0.5), rtol=0, atol=1e-5)
    assert ramp.min() >= 0.5 * 0.4
    assert ramp.max() <= 0.5 * 1.6


def test_rejects_what_would_show_a_border(rng):
    with pytest.raises(ValueError, match="beyond the border"):
        look(torch.rand(10, 10), torch.tensor([[5.0, 5.0]]), torch.zeros(1, 4), 12, 1)
    with pytest.raises(ValueError, match="but such a pair needs"):
        cut("chelsea", torch.tensor([[8.0, 8.0, 0.0, -1.0]]), rng)
