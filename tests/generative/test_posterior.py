"""The posterior of one noising step: chapter generative/closed-form."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.generative import posterior as module
from worked.generative.posterior import posterior, posterior_coefficients
from worked.generative.schedule import Schedule, cosine, linear, q_sample

U = 2.0**-53  # one rounding in float64
SOURCE = Path(module.__file__).read_text()


def load(old: str = "", new: str = "") -> SimpleNamespace:
    """The module from its source without the tests' shape checks, with one formula changed if asked."""
    assert old in SOURCE, f"not in posterior.py any more: {old}"
    names = {"__name__": "loaded"}
    exec(SOURCE.replace(old, new) if old else SOURCE, names)
    return SimpleNamespace(**names)


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def bayes_on_a_grid(x0: float, xt: float, t: int, schedule) -> tuple[float, float]:
    """q(x_t | y) q(y | x_0) on a grid of y, normalised by its sum; no formula of the posterior enters."""
    beta, before = schedule.beta[t - 1], schedule.alpha_bar[t - 1]
    centre, sd = before.sqrt() * x0, (1 - before).sqrt()
    y = centre + sd * torch.linspace(-12, 12, 4001, dtype=torch.float64)
    log_weight = -((xt - (1 - beta).sqrt() * y) ** 2) / (2 * beta) - (y - centre) ** 2 / (2 * (1 - before))
    weight = torch.softmax(log_weight, dim=0)
    mean = weight @ y
    return mean.item(), (weight @ (y - mean) ** 2).item()


def check_bayes(m, schedule, times):
    """The grid is exact for Gaussians up to rounding; 1 - alpha_bar_t >= beta_1 loses at most U / beta_1."""
    tolerance = 64 * U / schedule.beta.min().item()
    for t in times:
        a = schedule.alpha_bar[t].item()
        for x0, e in [(1.0, 0.3), (-0.5, 2.0), (0.0, -3.0)]:  # x_t within 3 sd, so that the grid holds it
            xt = a**0.5 * x0 + (1 - a) ** 0.5 * e
            want_mean, want_variance = bayes_on_a_grid(x0, xt, t, schedule)
            mean, variance = m.posterior(
                vector(x0)[:, None], vector(xt)[:, None], torch.tensor([t]), schedule
            )
            assert_close(mean.item(), want_mean, rtol=0, atol=4 * tolerance, msg=f"mean at t = {t}")
            assert_close(variance.item(), want_variance, rtol=tolerance, atol=0, msg=f"variance at t = {t}")


def check_hand_value(m):
    schedule = Schedule(vector(1, 3 / 4, 3 / 8))
    mean, variance = m.posterior(
        vector(3).sqrt()[:, None], vector(2).sqrt()[:, None], torch.tensor([2]), schedule
    )
    assert_close(mean, vector(1.6)[:, None])
    assert_close(variance, vector(0.2)[:, None])


@pytest.mark.parametrize("make", [linear, cosine])
def test_equals_bayes_on_a_grid(make):
    check_bayes(module, make(1000), [2, 3, 10, 100, 500, 900, 999])


levels = st.lists(st.floats(0.01, 0.9), min_size=2, max_size=12)


@given(levels, st.floats(-3, 3), st.floats(-3, 3))
def test_any_schedule_adds_precisions(beta, x0, xt):
    """1 / variance = alpha_t / beta_t + 1 / (1 - alpha_bar_{t-1}), and the mean weighs by precision."""
    schedule = Schedule((1 - vector(0, *beta)).cumprod(0))
    for t in range(2, schedule.T + 1):
        b, before = schedule.beta[t - 1], schedule.alpha_bar[t - 1]
        from_xt, from_x0 = (1 - b) / b, 1 / (1 - before)
        want = (from_xt * xt / (1 - b).sqrt() + from_x0 * before.sqrt() * x0) / (from_xt + from_x0)
        mean, variance = posterior(vector(x0)[:, None], vector(xt)[:, None], torch.tensor([t]), schedule)
        assert_close(variance.squeeze(), 1 / (from_xt + from_x0), rtol=1e-11, atol=0)
        assert_close(mean.squeeze(), want, rtol=1e-11, atol=1e-11)
        assert 0 < variance.item() < b


def test_hand_value():
    check_hand_value(module)


@pytest.mark.parametrize("make", [linear, cosine])
def test_at_t1_the_posterior_is_the_data(make, rng):
    x0, xt = torch.randn(2, 3, 1, 2, 2, generator=rng)
    mean, variance = posterior(x0, xt, torch.ones(3, dtype=torch.long), make(100))
    assert_close(mean, x0, rtol=0, atol=1e-6)
    assert (variance == 0).all()
    assert variance.shape == (3, 1, 1, 1)


def test_last_step_without_terminal_signal():
    """Where alpha_bar_T = 0, x_T says nothing of x_{T-1}: the posterior is q(x_{T-1} | x_0)."""
    schedule = Schedule(vector(1, 0.64, 0))
    mean, variance = posterior(torch.ones(1, 1), torch.full((1, 1), 7.0), torch.tensor([2]), schedule)
    assert_close(mean, torch.full((1, 1), 0.8))
    assert_close(variance, torch.full((1, 1), 0.36))


@pytest.mark.parametrize("make", [linear, cosine])
def test_forward_then_posterior_gives_the_marginal_of_one_step_earlier(make):
    """The mean of means and the law of total variance: what x_t spreads, the posterior completes."""
    schedule = make(1000)
    t = torch.arange(1, 1001)
    of_x0, of_xt, variance = posterior_coefficients(t, schedule)
    a, before = schedule.alpha_bar[t], schedule.alpha_bar[t - 1]
    tolerance = 16 * U / schedule.beta.min().item()
    assert_close(of_x0 + of_xt * a.sqrt(), before.sqrt(), rtol=0, atol=tolerance)
    assert_close(of_xt**2 * (1 - a) + variance, 1 - before, rtol=0, atol=tolerance)


def test_gradient(rng):
    x0, xt = torch.randn(2, 3, 2, generator=rng, dtype=torch.float64).requires_grad_()
    t = torch.tensor([1, 4, 10])
    assert torch.autograd.gradcheck(lambda x, y: posterior(x, y, t, linear(10))[0], (x0, xt))


@pytest.mark.parametrize(("make", "theirs"), [(linear, "linear"), (cosine, "squaredcos_cap_v2")])
def test_diffusers(make, theirs, rng):
    """Their variance, and the mean of their step given the noise; float32, and its t = 0 is our t = 1."""
    pytest.importorskip("diffusers")
    from diffusers import DDPMScheduler

    T = 1000
    scheduler, ours = DDPMScheduler(num_train_timesteps=T, beta_schedule=theirs, clip_sample=False), make(T)
    x0, eps = torch.randn(2, 1, 1, 4, 4, generator=rng)
    for t in [1, 2, 10, 500, 900]:
        at = torch.tensor([t])
        xt = q_sample(x0, at, eps, ours)
        mean, variance = posterior(x0, xt, at, ours)
        # 1 - alpha_bar and beta in float32 are off by 2^-24, relative to 4e-5 (cosine, t = 1)
        assert_close(
            variance.item(), scheduler._get_variance(t - 1).item(), rtol=2e-2 if t < 10 else 1e-3, atol=1e-15
        )
        seed = torch.Generator().manual_seed(t)
        step = scheduler.step(eps, t - 1, xt, generator=seed).prev_sample
        if t > 1:  # theirs adds the noise itself; take the same noise off again
            noise = torch.randn(xt.shape, generator=torch.Generator().manual_seed(t))
            step = step - scheduler._get_variance(t - 1).sqrt() * noise
        assert_close(mean, step, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("t", "why"),
    [
        ([0, 1, 1], "1..10, got 0"),
        ([1, -1, 1], "1..10, got -1"),
        ([1, 1, 11], "1..10, got 11"),
    ],
)
def test_rejects_times(t, why):  # its length and dtype: the same guard, in test_schedule
    with pytest.raises(ValueError, match=why):
        load().posterior(torch.zeros(3, 2), torch.zeros(3, 2), torch.tensor(t), linear(10))


@pytest.mark.parametrize("shape", [(3, 1), (1, 2), (2,), (4, 2)])
def test_rejects_another_shape(shape):
    with pytest.raises(ValueError, match=r"shape of x0, \(3, 2\)"):
        load().posterior(torch.zeros(3, 2), torch.zeros(shape), torch.ones(3, dtype=torch.long), linear(10))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (
            "variance = (1 - before) / (1 - alpha_bar) * beta",
            "variance = (1 - alpha_bar) / (1 - before) * beta",
        ),
        ("variance = (1 - before) / (1 - alpha_bar) * beta", "variance = beta"),
        ("* beta\n", "* schedule.beta[(t - 2).clamp(min=0)]\n"),  # off by one step
        (
            "variance = (1 - before) / (1 - alpha_bar)",
            "variance = (1 - schedule.alpha_bar[t - 2]) / (1 - before)",
        ),
        ("before.sqrt() * beta", "alpha_bar.sqrt() * beta"),
        ("(1 - beta).sqrt() * (1 - before)", "(1 - beta) * (1 - before)"),
    ],
)
def test_planted_error(right, wrong):
    broken = load(right, wrong)
    with pytest.raises(AssertionError):
        check_bayes(broken, linear(1000), [3, 500])
    with pytest.raises(AssertionError):
        check_hand_value(broken)
