import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.selfsup.linear_dynamics import (
    amplitude_flow,
    critical_decay,
    fixed_points,
    flow,
    flow_without_stop,
    linear_loss,
    mode_flow,
    runge_kutta,
    survives,
)

F64 = torch.float64
EXACT = {"rtol": 1e-12, "atol": 1e-12}  # some hundred float64 operations on numbers of order 1 to 10


def normal(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=F64)


def problem(rng, k=3, d=4):
    """Weights, and moments of views that really exist: X and a C that is not symmetric."""
    pairs = normal(rng, 2, 50, d) + normal(rng, 1, 50, d)
    pairs[1] = pairs[1] @ torch.linalg.qr(normal(rng, d, d))[0]
    x1, x2 = pairs
    X = torch.eye(d, dtype=F64) * 2 + (x1.T @ x1 + x2.T @ x2) / 100
    return normal(rng, k, d), normal(rng, k, k), normal(rng, k, d), X, x2.T @ x1 / 50


def test_loss_is_the_mean_over_the_sample(rng):
    x1, x2 = normal(rng, 2, 40, 4)
    x2 = x2 + x1
    W, W_p, W_a = normal(rng, 3, 4), normal(rng, 3, 3), normal(rng, 3, 4)
    slow = sum(((W_p @ W @ u - W_a @ v) ** 2).sum() / 2 for u, v in zip(x1, x2, strict=True)) / 40
    # linear_loss has one X for both views: split the square to give each its own
    mixed = linear_loss(W, W_p, W_a, x1.T @ x1 / 40, x2.T @ x1 / 40)
    own = ((W_a @ (x2.T @ x2 - x1.T @ x1) / 40) * W_a).sum() / 2
    assert_close(mixed + own, slow, **EXACT)


def test_loss_hand_value():
    one = torch.ones(1, 1, dtype=F64)
    assert linear_loss(one, one, one, one, one).item() == 0
    assert linear_loss(one, 2 * one, one, one, 0.5 * one).item() == 1.5  # 2 + 1/2 - 1


def test_flow_is_minus_the_gradient_and_the_decay(rng):
    W, W_p, W_a, X, C = problem(rng)
    W.requires_grad_(), W_p.requires_grad_()
    of_W, of_p = torch.autograd.grad(linear_loss(W, W_p, W_a, X, C), (W, W_p))
    got = flow(W, W_p, W_a, X=X, C=C, alpha=0.7, beta=0.3, eta=0.1)
    assert_close(got[0], -of_W - 0.1 * W, **EXACT)
    assert_close(got[1], -0.7 * of_p - 0.1 * W_p, **EXACT)
    assert_close(got[2], 0.3 * (W - W_a), **EXACT)


def test_flow_without_stop_is_minus_the_whole_gradient(rng):
    W, W_p, _, X, C = problem(rng)
    W.requires_grad_(), W_p.requires_grad_()
    of_W, of_p = torch.autograd.grad(linear_loss(W, W_p, W, X, C), (W, W_p))
    got = flow_without_stop(W, W_p, X=X, C=C, alpha=0.7, eta=0.1)
    assert_close(got, (-of_W - 0.1 * W, -0.7 * of_p - 0.1 * W_p), **EXACT)


def test_hand_values():
    one = torch.ones(1, 1, dtype=F64)
    still = flow(one, one, one, X=one, C=one, alpha=1.0, beta=1.0, eta=0.0)
    assert [v.item() for v in still] == [0, 0, 0]
    moving = flow_without_stop(one, one, X=one, C=0 * one, alpha=1.0, eta=0.0)
    assert [v.item() for v in moving] == [-2, -1]
    t = torch.ones((), dtype=F64)
    assert [v.item() for v in mode_flow(t, t, t, a=2.0, alpha=1.0, beta=1.0, eta=0.0)] == [-1, -2, 1]
    assert fixed_points(1.0, 0.0) == (0, 1)
    assert critical_decay(1.0) == 0.25
    assert fixed_points(2.0, 1 / 8) == (0.25, 0.25)
    p = torch.tensor([-1.0, -1.0], dtype=F64)
    assert survives(p, torch.tensor([2.0, 0.5], dtype=F64), a=1.0, alpha=1.0).tolist() == [True, False]


@given(
    alpha=st.floats(0.2, 3),
    beta=st.floats(0.1, 5),
    eta=st.floats(0, 0.2),
    a=st.floats(1, 3),
    seed=st.integers(0, 2**31),
)
def test_modes_are_the_flow_of_aligned_matrices(alpha, beta, eta, a, seed):
    """Derivatives of W W^T, W_p and of the target, read in the common eigenbasis."""
    rng = torch.Generator().manual_seed(seed)
    k, d = 3, 5
    U = torch.linalg.qr(normal(rng, k, k))[0]
    p, tau = normal(rng, 2, k)
    s = normal(rng, k).abs() + 0.1
    right = torch.linalg.qr(normal(rng, d, k))[0].T
    W = U @ torch.diag(s.sqrt()) @ right
    W_p, W_a = U @ torch.diag(p) @ U.T, U @ torch.diag(tau) @ U.T @ W
    eye = torch.eye(d, dtype=F64)
    dW, dW_p, dW_a = flow(W, W_p, W_a, X=a * eye, C=eye, alpha=alpha, beta=beta, eta=eta)
    dp, ds, dtau = mode_flow(p, s, tau, a=a, alpha=alpha, beta=beta, eta=eta)
    close = {"rtol": 1e-9, "atol": 1e-9}  # s may be 0.1 beside p of 4
    assert_close(U.T @ dW_p @ U, torch.diag(dp), **close)
    assert_close(U.T @ (dW @ W.T + W @ dW.T) @ U, torch.diag(ds), **close)
    T = U @ torch.diag(tau) @ U.T
    assert_close(U @ torch.diag(dtau) @ U.T @ W, dW_a - T @ dW, **close)


def test_amplitudes_are_the_flow_of_aligned_matrices(rng):
    k, d = 3, 5
    U, right = torch.linalg.qr(normal(rng, k, k))[0], torch.linalg.qr(normal(rng, d, k))[0].T
    p, w, omega = normal(rng, 3, k)
    w[0] = 0  # where the flow of s and tau has no answer
    matrices = U @ torch.diag(w) @ right, U @ torch.diag(p) @ U.T, U @ torch.diag(omega) @ right
    eye = torch.eye(d, dtype=F64)
    dW, dW_p, dW_a = flow(*matrices, X=1.7 * eye, C=eye, alpha=0.6, beta=0.3, eta=0.1)
    dp, dw, domega = amplitude_flow(p, w, omega, a=1.7, alpha=0.6, beta=0.3, eta=0.1)
    assert_close(U.T @ dW_p @ U, torch.diag(dp), **EXACT)
    assert_close(U.T @ dW @ right.T, torch.diag(dw), **EXACT)
    assert_close(U.T @ dW_a @ right.T, torch.diag(domega), **EXACT)


def test_amplitudes_hand_values():
    one, nil = torch.ones((), dtype=F64), torch.zeros((), dtype=F64)
    known = amplitude_flow(one, nil, one, a=2.0, alpha=1.0, beta=1.0, eta=0.0)
    assert [v.item() for v in known] == [0, 1, -1]
    at_once = amplitude_flow(
        one, one, nil, a=2.0, alpha=1.0, beta=math.inf, eta=0.0
    )  # omega is not looked at
    assert [v.item() for v in at_once] == [-1, -1, 0]


def test_without_averaging_the_target_stays(rng):
    p, s = normal(rng, 4), normal(rng, 4).abs()
    assert (
        mode_flow(p, s, torch.ones_like(p), a=1.5, alpha=1.0, beta=math.inf, eta=0.1)[2].tolist() == [0] * 4
    )


@given(a=st.floats(1, 4), share=st.floats(0, 0.99), alpha=st.floats(0.1, 10), beta=st.floats(0.1, 10))
def test_nothing_moves_at_the_fixed_points(a, share, alpha, beta):
    eta = share * critical_decay(a)
    p = torch.tensor(fixed_points(a, eta), dtype=F64)
    moves = mode_flow(p, p**2 / alpha, torch.ones(2, dtype=F64), a=a, alpha=alpha, beta=beta, eta=eta)
    assert max(m.abs().max() for m in moves) < 1e-14


def test_survivors_survive(rng):
    """The rule against the integrated flow, away from its edges."""
    p, s = 2.5 * (2 * torch.rand(2, 400, generator=rng, dtype=F64) - 1)
    s = s.abs() + 0.01
    a, alpha = 1.3, 0.8
    kappa = p**2 - alpha * s
    clear = (kappa.abs() > 0.1) & ((kappa - 1 / a**2).abs() > 0.1)
    run = runge_kutta(
        lambda p, s: mode_flow(p, s, torch.ones_like(p), a=a, alpha=alpha, beta=math.inf, eta=0.0)[:2],
        (p, s),
        dt=0.02,
        steps=2000,
    )
    assert ((run[1][-1] > 1e-3) == survives(p, s, a=a, alpha=alpha))[clear].all()
    assert clear.sum() > 200


def test_runge_kutta():
    (path,) = runge_kutta(lambda x: (x,), (torch.ones((), dtype=F64),), dt=1.0, steps=1)
    assert_close(path[-1].item(), 65 / 24)
    errors = []
    for steps in (10, 20):
        (path,) = runge_kutta(lambda x: (x,), (torch.ones((), dtype=F64),), dt=1 / steps, steps=steps)
        assert len(path) == steps + 1
        errors.append(abs(path[-1].item() - math.e))
    assert 14 < errors[0] / errors[1] < 18  # fourth order


@pytest.mark.usefixtures("unhooked")
def test_rejects():
    with pytest.raises(ValueError, match=r"a=0\.5"):
        critical_decay(0.5)
    for eta in (-0.1, 0.3):
        with pytest.raises(ValueError, match=r"0 <= eta <= 1 / \(4 a\) = 0.25, got eta="):
            fixed_points(1.0, eta)
    with pytest.raises(ValueError, match="s > 0"):
        survives(torch.ones(2), torch.tensor([1.0, 0.0]), a=1.0, alpha=1.0)
    for dt, steps in ((0.0, 5), (0.1, 0)):
        with pytest.raises(ValueError, match="dt > 0 and steps >= 1"):
            runge_kutta(lambda x: (x,), (torch.ones(()),), dt=dt, steps=steps)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda W, P, T, X, C: P.T @ (T @ C.T - P @ W @ X), id="C transposed"),
        pytest.param(lambda W, P, T, X, C: P @ (T @ C - P @ W @ X), id="W_p for its transpose"),
        pytest.param(lambda W, P, T, X, C: T @ C - P @ W @ X, id="predictor left out of the chain rule"),
    ],
)
def test_planted_errors_are_seen(wrong, rng):
    W, W_p, W_a, X, C = problem(rng)
    want = flow(W, W_p, W_a, X=X, C=C, alpha=1.0, beta=1.0, eta=0.0)[0]
    assert (wrong(W, W_p, W_a, X, C) - want).abs().max() > 0.1
