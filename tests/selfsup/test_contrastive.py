import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize
from torch.testing import assert_close
from worked.selfsup.contrastive import alignment, candidate_weights, info_nce, nt_xent, uniformity

F64 = torch.float64
# float64: a few hundred additions of terms up to e^(2 / tau), relative to the largest; 1e-15 each
CLOSE = {"rtol": 1e-11, "atol": 1e-12}


def cosine(a, b):
    return (a @ b / (a.norm() * b.norm())).item()


def slow_nt_xent(z1, z2, tau):
    """Eq. (1) of the paper, term by term; slow on purpose."""
    z, n, total = torch.cat([z1, z2]), len(z1), 0.0
    for i in range(2 * n):
        p = (i + n) % (2 * n)
        others = [math.exp(cosine(z[i], z[k]) / tau) for k in range(2 * n) if k != i]
        total -= math.log(math.exp(cosine(z[i], z[p]) / tau) / sum(others))
    return total / (2 * n)


def slow_info_nce(query, key, negatives, tau):
    total = 0.0
    for i, q in enumerate(query):
        others = negatives if negatives is not None else [k for j, k in enumerate(key) if j != i]
        scores = [math.exp(cosine(q, k) / tau) for k in (key[i], *others)]
        total -= math.log(scores[0] / sum(scores))
    return total / len(query)


def plain_nt_xent(z1, z2, tau):
    """The loss in six lines of autograd: gradients, and gradients of small temperatures, come from here."""
    z = normalize(torch.cat([z1, z2]), dim=1)
    s = (z @ z.T / tau).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    return torch.nn.functional.cross_entropy(s, torch.arange(len(z)).roll(len(z1)))


@pytest.mark.parametrize(("n", "d"), [(2, 3), (5, 8), (7, 1)])
@pytest.mark.parametrize("tau", [0.1, 0.5, 2.0])
def test_equals_the_paper_formula(n, d, tau, rng):
    z1, z2 = torch.randn(2, n, d, generator=rng, dtype=F64)
    assert_close(nt_xent(z1, z2, tau).item(), slow_nt_xent(z1, z2, tau), **CLOSE)


@pytest.mark.parametrize("m", [None, 1, 6])
def test_info_nce_equals_the_formula(m, rng):
    q, k = torch.randn(2, 4, 3, generator=rng, dtype=F64)
    negatives = None if m is None else torch.randn(m, 3, generator=rng, dtype=F64)
    got = info_nce(q, k, negatives, 0.3).item()
    assert_close(got, slow_info_nce(q, k, negatives, 0.3), **CLOSE)


def test_hand_values():
    z = torch.ones(7, 4, dtype=F64)
    assert_close(nt_xent(z, z).item(), math.log(13))
    assert_close(info_nce(z, z).item(), math.log(7))
    assert_close(info_nce(z, z, z[:3]).item(), math.log(4))
    a, b = torch.tensor([[1.0, 0]], dtype=F64), torch.tensor([[-1.0, 0]], dtype=F64)
    two = torch.cat([a, b])
    assert_close(
        nt_xent(two, two, 0.5).item(), math.log(1 + 2 * math.exp(-4))
    )  # both positives at 1, others at -1
    assert alignment(a, b).item() == 4
    assert alignment(a, b, alpha=1.0).item() == 2
    assert_close(uniformity(two).item(), -8.0)
    assert uniformity(z).item() == pytest.approx(0, abs=1e-15)
    assert_close(candidate_weights(z, z), (1 - torch.eye(14, dtype=F64)) / 13)


@given(
    n=st.integers(2, 6),
    d=st.integers(1, 5),
    tau=st.sampled_from([0.05, 0.5, 3.0]),
    seed=st.integers(0, 2**31),
)
def test_scale_of_rows_order_of_images_and_rotation_do_not_matter(n, d, tau, seed):
    rng = torch.Generator().manual_seed(seed)
    z1, z2 = torch.randn(2, n, d, generator=rng, dtype=F64)
    want = nt_xent(z1, z2, tau)
    scale = torch.rand(n, 1, generator=rng, dtype=F64) + 0.1
    order = torch.randperm(n, generator=rng)
    turn = torch.linalg.qr(torch.randn(d, d, generator=rng, dtype=F64))[0]
    for got in (nt_xent(scale * z1, z2 / scale, tau), nt_xent(z1[order], z2[order], tau)):
        assert_close(got, want, **CLOSE)
    assert_close(nt_xent(z1 @ turn, z2 @ turn, tau), want, **CLOSE)
    assert_close(nt_xent(z2, z1, tau), want, **CLOSE)


@pytest.mark.parametrize("tau", [0.05, 0.5, 2.0])
def test_gradient(tau, rng):
    z1, z2 = torch.randn(2, 3, 4, generator=rng, dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, tau), (z1, z2))
    assert torch.autograd.gradcheck(lambda a: nt_xent(a, z2.detach(), tau), (z1,))
    assert torch.autograd.gradcheck(lambda a, b: info_nce(a, b, tau=tau), (z1, z2))
    assert torch.autograd.gradcheck(lambda a, b: alignment(a, b) + uniformity(a), (z1, z2))


def test_the_gradient_scales_and_can_be_asked_for_twice(rng):
    z1, z2 = torch.randn(2, 3, 4, generator=rng, dtype=F64).requires_grad_()
    z = torch.stack([z1.detach(), z2.detach()]).requires_grad_()
    loss = nt_xent(z[0], z[1])
    (once,) = torch.autograd.grad(loss, z, retain_graph=True)
    (thrice,) = torch.autograd.grad(3 * loss, z)
    assert_close(thrice, 3 * once, **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_small_temperatures_neither_overflow_nor_vanish(dtype):
    """At tau = 0.005 the terms span e^400, more than float32 holds."""
    z1 = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.6, 0.8, 0]], dtype=dtype).requires_grad_()
    z2 = torch.tensor([[-1.0, 0.01, 0], [0.1, -1, 0], [0, 0.3, 1]], dtype=dtype).requires_grad_()
    got, want = nt_xent(z1, z2, 0.005), plain_nt_xent(z1, z2, 0.005)
    rounding = {
        "rtol": 1e-4 if dtype == torch.float32 else 1e-12,
        "atol": 1e-4 if dtype == torch.float32 else 1e-10,
    }
    assert_close(got, want, **rounding)
    for mine, theirs in zip(
        torch.autograd.grad(got, [z1, z2]), torch.autograd.grad(want, [z1, z2]), strict=True
    ):
        assert_close(mine, theirs, **rounding)


def test_inputs_are_left_alone(rng):
    z1, z2 = torch.randn(2, 4, 3, generator=rng)
    before = z1.clone(), z2.clone()
    nt_xent(z1.requires_grad_(), z2).backward()
    assert torch.equal(z1, before[0])
    assert torch.equal(z2, before[1])


@pytest.fixture(scope="module")
def lightly_loss():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightly.loss import NTXentLoss
    return NTXentLoss


@given(
    n=st.integers(2, 12),
    d=st.integers(1, 9),
    tau=st.sampled_from([0.07, 0.5, 2.0]),
    seed=st.integers(0, 2**31),
)
def test_agrees_with_lightly(lightly_loss, n, d, tau, seed):
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(2, n, d, generator=rng, dtype=F64).requires_grad_()
    ours, theirs = nt_xent(z[0], z[1], tau), lightly_loss(temperature=tau)(z[0], z[1])
    assert_close(ours, theirs, **CLOSE)
    (mine,), (want,) = torch.autograd.grad(ours, z), torch.autograd.grad(theirs, z)
    assert_close(mine, want, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("n", "m", "d"), [(3, 5, 4), (8, 2, 3)])
def test_info_nce_agrees_with_lightly_with_a_memory_bank(lightly_loss, n, m, d, rng):
    """The library's bank is float32, and so is the comparison: 1e-6 relative for a few dozen additions."""
    loss = lightly_loss(temperature=0.2, memory_bank_size=(m, d))
    q, k = torch.randn(2, n, d, generator=rng)
    bank = loss.memory_bank.bank.clone()
    assert_close(info_nce(q, k, bank, 0.2), loss(q, k), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("n", "tau"), [(1, 0.5), (4, 0.0), (4, -1.0)])
def test_rejects(n, tau):
    z = torch.ones(n, 2)
    with pytest.raises(ValueError, match="need"):
        nt_xent(z, z, tau)


@pytest.mark.usefixtures("unhooked")
def test_rejects_what_has_no_negatives_or_does_not_match():
    z = torch.ones(4, 2)
    with pytest.raises(ValueError, match="no negatives"):
        info_nce(z[:1], z[:1])
    with pytest.raises(ValueError, match="no negatives"):
        info_nce(z, z, z[:0])
    for wrong in (lambda: uniformity(z[:1]), lambda: uniformity(z, 0.0), lambda: alignment(z, z, 0.0)):
        with pytest.raises(ValueError, match="need"):
            wrong()
    for f in (nt_xent, info_nce, alignment, candidate_weights):
        with pytest.raises(ValueError, match=r"got shapes \(4, 2\), \(5, 2\)"):
            f(z, torch.ones(5, 2))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda s, p: (s, p), id="self-similarity not masked"),
        pytest.param(lambda s, p: (s.clone().fill_diagonal_(0), p), id="masked with 0"),
        pytest.param(lambda s, p: (s.clone().fill_diagonal_(-torch.inf), p.roll(1)), id="partner off by one"),
        pytest.param(
            lambda s, p: (s.clone().fill_diagonal_(-torch.inf)[:, : len(s) // 2], p % (len(s) // 2)),
            id="candidates of one view only",
        ),
    ],
)
def test_planted_errors_are_seen(wrong, rng):
    """Wrong losses are off by a tenth and more on random embeddings, a million times what rounding does."""
    z1, z2 = torch.randn(2, 5, 8, generator=rng, dtype=F64)
    u = normalize(torch.cat([z1, z2]), dim=1)
    s, partner = wrong(u @ u.T / 0.5, torch.arange(10).roll(5))
    assert not abs(torch.nn.functional.cross_entropy(s, partner) - slow_nt_xent(z1, z2, 0.5)) < 0.05
