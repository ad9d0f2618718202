"""The noise schedules and the jump to time t: chapter generative/closed-form."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.generative import schedule as module
from worked.generative.schedule import Schedule, cosine, linear, q_sample

U = 2.0**-53  # one rounding in float64
SOURCE = Path(module.__file__).read_text()


def load(old: str = "", new: str = "") -> SimpleNamespace:
    """The module from its source without the tests' shape checks, with one formula changed if asked."""
    assert old in SOURCE, f"not in schedule.py any more: {old}"
    names = {"__name__": "loaded"}
    exec(SOURCE.replace(old, new) if old else SOURCE, names)
    return SimpleNamespace(**names)


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def coefficients(m, schedule):
    """What q_sample multiplies x_0 and eps by, at t = 0..T."""
    t = torch.arange(schedule.T + 1)
    zero, one = torch.zeros(len(t), 1, dtype=torch.float64), torch.ones(len(t), 1, dtype=torch.float64)
    return m.q_sample(one, t, zero, schedule)[:, 0], m.q_sample(zero, t, one, schedule)[:, 0]


def check_jump_is_chain(m, schedule):
    """Mean and variance after t steps, one step after another, against the jump; slow on purpose.

    1 - beta_t is off by at most U and no later factor exceeds 1, so t steps are off by t U; the square of a
    rounded root of a rounded difference adds at most 4 U.
    """
    signal, noise = coefficients(m, schedule)
    share, variance = 1.0, 0.0  # squared mean coefficient, variance
    for t, beta in enumerate(schedule.beta.tolist(), start=1):
        share, variance = (1 - beta) * share, (1 - beta) * variance + beta
        assert abs(signal[t] ** 2 - share) <= (4 * t + 4) * U, f"mean at t = {t}"
        assert abs(noise[t] ** 2 - variance) <= (4 * t + 4) * U, f"variance at t = {t}"


def slow_q_sample(x0, t, eps, beta):
    """Eq. (4) of the paper, number by number."""
    out = torch.empty_like(x0)
    for i in range(len(x0)):
        alpha_bar = math.prod(1 - b for b in beta[: int(t[i])])
        for j in range(x0[i].numel()):
            x, e = x0[i].flatten()[j].item(), eps[i].flatten()[j].item()
            out[i].view(-1)[j] = math.sqrt(alpha_bar) * x + math.sqrt(1 - alpha_bar) * e
    return out


def check_hand_values(m):
    assert_close(m.Schedule(vector(1, 0.75, 0.25)).beta, vector(1 / 4, 2 / 3), rtol=4 * U, atol=0)
    assert_close(m.linear(2, 0.25, 0.5).alpha_bar, vector(1, 3 / 4, 3 / 8), rtol=4 * U, atol=0)
    assert_close(
        m.cosine(2, s=0.0).alpha_bar, vector(1, 1 / 2, 1 / 2000), rtol=1000 * U, atol=0
    )  # beta: 1 - 1e-3
    assert_close(m.Schedule(vector(1, 0.75, 0.2)).snr, vector(math.inf, 3, 1 / 4), rtol=4 * U, atol=0)
    x = m.q_sample(torch.ones(1, 1), torch.tensor([1]), torch.ones(1, 1), m.Schedule(vector(1, 0.64)))
    assert_close(x, torch.full((1, 1), 1.4))


# reference


@pytest.mark.parametrize("make", [linear, cosine])
@pytest.mark.parametrize("T", [1, 7, 1000])
def test_jump_is_chain(make, T):
    check_jump_is_chain(module, make(T))


def test_equals_the_paper_formula(rng):
    x0, eps = torch.randn(2, 5, 1, 2, 3, generator=rng, dtype=torch.float64)
    t, beta = torch.tensor([0, 1, 4, 9, 10]), torch.linspace(1e-4, 0.02, 10, dtype=torch.float64).tolist()
    assert_close(q_sample(x0, t, eps, linear(10)), slow_q_sample(x0, t, eps, beta), rtol=1e-13, atol=1e-15)


def test_cosine_is_a_squared_cosine_until_beta_meets_its_cap():
    a = cosine(1000).alpha_bar
    f = [math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(1001)]
    assert_close(a[:-1], vector(*(x / f[0] for x in f[:-1])), rtol=1e-9, atol=0)
    assert_close(cosine(1000).beta[-1].item(), 0.999, rtol=1e-12, atol=0)


betas = st.lists(st.floats(1e-5, 1.0), min_size=1, max_size=40)


@given(betas)
def test_any_schedule_jumps_like_its_chain_and_loses_signal(beta):
    alpha_bar = (1 - vector(0, *beta)).cumprod(0)
    if (alpha_bar[1:] >= alpha_bar[:-1]).any():  # a step after the last of the signal is gone
        with pytest.raises(ValueError, match="strictly decrease"):
            Schedule(alpha_bar)
        return
    schedule = Schedule(alpha_bar)
    check_jump_is_chain(module, schedule)
    assert len(schedule.beta) == schedule.T
    assert (schedule.snr.diff() < 0).all()
    assert_close(schedule.beta, vector(*beta), rtol=0, atol=4 * U)


# hand values and invariances


def test_hand_values():
    check_hand_values(module)


def test_t0_is_the_data(rng):
    x0, eps = torch.randn(2, 3, 1, 4, 4, generator=rng)
    assert (q_sample(x0, torch.zeros(3, dtype=torch.long), eps, linear(10)) == x0).all()


def test_no_signal_left_where_alpha_bar_ends_at_zero(rng):
    x0, eps = torch.randn(2, 3, 4, generator=rng)
    schedule = Schedule(vector(1, 0.5, 0))
    assert schedule.beta[-1] == 1
    assert schedule.snr[-1] == 0
    assert (q_sample(x0, torch.full((3,), 2), eps, schedule) == eps).all()


@pytest.mark.parametrize("make", [linear, cosine])
def test_signal_and_noise_shares_sum_to_one(make):
    signal, noise = coefficients(module, make(1000))
    assert_close(signal**2 + noise**2, torch.ones(1001, dtype=torch.float64), rtol=0, atol=6 * U)


def test_samples_of_a_batch_do_not_meet(rng):
    x0, eps = torch.randn(2, 6, 2, 3, generator=rng)
    t, order = torch.tensor([1, 5, 10, 0, 3, 5]), torch.randperm(6, generator=rng)
    assert (
        q_sample(x0, t, eps, linear(10))[order] == q_sample(x0[order], t[order], eps[order], linear(10))
    ).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_keeps_the_dtype_and_rounds_the_coefficients_once(dtype, rng):
    x0, eps = torch.randn(2, 50, 8, generator=rng, dtype=torch.float64).to(dtype)
    t = torch.randint(0, 1001, (50,), generator=rng)
    xt, exact = q_sample(x0, t, eps, linear(1000)), q_sample(x0.double(), t, eps.double(), linear(1000))
    assert xt.dtype == dtype  # two products and a sum: four roundings, each relative to at most |x| + |e|
    assert (
        (xt.double() - exact).abs() <= 2 * torch.finfo(dtype).eps * (x0.double().abs() + eps.double().abs())
    ).all()


def test_small_integer_times_are_times_and_not_a_mask():
    x0, eps = torch.ones(2, 3), torch.zeros(2, 3)
    t = torch.tensor([0, 1], dtype=torch.uint8)
    assert_close(load().q_sample(x0, t, eps, linear(10)), q_sample(x0, t.long(), eps, linear(10)))


def test_empty_batch():
    none = torch.empty(0, 1, 4, 4)
    assert q_sample(none, torch.empty(0, dtype=torch.long), none, linear(10)).shape == none.shape


# gradient


def test_gradient(rng):
    x0, eps = torch.randn(2, 3, 2, generator=rng, dtype=torch.float64).requires_grad_()
    t = torch.tensor([0, 4, 10])
    assert torch.autograd.gradcheck(lambda x, e: q_sample(x, t, e, linear(10)), (x0, eps))


# library


@pytest.fixture(scope="module")
def ddpm_scheduler():
    pytest.importorskip("diffusers")
    from diffusers import DDPMScheduler

    return DDPMScheduler


@pytest.mark.parametrize(("make", "theirs"), [(linear, "linear"), (cosine, "squaredcos_cap_v2")])
@pytest.mark.parametrize("T", [50, 1000])
def test_diffusers(make, theirs, T, ddpm_scheduler, rng):
    """Theirs is float32 and starts at our t = 1. Their 1 - beta is rounded at 2^-24, T times over."""
    scheduler, ours = ddpm_scheduler(num_train_timesteps=T, beta_schedule=theirs), make(T)
    assert_close(scheduler.betas.double(), ours.beta, rtol=1e-6, atol=2**-24)
    assert_close(scheduler.alphas_cumprod.double(), ours.alpha_bar[1:], rtol=0, atol=(T + 4) * 2**-24)
    x0, eps = torch.randn(2, 20, 1, 4, 4, generator=rng)
    t = torch.randint(1, T + 1, (20,), generator=rng)
    assert_close(q_sample(x0, t, eps, ours), scheduler.add_noise(x0, eps, t - 1), rtol=0, atol=1e-4)


def test_diffusers_without_terminal_signal(ddpm_scheduler):
    theirs = ddpm_scheduler(beta_schedule="linear", rescale_betas_zero_snr=True).alphas_cumprod.double()
    assert theirs[-1] == 0
    schedule = Schedule(torch.cat([theirs.new_ones(1), theirs]))
    assert schedule.snr[-1] == 0


# rejection: the issue is the message, so the module is loaded without the shape checks of the tests


@pytest.mark.parametrize(
    ("alpha_bar", "why"),
    [
        (vector(0.9, 0.5), "start at 1"),
        (vector(math.nan, 0.5), "start at 1"),
        (vector(1, 0.9, 0.9), r"alpha_bar\[2\] = 0.9"),
        (vector(1, 0.5, 0.6), r"alpha_bar\[2\] = 0.6"),
        (vector(1, 0.5, -0.1), r"alpha_bar\[2\] = -0.1"),
        (vector(1, 0.5, 0, 0), r"alpha_bar\[3\] = 0.0"),
        (vector(1, math.nan, 0.5), r"alpha_bar\[1\] = nan"),
        (vector(1), "T \\+ 1 >= 2"),
        (vector(), "T \\+ 1 >= 2"),
        (vector(1, 0.5)[None], "vector"),
        (torch.tensor([1, 0.5]), "float64"),
    ],
)
def test_rejects_alpha_bar(alpha_bar, why):
    with pytest.raises(ValueError, match=why):
        load().Schedule(alpha_bar)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("linear", (0,)),
        ("linear", (10, 0.0, 0.02)),  # non-positive noise level
        ("linear", (10, -1e-4, 0.02)),
        ("linear", (10, 0.02, 1e-4)),  # decreasing noise levels
        ("linear", (10, 1e-4, 1.1)),
        ("linear", (10, math.nan, 0.02)),
        ("linear", (10, 1e-4, math.nan)),
        ("cosine", (0,)),
        ("cosine", (10, -0.1)),
        ("cosine", (10, math.nan)),
        ("cosine", (10, math.inf)),
        ("cosine", (10, 0.008, 0.0)),
        ("cosine", (10, 0.008, 1.5)),
        ("cosine", (10, 0.008, math.nan)),
    ],
)
def test_rejects_levels(name, arguments):
    with pytest.raises(ValueError, match="got"):
        getattr(load(), name)(*arguments)


def test_rejects_so_many_steps_that_the_signal_runs_out():
    with pytest.raises(ValueError, match="strictly decrease"):
        linear(200_000)


@pytest.mark.parametrize(
    ("t", "why"),
    [
        ([-1, 0, 0], "0..10, got -1"),
        ([0, 11, 0], "0..10, got 11"),
        ([0, 0], "length 3"),
        ([0.0, 1.0, 2.0], "integer"),
        ([math.nan, 1.0, 2.0], "integer"),
        ([True, False, True], "integer"),
        ([[0], [1], [2]], "vector"),
    ],
)
def test_rejects_times(t, why):
    with pytest.raises(ValueError, match=why):
        load().q_sample(torch.zeros(3, 2), torch.tensor(t), torch.zeros(3, 2), linear(10))


@pytest.mark.parametrize(
    "shape", [(3, 1), (1, 2), (2,), (3, 2, 1), (4, 2)]
)  # most would broadcast in silence
def test_rejects_noise_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"shape of x0, \(3, 2\)"):
        load().q_sample(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long), torch.zeros(shape), linear(10))


def test_rejects_integer_pictures():
    x = torch.zeros(3, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match="floating"):
        load().q_sample(x, torch.zeros(3, dtype=torch.long), x, linear(10))


def test_shape_mismatch_is_caught_by_the_annotation():
    with pytest.raises(Exception, match="q_sample"):
        q_sample(torch.ones(3, 2), torch.zeros(3, dtype=torch.long), torch.ones(4, 2), linear(10))


# planted errors: each of these formulas turns a check red


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("(1 - a).sqrt()", "1 - a.sqrt()"),
        ("(1 - a).sqrt()", "(1 - a)"),
        ("fit_to(a.sqrt(), x0)", "fit_to(a, x0)"),
        ("a = schedule.alpha_bar[times]", "a = 1 - schedule.beta[(times - 1).clamp(min=0)]"),  # alpha, no bar
        ("a = schedule.alpha_bar[times]", "a = schedule.alpha_bar[(times - 1).clamp(min=0)]"),
    ],
)
def test_planted_error_in_the_jump(right, wrong):
    with pytest.raises(AssertionError, match=r"mean at t|variance at t"):
        check_jump_is_chain(load(right, f"({wrong})" if wrong[0] in "1(" else wrong), linear(1000))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("1 - self.alpha_bar[1:] / self.alpha_bar[:-1]", "1 - self.alpha_bar[1:]"),
        ("(1 - beta).cumprod(0)", "(1 - beta)"),
        ("math.pi / 2) ** 2", "math.pi / 2)"),
        ("self.alpha_bar / (1 - self.alpha_bar)", "(self.alpha_bar / (1 - self.alpha_bar)).sqrt()"),
    ],
)
def test_planted_error_in_the_schedule(right, wrong):
    broken = load(right, wrong)
    with pytest.raises((AssertionError, ValueError)):  # the guard of Schedule may see it first
        check_hand_values(broken)
