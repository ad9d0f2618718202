import pytest
import torch
from torch.testing import assert_close
from worked.selfsup import dino_scenes, looking
from worked.selfsup.dino_scenes import Pool, Recipe, load, train_one

TINY = Recipe(steps=4, warmup=1, pool=40, batch=4, k=8, every=2)


def test_views_share_the_background_or_not(rng):
    pool = Pool(30, rng)
    index = torch.arange(5)
    outside = ~pool.cut.masks[index][:, None].expand(-1, 3, -1, -1)
    inside = ~outside
    own, swapped = pool.pictures(index, 2, False), pool.pictures(index, 2, True)
    assert_close(own[0], own[1], rtol=0, atol=0)
    assert_close(swapped[0][inside], swapped[1][inside], rtol=0, atol=0)
    different = (swapped[0] != swapped[1]) & outside
    assert different.sum() > 0.5 * outside.sum()
    big, small = pool.views(TINY, swapped=True)
    assert big.shape == (2, 4, 3, 32, 32)
    assert small.shape == (2, 4, 3, 16, 16)


@pytest.mark.parametrize("way", dino_scenes.WAYS)
def test_a_run_goes_on_where_it_stopped(way, tmp_path, monkeypatch):
    few = looking.held_out
    monkeypatch.setattr(dino_scenes, "held_out", lambda n, seed: few(30, seed))
    whole, history, _ = train_one(way, 0, TINY)
    assert history["step"] == [1, 2, 4]
    steps = dino_scenes.follow
    count = iter(range(10))

    def stop(*args):
        if next(count) == 3:
            raise KeyboardInterrupt
        steps(*args)

    monkeypatch.setattr(dino_scenes, "follow", stop)
    with pytest.raises(KeyboardInterrupt):
        train_one(way, 0, TINY, tmp_path / "run.checkpoint")
    monkeypatch.setattr(dino_scenes, "follow", steps)
    resumed, again, _ = train_one(way, 0, TINY, tmp_path / "run.checkpoint")
    assert again["step"] == history["step"]
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert_close(a, b, rtol=0, atol=0)


def test_shipped_networks_look_at_the_object_as_their_card_says():
    data = looking.held_out(120, 1), looking.held_out(120, 2)
    found = looking.measure(load("swapped", 0), data)
    assert set(found) == {"colour", "shape", "mass", "lift", "best_head", "least_head", "iou"}
    assert found["least_head"] <= found["lift"] <= found["best_head"]
    assert found["lift"] > 1.8  # the card has 2.4, an untrained network 1.0
    with pytest.raises(ValueError, match="no network"):
        load("swapped", 7)
    with pytest.raises(ValueError, match="way is one of"):
        train_one("other", 0, TINY)


def test_an_untrained_network_looks_everywhere():
    torch.manual_seed(0)
    data = looking.held_out(60, 1), looking.held_out(60, 2)
    assert looking.measure(looking.new_vit().eval(), data)["lift"] == pytest.approx(1, abs=0.05)
