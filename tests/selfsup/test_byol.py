import copy
import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from worked.selfsup.byol import Pair, byol_loss

F64 = torch.float64


def slow_loss(q, z):
    """Eq. (2) of the paper, row by row: 2 - 2 <q, z> / (|q| |z|)."""
    rows = [
        2 - 2 * (a @ b).item() / math.sqrt((a @ a).item() * (b @ b).item()) for a, b in zip(q, z, strict=True)
    ]
    return sum(rows) / len(rows)


def slow_gradient(q, z):
    """-2 / (n |q|) (I - q q^T / |q|^2) z / |z|, row by row."""
    rows = []
    for a, b in zip(q, z, strict=True):
        u, v = a / a.norm(), b / b.norm()
        rows.append(-2 / (len(q) * a.norm()) * (v - (u @ v) * u))
    return torch.stack(rows)


@given(n=st.integers(1, 6), d=st.integers(1, 7), seed=st.integers(0, 2**31))
def test_equals_the_paper_formula(n, d, seed):
    q, z = torch.randn(2, n, d, generator=torch.Generator().manual_seed(seed), dtype=F64)
    assert_close(byol_loss(q, z).item(), slow_loss(q, z), rtol=1e-12, atol=1e-12)  # rounding of float64


def test_hand_values():
    q = torch.tensor([[3.0, 0.0]])
    for z, want in (([[2.0, 0.0]], 0.0), ([[0.0, 5.0]], 2.0), ([[-1.0, 0.0]], 4.0)):
        assert_close(byol_loss(q, torch.tensor(z)).item(), want)


def test_scale_of_a_row_does_not_matter(rng):
    q, z = torch.randn(2, 5, 4, generator=rng, dtype=F64)
    assert_close(byol_loss(1e3 * q, 1e-3 * z), byol_loss(q, z), rtol=1e-12, atol=0)


@given(n=st.integers(1, 5), d=st.integers(2, 6), seed=st.integers(0, 2**31))
def test_gradient_is_the_formula_and_is_orthogonal_to_the_prediction(n, d, seed):
    q, z = torch.randn(2, n, d, generator=torch.Generator().manual_seed(seed), dtype=F64)
    q.requires_grad_()
    (got,) = torch.autograd.grad(byol_loss(q, z), q)
    size = 1 / q.detach().norm(dim=1).min().item()
    assert_close(got, slow_gradient(q.detach(), z), rtol=0, atol=1e-13 * size)
    assert (got * q.detach()).sum(1).abs().max() < 1e-13


def test_gradcheck(rng):
    q, z = torch.randn(2, 3, 4, generator=rng, dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: byol_loss(a, z.detach()), (q,))
    assert torch.autograd.gradcheck(lambda a, b: byol_loss(a, b, stop_gradient=False), (q, z))


def test_no_gradient_reaches_the_target(rng):
    q, z = torch.randn(2, 3, 4, generator=rng).requires_grad_()
    loss = byol_loss(q, z)
    assert torch.autograd.grad(loss, z, retain_graph=True, allow_unused=True) == (None,)
    (shared,) = torch.autograd.grad(
        byol_loss(2 * q, q + z.detach()), q
    )  # q on both sides: only the left counts
    (left,) = torch.autograd.grad(byol_loss(2 * q, (q + z).detach()), q)
    assert_close(shared, left)


@given(n=st.integers(1, 9), d=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_agrees_with_lightly(n, d, seed):
    """lightly has the negative cosine; 2 + 2 of it is ours. Its epsilon is rounding here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightly.loss import NegativeCosineSimilarity
    generator = torch.Generator().manual_seed(seed)
    q, z = (
        torch.randn(n, d, generator=generator, dtype=F64).sign()
        * (0.5 + torch.rand(n, d, generator=generator, dtype=F64))
        for _ in "qz"
    )
    a, b = q.clone().requires_grad_(), q.clone().requires_grad_()
    ours, theirs = byol_loss(a, z), 2 + 2 * NegativeCosineSimilarity()(b, z)
    assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert_close(torch.autograd.grad(ours, a), torch.autograd.grad(theirs, b), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("unhooked")
def test_rejects():
    for q, z, message in [
        (torch.ones(2, 3), torch.ones(2, 4), r"\(2, 3\) and \(2, 4\)"),
        (torch.ones(0, 3), torch.ones(0, 3), "n >= 1"),
        (torch.ones(3), torch.ones(3), "two equal shapes"),
        (torch.zeros(1, 3), torch.ones(1, 3), "q has a row of zeros"),
        (torch.ones(2, 3), torch.tensor([[1.0, 0, 0], [0, 0, 0]]), "z has a row of zeros"),
    ]:
        with pytest.raises(ValueError, match=message):
            byol_loss(q, z)
    for decay in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="0 <= decay <= 1"):
            Pair(nn.Linear(2, 2), None, decay)


def small(decay, predictor=True):
    torch.manual_seed(0)
    online = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
    return Pair(online, nn.Linear(3, 3) if predictor else None, decay).double()


def views(rng, n=5):
    return torch.randn(2, n, 3, 2, 2, generator=rng, dtype=F64)


def test_target_follows_the_online_network():
    pair = Pair(nn.Linear(1, 1, bias=False), None, 0.9)
    with torch.no_grad():
        pair.online.weight.fill_(1)
        pair.target.weight.fill_(0)
    for want in (0.1, 0.19, 0.271):
        pair.update()
        assert_close(pair.target.weight.item(), want, rtol=1e-6, atol=0)
    assert pair.online.weight.item() == 1


def test_decay_zero_is_the_online_network_and_one_never_moves(rng):
    pair = small(0.0)
    assert pair.target is pair.online
    still, before = small(1.0), small(1.0).target.state_dict()
    with torch.no_grad():
        for p in still.online.parameters():
            p.add_(1)
    still.update()
    assert_close(
        [*still.target.parameters()],
        [v for k, v in before.items() if k in dict(still.target.named_parameters())],
    )


def test_loss_is_both_directions(rng):
    pair, (x1, x2) = small(0.9), views(rng)
    with torch.no_grad():
        for p in pair.online.parameters():
            p.mul_(1.1)
    slow = copy.deepcopy(pair)
    got = pair.loss(x1, x2)
    q, z = slow.predictor(slow.online(torch.cat([x1, x2]))), slow.target(torch.cat([x1, x2]))
    assert_close(got, byol_loss(q[:5], z[5:]) + byol_loss(q[5:], z[:5]))
    assert_close(pair.loss(x2, x1), got)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_gradients_reach_what_is_trained_and_nothing_else(decay, rng):
    pair, (x1, x2) = small(decay), views(rng)
    pair.loss(x1, x2).backward()
    trained = {id(p) for p in pair.trained()}
    assert {id(p) for p in pair.parameters() if p.grad is not None} == trained
    both = small(decay)
    both.loss(x1, x2, stop_gradient=False).backward()
    assert {id(p) for p in both.parameters() if p.grad is not None} == {id(p) for p in both.trained(False)}
    same = torch.cat([p.grad.flatten() for p in pair.online.parameters()])
    other = torch.cat([p.grad.flatten() for p in both.online.parameters()])
    assert torch.allclose(same, other) == (decay > 0)  # with its own target, the online gradient is the same
    if decay:
        assert len(both.trained(False)) > len(both.trained())


def test_shared_network_gets_the_gradient_of_one_branch(rng):
    """SimSiam: the target's output is a constant although its weights are the online ones."""
    pair, (x1, x2) = small(0.0), views(rng)
    both = torch.cat([x1, x2])
    constant = pair.target(both).detach().roll(5, dims=0)
    want = torch.autograd.grad(2 * byol_loss(pair.predictor(pair.online(both)), constant), pair.trained())
    got = torch.autograd.grad(pair.loss(x1, x2), pair.trained())
    assert_close(got, want)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda q, z: byol_loss(q, z, stop_gradient=False), id="no stop-gradient"),
        pytest.param(lambda q, z: byol_loss(z, q), id="stopped on the wrong side"),
    ],
)
def test_planted_errors_are_seen(wrong, rng):
    """The value is the same; only the gradients tell."""
    q, z = torch.randn(2, 3, 4, generator=rng, dtype=F64).requires_grad_()
    assert_close(wrong(q, z), byol_loss(q, z))
    (of_z,) = torch.autograd.grad(wrong(q, z), z)
    assert of_z.abs().max() > 0.01
