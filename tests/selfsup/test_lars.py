import math
import warnings

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from worked.selfsup.lars import LARS, split_parameters, trust_ratio

F64 = torch.float64
CLOSE = {"rtol": 1e-12, "atol": 1e-14}  # a few roundings of float64


def slow_lars(w, gradients, lr, momentum, decay, trust):
    """The formula number by number, for one layer."""
    w, v = list(w), [0.0] * len(w)
    for g in gradients:
        length = math.sqrt(sum(x * x for x in w))
        slope = math.sqrt(sum(x * x for x in g))
        ratio = trust * length / (slope + decay * length)
        v = [momentum * a + ratio * (b + decay * x) for a, b, x in zip(v, g, w, strict=True)]
        w = [x - lr * a for x, a in zip(w, v, strict=True)]
    return w


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_equals_the_formula_number_by_number(momentum, decay, rng):
    start, gradients = torch.randn(4, generator=rng, dtype=F64), torch.randn(5, 4, generator=rng, dtype=F64)
    w = start.clone().requires_grad_()
    optimizer = LARS([w], lr=0.7, momentum=momentum, decay=decay, trust=0.02)
    for g in gradients:
        w.grad = g.clone()
        optimizer.step()
    want = slow_lars(start.tolist(), gradients.tolist(), 0.7, momentum, decay, 0.02)
    assert_close(w.detach(), torch.tensor(want, dtype=F64), **CLOSE)


def test_hand_value():
    w, g = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 10.0])
    assert trust_ratio(w, g).item() == pytest.approx(0.0005)
    assert trust_ratio(w, g, 0.001, decay=2.0).item() == pytest.approx(0.001 * 5 / (10 + 2 * 5))
    assert trust_ratio(0 * w, g).item() == 1
    assert trust_ratio(w, 0 * g).item() == 1


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_first_step_is_as_long_as_the_weights_say(scale, rng):
    start = torch.randn(3, 4, generator=rng, dtype=F64)
    w = start.clone().requires_grad_()
    w.grad = scale * torch.randn(3, 4, generator=rng, dtype=F64)
    LARS([w], lr=2.0, trust=0.01).step()
    assert_close((w.detach() - start).norm(), 0.02 * start.norm(), rtol=1e-10, atol=0)


def test_gradients_are_left_alone(rng):
    w = torch.randn(3, generator=rng).requires_grad_()
    w.grad = torch.randn(3, generator=rng)
    before = w.grad.clone()
    LARS([w], lr=1.0, decay=0.1).step()
    assert torch.equal(w.grad, before)


def test_biases_and_norms_step_as_in_sgd(rng):
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    groups = split_parameters(network)
    assert [len(group["params"]) for group in groups] == [1, 3]
    before = [p.detach().clone() for p in groups[1]["params"]]
    for p in network.parameters():
        p.grad = torch.ones_like(p)
    LARS(groups, lr=0.5, decay=0.1).step()
    for p, old in zip(groups[1]["params"], before, strict=True):
        assert_close(p.detach(), old - 0.5)


def test_parameters_without_gradient_stay():
    w = torch.ones(2).requires_grad_()
    LARS([w], lr=1.0).step()
    assert (w == 1).all()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_agrees_with_lightly(momentum, rng):
    """The library adds eps = 1e-8 to the denominator; set to zero, as it can be, both are one formula."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightly.utils.lars import LARS as Theirs
    start = torch.randn(4, 3, generator=rng, dtype=F64)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    a = LARS([ours], lr=0.3, momentum=momentum, decay=0.05, trust=0.01)
    b = Theirs([theirs], lr=0.3, momentum=momentum, weight_decay=0.05, trust_coefficient=0.01, eps=0.0)
    for _ in range(4):
        g = torch.randn(4, 3, generator=rng, dtype=F64)
        ours.grad, theirs.grad = g.clone(), g.clone()
        a.step()
        b.step()
    assert_close(ours, theirs, **CLOSE)


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"momentum": 1.0}, {"trust": 0.0}, {"decay": -0.1}])
def test_rejects(wrong):
    with pytest.raises(ValueError, match="need lr"):
        LARS([torch.ones(2).requires_grad_()], **({"lr": 1.0} | wrong))


def test_rejects_trust_and_decay():
    for wrong in ({"trust": 0.0}, {"decay": -1.0}):
        with pytest.raises(ValueError, match="need trust"):
            trust_ratio(torch.ones(2), torch.ones(2), **wrong)


def test_planted_error_is_seen():
    """Weight decay left out of the denominator: the step is longer than the trust allows."""
    w, g = torch.tensor([3.0, 4.0], dtype=F64), torch.tensor([0.0, 0.5], dtype=F64)
    right = trust_ratio(w, g, 0.01, decay=1.0) * (g + w).norm() / w.norm()
    wrong = trust_ratio(w, g, 0.01) * (g + w).norm() / w.norm()
    assert right <= 0.01 < wrong
