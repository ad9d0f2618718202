import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.multimodal import clip_loss as module
from worked.multimodal.clip_gradient import clip_gradient
from worked.multimodal.clip_loss import clip_loss, logits_and_partitions

F64 = torch.float64
# Rounding in float64: a logit is at most 30 in size here, so its error, and with it the relative error of an
# exponential, stays below 30 * 2^-52 times a handful of operations.
CLOSE = {"rtol": 1e-11, "atol": 1e-12}


def slow_loss(x, y, log_scale):
    """The definition, term by term; slow on purpose."""
    n, gamma, total = len(x), math.exp(log_scale), 0.0

    def e(i, j):
        return math.exp(gamma * (x[i] @ y[j] / (x[i].norm() * y[j].norm())).item())

    for i in range(n):
        total -= math.log(e(i, i) / sum(e(i, j) for j in range(n)))
        total -= math.log(e(i, i) / sum(e(j, i) for j in range(n)))
    return total / (2 * n)


def slow_gradient_x(x, y, log_scale, i):
    """The chapter's formula for one image embedding, one term after another."""
    n, gamma = len(x), math.exp(log_scale)
    s = [[(a @ b / (a.norm() * b.norm())).item() for b in y] for a in x]
    e = [[math.exp(gamma * t) for t in row] for row in s]
    total = torch.zeros_like(x[i])
    for j in range(n):
        P, Q = e[i][j] / sum(e[i]), e[i][j] / sum(e[k][j] for k in range(n))
        slope = y[j] / (x[i].norm() * y[j].norm()) - s[i][j] * x[i] / x[i].norm() ** 2
        total += gamma / (2 * n) * (P + Q - 2 * (i == j)) * slope
    return total


def with_cross_entropy(x, y, log_scale):
    """The same with PyTorch's normalize and cross_entropy, for autograd to differentiate."""
    logits = log_scale.exp() * F.normalize(x, dim=1) @ F.normalize(y, dim=1).T
    target = torch.arange(len(x))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def problem(n, d, rng, log_scale=1.5, dtype=F64):
    x = torch.randn(n, d, generator=rng, dtype=dtype) * torch.linspace(0.3, 4, n, dtype=dtype)[:, None]
    y = torch.randn(n, d, generator=rng, dtype=dtype) + x
    return x, y, torch.tensor(log_scale, dtype=dtype)


def gradients(loss, *tensors):
    tensors = [t.detach().requires_grad_() for t in tensors]
    value = loss(*tensors)
    return [value.detach(), *torch.autograd.grad(value, tensors)]


@pytest.mark.parametrize(("n", "d"), [(2, 1), (5, 3), (7, 9)])
def test_equals_the_definition(n, d, rng):
    x, y, log_scale = problem(n, d, rng)
    want = slow_loss(x, y, log_scale.item())
    assert_close(clip_loss(x, y, log_scale).item(), want, **CLOSE)
    assert_close(clip_gradient(x, y, log_scale).loss.item(), want, **CLOSE)


@pytest.mark.parametrize(("n", "d"), [(2, 2), (5, 3), (6, 9)])
def test_gradient_equals_the_formula_for_one_row(n, d, rng):
    x, y, log_scale = problem(n, d, rng)
    want = torch.stack([slow_gradient_x(x, y, log_scale.item(), i) for i in range(n)])
    assert_close(clip_gradient(x, y, log_scale).x, want, **CLOSE)
    want = torch.stack([slow_gradient_x(y, x, log_scale.item(), i) for i in range(n)])
    assert_close(clip_gradient(x, y, log_scale).y, want, **CLOSE)  # the loss is symmetric
    assert_close(gradients(clip_loss, x, y, log_scale)[2], want, **CLOSE)


def test_hand_values():
    ones = torch.ones(5, 3, dtype=F64)
    assert_close(clip_loss(ones, ones, torch.tensor(2.0, dtype=F64)).item(), math.log(5))
    eye, zero = torch.eye(2, dtype=F64), torch.zeros((), dtype=F64)
    p = 1 / (1 + math.e)
    got = clip_gradient(eye, eye, zero)
    assert_close(got.x, (1 - eye) * p / 2)
    assert_close(got.log_scale.item(), -p)
    for a, b in zip(gradients(clip_loss, eye, eye, zero), got[:4], strict=True):
        assert_close(a, b)


def test_length_does_not_matter_and_order_travels(rng):
    x, y, log_scale = problem(6, 4, rng)
    a, b = gradients(clip_loss, x, y, log_scale), gradients(clip_loss, 3 * x, y / 5, log_scale)
    for mine, other, factor in zip(a, b, (1, 3, 1 / 5, 1), strict=True):
        assert_close(factor * other, mine, **CLOSE)
    pi = torch.randperm(6, generator=rng)
    c = gradients(clip_loss, x[pi], y[pi], log_scale)
    for mine, other in zip(a, c, strict=True):
        assert_close(other, mine[pi] if mine.ndim else mine, **CLOSE)


def test_images_and_texts_may_change_places(rng):
    x, y, log_scale = problem(6, 4, rng)
    a, b = gradients(clip_loss, x, y, log_scale), gradients(clip_loss, y, x, log_scale)
    for mine, other in zip(a, (b[0], b[2], b[1], b[3]), strict=True):
        assert_close(other, mine, **CLOSE)


def test_gradcheck(rng):
    tensors = [t.requires_grad_() for t in problem(4, 3, rng)]
    assert torch.autograd.gradcheck(clip_loss, tensors)


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 100])
def test_blocks_do_not_show(rows, rng, monkeypatch):
    x, y, log_scale = problem(7, 4, rng)
    want = clip_gradient(x, y, log_scale)[:4]
    monkeypatch.setattr(module, "ROWS", rows)
    for mine, other in zip(gradients(clip_loss, x, y, log_scale), want, strict=True):
        assert_close(mine, other, **CLOSE)


@given(
    n=st.integers(2, 9),
    d=st.integers(1, 7),
    rows=st.integers(1, 10),
    log_scale=st.floats(-3, 3),
    seed=st.integers(0, 2**31),
)
def test_agrees_with_cross_entropy_and_autograd(n, d, rows, log_scale, seed):
    x, y, log_scale = problem(n, d, torch.Generator().manual_seed(seed), log_scale)
    want = gradients(with_cross_entropy, x, y, log_scale)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS", rows)
        got = gradients(clip_loss, x, y, log_scale)
    for mine, other, named in zip(got, want, clip_gradient(x, y, log_scale)[:4], strict=True):
        assert_close(mine, other, **CLOSE)
        assert_close(named, other, **CLOSE)


@given(n=st.integers(2, 6), d=st.integers(1, 5), seed=st.integers(0, 2**31))
def test_each_half_agrees_with_lightly(n, d, seed):
    """lightly has no CLIP loss, but its NT-Xent with a memory bank is one row of one half: a positive against
    whatever the bank holds. Put the other texts there for an image, the other images for a text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightly.loss import NTXentLoss

    x, y, log_scale = problem(n, d, torch.Generator().manual_seed(seed))

    def row(a, b, i):
        loss = NTXentLoss(temperature=1 / log_scale.exp().item(), memory_bank_size=(n - 1, d))
        others = torch.cat([b[:i], b[i + 1 :]])
        loss.memory_bank.bank = F.normalize(others, dim=1)  # (n - 1, d)
        loss.memory_bank.bank_ptr = torch.zeros(1, dtype=torch.long)
        return loss(a[i : i + 1], b[i : i + 1])

    def half(a, b):
        return torch.stack([row(a, b, i) for i in range(n)]).mean()

    want = (half(x, y) + half(y, x)) / 2
    assert_close(clip_loss(x, y, log_scale), want, **CLOSE)


def test_a_large_scale_does_not_overflow(rng):
    """At CLIP's cap the exponentials of float32 logits would reach e^100 = inf."""
    x, y, _ = problem(300, 8, rng, dtype=torch.float32)
    cap = torch.tensor(100.0).log()
    got, want = gradients(clip_loss, x, y, cap), gradients(with_cross_entropy, x, y, cap)
    for mine, other in zip(got, want, strict=True):  # logits of 100 carry an error of 100 * 2^-24 * d
        assert_close(mine, other, rtol=1e-3, atol=1e-4 * other.abs().max().item())


def test_backward_twice_gives_the_same(rng):
    x, y, log_scale = (t.requires_grad_() for t in problem(5, 3, rng))
    loss = clip_loss(x, y, log_scale)
    first = torch.autograd.grad(loss, (x, y, log_scale), retain_graph=True)
    for a, b in zip(first, torch.autograd.grad(3 * loss, (x, y, log_scale)), strict=True):
        assert_close(3 * a, b, **CLOSE)


def test_partitions_of_a_rectangle(rng):
    u, v = torch.randn(6, 3, generator=rng, dtype=F64), torch.randn(4, 3, generator=rng, dtype=F64)
    logits, rows, columns = logits_and_partitions(u, v, torch.tensor(2.0, dtype=F64))
    assert_close(logits, 2 * u @ v.T)
    assert_close(rows, logits.logsumexp(1))
    assert_close(columns, logits.logsumexp(0))


@pytest.mark.parametrize("loss", [clip_loss, clip_gradient])
def test_shapes_are_caught_by_the_annotation(loss):
    with pytest.raises(Exception, match="clip"):
        loss(torch.ones(4, 2), torch.ones(5, 2), torch.tensor(0.0))


def test_rejects():
    ok, zero = torch.ones(3, 2), torch.tensor(0.0)
    for args, message in [
        ((ok[:1], ok[:1], zero), r"n >= 2; got \(1, 2\)"),
        ((ok, ok.double(), zero), "one floating type, got torch.float32, torch.float64"),
        ((ok, 0 * ok, zero), "positive norm, got 0.0 in row 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            clip_loss(*args)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda g, x, y: g.x * x.norm(dim=1, keepdim=True), id="no 1/|x|"),
        pytest.param(lambda g, x, y: g.x + (g.x * 0 + x) * 1e-3, id="not orthogonal"),
        pytest.param(lambda g, x, y: 2 * g.x, id="sum of the halves, not their mean"),
        pytest.param(lambda g, x, y: g.x * len(x), id="no 1/n"),
    ],
)
def test_planted_errors_are_seen(wrong, rng):
    x, y, log_scale = problem(5, 3, rng)
    want = gradients(with_cross_entropy, x, y, log_scale)[1]
    with pytest.raises(AssertionError):
        assert_close(wrong(clip_gradient(x, y, log_scale), x, y), want, **CLOSE)
