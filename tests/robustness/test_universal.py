import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from worked.robustness import universal
from worked.robustness.universal import (
    answers,
    capped_loss,
    disturbed,
    fooling_rate,
    universal_by_deepfool,
    universal_by_gradient,
)

SEARCHES = [universal_by_gradient, universal_by_deepfool]
SHAPE = (1, 4, 5)


def network(rng, k=3):
    net = nn.Sequential(nn.Flatten(), nn.Linear(20, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, k))
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=rng) / p.shape[-1] ** 0.5
    net[1].bias.data = -net[1].weight.data.sum(1) / 2  # grey in the middle gives nothing
    net[4].bias.data.zero_()
    return net


def pictures(n, rng):
    return torch.rand(n, *SHAPE, generator=rng)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_fooling_rate_is_a_count(rng):
    net, x, v = network(rng).eval(), pictures(23, rng), torch.randn(SHAPE, generator=rng)
    changed = 0
    for picture in x:
        after = torch.minimum(torch.maximum(picture + v, torch.tensor(0.0)), torch.tensor(1.0))
        changed += net(after[None]).argmax().item() != net(picture[None]).argmax().item()
    assert 0 < changed < 23
    assert fooling_rate(net, x, v) == changed / 23


def test_hand_values(rng):
    net, x = network(rng), pictures(4, rng)
    assert fooling_rate(net, x, torch.zeros(SHAPE)) == 0
    assert disturbed(torch.full((1, 1, 1, 2), 0.9), torch.tensor([[[0.2, -0.2]]])).flatten().tolist() == [
        1.0,
        pytest.approx(0.7),
    ]
    f = torch.zeros(2, 5)
    assert_close(capped_loss(f, torch.tensor([0, 3]), 9.0), torch.tensor(math.log(5)))
    assert capped_loss(f, torch.tensor([0, 3]), 0.5) == 0.5
    for search in SEARCHES:
        assert (search(net, x, epsilon=0.0, rng=seeded()) == 0).all()


def test_the_cap_frees_a_picture_from_the_gradient():
    """The first picture is past the cap and pulls no more; the second pulls as before."""
    f = torch.tensor([[0.0, 8.0], [2.0, 0.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(capped_loss(f, torch.tensor([0, 0]), 5.0), f)
    p = 1 / (1 + math.exp(2.0))
    assert_close(slope, torch.tensor([[0.0, 0.0], [-p / 2, p / 2]]))


@given(
    search=st.sampled_from(SEARCHES),
    norm=st.sampled_from(["linf", "l2"]),
    epsilon=st.floats(0, 2),
    n=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_never_outside_the_ball_nor_the_pixel_range(search, norm, epsilon, n, seed):
    rng = seeded(seed)
    net, x = network(rng), pictures(n, rng)
    few = {"steps": 6} if search is universal_by_gradient else {"steps": 3}
    v = search(net, x, epsilon=epsilon, rng=rng, norm=norm, **few)
    size = v.abs().max() if norm == "linf" else v.norm()
    assert size <= epsilon * (1 + 1e-6)
    assert v.shape == x[0].shape
    assert not v.requires_grad
    after = disturbed(x, v)
    assert after.min() >= 0
    assert after.max() <= 1


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_finds_what_noise_does_not(search, norm, rng):
    """An attack replaced by a no-op, or by noise, fails here."""
    net, x = network(rng), pictures(200, rng)
    epsilon = 0.15 if norm == "linf" else 0.15 * 20**0.5
    more = {"passes": 3} if search is universal_by_deepfool else {}
    v = search(net, x, epsilon=epsilon, rng=seeded(), norm=norm, **more)
    noise = [
        epsilon * (w.sign() if norm == "linf" else w / w.norm())
        for w in torch.randn(20, *SHAPE, generator=rng)
    ]
    rates = [fooling_rate(net, x, w) for w in noise]
    assert fooling_rate(net, x, v) > 1.5 * sum(rates) / len(rates)


@pytest.mark.parametrize("search", SEARCHES)
def test_equal_seeds_give_equal_results(search, rng):
    net, x = network(rng), pictures(30, rng)
    one, two = (search(net, x, epsilon=0.2, rng=seeded(5)) for _ in range(2))
    assert (one == two).all()
    assert one.abs().max() > 0


@pytest.mark.parametrize("search", SEARCHES)
def test_leaves_the_model_as_found_also_when_it_raises(search, rng, monkeypatch):
    net, x = network(rng), pictures(10, rng)
    net[3].eval()
    net[1].weight.grad = torch.ones_like(net[1].weight)
    before, kept = {k: v.clone() for k, v in net.state_dict().items()}, x.clone()
    modes = [part.training for part in net.modules()]

    def as_found():
        same = all((before[k] == v).all() for k, v in net.state_dict().items()) and (x == kept).all()
        grads = (net[1].weight.grad == 1).all() and net[4].weight.grad is None
        return same and grads and [part.training for part in net.modules()] == modes

    search(net, x, epsilon=0.2, rng=seeded())
    assert as_found()

    def broken(*_):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(universal, "project_ball", broken)
    with pytest.raises(RuntimeError, match="in the middle"):
        search(net, x, epsilon=0.2, rng=seeded())
    assert as_found()


def test_gradient_step_by_step(rng):
    """Three steps written out, with one look at the end."""
    net, x = network(rng), pictures(12, rng)
    got = universal_by_gradient(net, x, epsilon=0.3, rng=seeded(1), steps=3, batch=5, rate=0.5, looks=1)
    net.eval()
    draws, label, v = seeded(1), net(x).argmax(1), torch.zeros(SHAPE)
    for _ in range(3):
        i, v = torch.randint(12, (5,), generator=draws), v.detach().requires_grad_()
        p = net((x[i] + v).clamp(0, 1)).softmax(1)[torch.arange(5), label[i]]
        (-p.log()).clamp(max=5).mean().backward()
        v = (v.detach() + 0.15 * v.grad.sign()).clamp(-0.3, 0.3)
    assert fooling_rate(net, x, v) > 0
    assert_close(got, v)


def test_deepfool_search_on_one_picture_is_deepfool(rng):
    net, x = network(rng).eval(), pictures(1, rng)
    v = universal_by_deepfool(net, x, epsilon=10.0, rng=seeded(), norm="l2", steps=50)
    assert_close(v, universal.deepfool(net, x, answers(net, x))[0] - x[0])
    assert fooling_rate(net, x, v) == 1


@pytest.mark.usefixtures("unhooked")
def test_rejects(rng):
    net, x = network(rng), pictures(2, rng)
    for search in SEARCHES:
        for bad in ({"epsilon": -1.0}, {"epsilon": math.inf}, {"epsilon": 0.1, "norm": "l1"}):
            with pytest.raises(ValueError, match=r"epsilon|norm"):
                search(net, x, rng=rng, **bad)
        with pytest.raises(ValueError, match="pixels"):
            search(net, x + 1, epsilon=0.1, rng=rng)
        with pytest.raises(ValueError, match="pictures"):
            search(net, x[:0], epsilon=0.1, rng=rng)
    for bad in ({"steps": 0}, {"batch": 0}, {"rate": 0.0}, {"looks": 0}, {"steps": 3, "looks": 4}):
        with pytest.raises(ValueError, match="looks <= steps"):
            universal_by_gradient(net, x, epsilon=0.1, rng=rng, **bad)
    with pytest.raises(ValueError, match="passes=0"):
        universal_by_deepfool(net, x, epsilon=0.1, rng=rng, passes=0)
    with pytest.raises(ValueError, match="cap > 0"):
        capped_loss(torch.zeros(1, 2), torch.tensor([0]), 0.0)
    with pytest.raises(ValueError, match="no pictures"):
        fooling_rate(net, x[:0], torch.zeros(SHAPE))
