import pytest
import torch
from torch import nn
from torch.nn.functional import normalize
from torch.testing import assert_close
from worked.selfsup.contrastive import info_nce
from worked.selfsup.queue import KeyQueue, MomentumEncoder

EXACT = {"rtol": 0, "atol": 0}


@pytest.mark.parametrize("size", [1, 3, 4, 20])
@pytest.mark.parametrize("batches", [(2, 2), (3, 1, 4), (5,), (1,) * 9])
def test_holds_the_last_keys_oldest_first(size, batches, rng):
    queue, everything = KeyQueue(size, 3), []
    for b in batches:
        keys = torch.randn(b, 3, generator=rng)
        everything.append(normalize(keys, dim=1))
        queue.update(keys)
        assert_close(queue.value(), torch.cat(everything)[-size:], **EXACT)


def test_keys_are_unit_rows_without_gradient(rng):
    queue = KeyQueue(4, 3)
    keys = (5 * torch.randn(2, 3, generator=rng)).requires_grad_()
    queue.update(keys)
    assert_close(queue.value().norm(dim=1), torch.ones(2))
    assert not queue.value().requires_grad


def test_an_earlier_value_is_not_changed_by_an_update(rng):
    queue = KeyQueue(2, 3)
    queue.update(torch.randn(2, 3, generator=rng))
    before = queue.value()
    kept = before.clone()
    queue.update(torch.randn(2, 3, generator=rng))
    assert_close(before, kept, **EXACT)


def test_a_frozen_key_encoder_makes_the_queue_a_big_batch(rng):
    images = torch.randn(4, 6, 5, generator=rng, dtype=torch.float64)
    encode = nn.Linear(5, 3).double().requires_grad_(False)
    query = torch.randn(6, 3, generator=rng, dtype=torch.float64).requires_grad_()
    queue = KeyQueue(18, 3, dtype=torch.float64)
    for batch in images[:3]:
        queue.update(encode(batch))
    key = encode(images[3])
    a = info_nce(query, key, queue.value())
    b = info_nce(query, key, encode(images[:3].flatten(0, 1)))
    assert_close(a, b, rtol=1e-13, atol=1e-13)
    assert_close(torch.autograd.grad(a, query), torch.autograd.grad(b, query), rtol=1e-12, atol=1e-13)


def set_to(network, value):
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(value)


def test_momentum_by_hand():
    query = nn.Linear(2, 1)
    set_to(query, 1.0)
    key = MomentumEncoder(query, 0.9)
    set_to(query, 0.0)
    assert key.distance() == pytest.approx(3**0.5)
    key.update()
    key.update()
    for p in key.value().parameters():
        assert_close(p, torch.full_like(p, 0.81))
    assert key.distance() == pytest.approx(0.81 * 3**0.5)


@pytest.mark.parametrize(("m", "want"), [(0.0, 0.0), (1.0, 1.0)])
def test_no_momentum_follows_at_once_and_full_momentum_stands_still(m, want):
    query = nn.Linear(2, 1)
    set_to(query, 1.0)
    key = MomentumEncoder(query, m)
    set_to(query, 0.0)
    key.update()
    assert all((p == want).all() and not p.requires_grad for p in key.value().parameters())
    assert all((p == 0).all() and p.requires_grad for p in query.parameters())


def test_running_averages_of_each_encoder_are_its_own():
    query = nn.Sequential(nn.BatchNorm1d(2))
    key = MomentumEncoder(query, 0.5)
    query[0].running_mean.fill_(7.0)
    key.update()
    assert (key.value()[0].running_mean == 0).all()
    assert key.value().training


@pytest.mark.usefixtures("unhooked")
def test_rejects():
    with pytest.raises(ValueError, match="width 3"):
        KeyQueue(4, 3).update(torch.ones(2, 4))
    with pytest.raises(ValueError, match="size=0"):
        KeyQueue(0, 3)
    for m in (-0.1, 1.1):
        with pytest.raises(ValueError, match="got"):
            MomentumEncoder(nn.Linear(1, 1), m)


def test_planted_errors_are_seen(rng):
    """The newest dropped in place of the oldest; keys taken in before the loss asks."""
    batches = torch.randn(3, 2, 3, generator=rng)
    queue = KeyQueue(4, 3)
    for keys in batches:
        queue.update(keys)
    assert not torch.allclose(queue.value(), normalize(batches.flatten(0, 1), dim=1)[:4])
    query = torch.eye(3, dtype=torch.float64)[:2]
    full = KeyQueue(2, 3, dtype=torch.float64)
    full.update(query)
    assert info_nce(query, query, full.value(), 0.01) > 0.69  # log 2: the match is among its own negatives
