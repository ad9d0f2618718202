import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from worked.selfsup.augment import Augment
from worked.selfsup.coloured_digits import coloured_digits
from worked.selfsup.contrastive import nt_xent
from worked.selfsup.leak import guess, half_white, leak, neighbour
from worked.selfsup.simclr import Size, Splits, features, networks, scores, simclr, staleness, within

AUGMENT = Augment(16, crop=(0.6, 1.0), flip=0.0, colour=0.5)
SMALL = Size(width=4, features=8, hidden=8, out=8)


@pytest.fixture(scope="module")
def data():
    rng = torch.Generator().manual_seed(0)
    return Splits(*coloured_digits(300, rng=rng), *coloured_digits(256, rng=rng, split="test"), probe=200)


def test_digits_are_pictures_of_their_labels(rng):
    x, y = coloured_digits(40, rng=rng)
    assert x.shape == (40, 3, 16, 16)
    assert x.min() >= 0 and x.max() <= 1  # noqa: PT018
    assert set(y.tolist()) <= set(range(10))
    again = coloured_digits(40, rng=torch.Generator().manual_seed(0))[0]
    assert torch.equal(x, again)


@pytest.mark.parametrize("wrong", [{"split": "val"}, {"n": 0}, {"size": 8}])
def test_digits_reject(wrong, rng):
    with pytest.raises(ValueError, match="got"):
        coloured_digits(**({"n": 4, "rng": rng} | wrong))


def test_a_run_makes_its_steps_and_is_repeatable(data):
    def once(seed):
        return simclr(data, AUGMENT, nt_xent, batch=16, images=100, lr=1e-3, seed=seed, size=SMALL, looks=3)

    a, b, c = once(0), once(0), once(1)
    assert len(a.loss) == 6
    assert a.loss == b.loss != c.loss
    assert a.seen[-1] == 96
    assert len(a.seen) == len(a.spread)
    with pytest.raises(ValueError, match="at least one batch"):
        simclr(data, AUGMENT, nt_xent, batch=200, images=100, lr=1e-3, seed=0, size=SMALL)


def test_a_run_goes_on_from_another_which_is_left_alone(data):
    first = simclr(data, AUGMENT, nt_xent, batch=16, images=64, lr=1e-3, seed=0, size=SMALL)
    kept = [p.detach().clone() for p in first.encoder.parameters()]
    still = simclr(data, AUGMENT, nt_xent, batch=16, images=16, lr=0.0, seed=1, start=first)
    assert all(torch.equal(p, q) for p, q in zip(kept, still.encoder.parameters(), strict=True))
    second = simclr(data, AUGMENT, nt_xent, batch=16, images=64, lr=1e-2, seed=1, start=first)
    assert not torch.equal(kept[0], next(second.encoder.parameters()))
    assert all(torch.equal(p, q) for p, q in zip(kept, first.encoder.parameters(), strict=True))
    assert second.spread[0] == first.spread[-1]


def test_initial_weights_come_from_the_seed_and_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    want = torch.rand(1)
    torch.manual_seed(3)
    a, b = networks(SMALL, 0)[0], networks(SMALL, 0)[0]
    assert torch.equal(torch.rand(1), want)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_features_in_eval_mode_and_scores_of_labels_themselves(data):
    net = networks(SMALL, 0)[0]
    z = features(net, data.test)
    assert net.training
    assert_close(z[:5], features(net, data.test[:5]), rtol=1e-4, atol=1e-6)  # no image sees another
    pixels = scores(nn.Flatten(), data)
    assert set(pixels) == {"knn", "linear", "spread", "rank"}


def test_parts_meet_only_themselves(rng):
    z1, z2 = torch.randn(2, 6, 3, generator=rng, dtype=torch.float64)
    want = (nt_xent(z1[:3], z2[:3]) + nt_xent(z1[3:], z2[3:])) / 2
    assert_close(within(2, nt_xent)(z1, z2), want)


def test_keys_of_a_frozen_encoder_do_not_age(data):
    drift, loss = staleness(data, AUGMENT, m=1.0, seed=0, batch=8, ages=3, steps=8)
    assert len(drift) == 3
    assert max(map(abs, drift)) < 1e-5  # float32
    assert math.isfinite(loss)
    moving, _ = staleness(data, AUGMENT, m=0.0, seed=0, batch=8, ages=3, steps=8)
    assert min(moving) > 1e-5


def test_neighbours_stay_on_their_device():
    assert neighbour(4, 2).tolist() == [1, 0, 3, 2]
    assert neighbour(6, 2).tolist() == [1, 2, 0, 4, 5, 3]
    for n, devices in ((4, 4), (5, 2)):
        with pytest.raises(ValueError, match="two images or more"):
            neighbour(n, devices)


def test_guessing_blindly_costs_log_of_the_others(rng):
    z = torch.ones(6, 3)
    assert_close(guess(z, z, neighbour(6, 2), 0.2).item(), math.log(5))
    x = half_white(3, rng)
    assert (x[..., 6:] == 1).all()


@pytest.mark.parametrize("mode", ["own", "global", "shuffled"])
def test_the_game_runs(mode):
    losses = leak(mode, seed=0, devices=2, each=3, steps=3)
    assert len(losses) == 3
    assert all(map(math.isfinite, losses))


def test_leak_rejects():
    with pytest.raises(ValueError, match="mode is one of"):
        leak("local", seed=0)
