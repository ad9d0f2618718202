import math
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close
from worked.generative.diffusion import (
    ancestral_sample,
    ddim_sample,
    sampling_times,
    simple_loss,
)
from worked.generative.posterior import posterior
from worked.generative.schedule import Schedule, cosine, linear

F64 = torch.float64


def exact(schedule, mean=0.0, variance=1.0):
    """The best network for x_0 ~ N(mean, variance): E[eps | x_t], linear in x_t."""

    def network(x, t):
        a = schedule.alpha_bar[t].reshape(-1, *[1] * (x.ndim - 1)).to(x)
        return (1 - a).sqrt() * (x - a.sqrt() * mean) / (a * variance + 1 - a)

    return network


def bent(x, t):
    """No particular network: not linear, and it looks at t."""
    return torch.tanh(x * (1 + t.reshape(-1, 1).to(x) / 50)) * 0.7 + 0.1


# ---- the loss


def slow_loss(network, x0, t, eps, schedule):
    """Eq. (14) of the paper, number by number."""
    total = 0.0
    for i in range(len(x0)):
        a = schedule.alpha_bar[t[i]].item()
        xt = torch.tensor(
            [math.sqrt(a) * x + math.sqrt(1 - a) * e for x, e in zip(x0[i], eps[i], strict=True)]
        )
        predicted = network(xt[None], t[i : i + 1])[0]
        total += sum((e.item() - p.item()) ** 2 for e, p in zip(eps[i], predicted, strict=True))
    return total / x0.numel()


def test_loss_equals_the_paper_formula(rng):
    x0, eps = torch.randn(2, 5, 3, generator=rng, dtype=F64)
    t = torch.tensor([1, 7, 20, 33, 40])
    torch.set_default_dtype(F64)
    try:
        want = slow_loss(bent, x0, t, eps, linear(40))
    finally:
        torch.set_default_dtype(torch.float32)
    assert_close(simple_loss(bent, x0, t, eps, linear(40)).item(), want, rtol=1e-12, atol=0)


def test_loss_of_silence_is_the_power_of_the_noise(rng):
    x0, eps = torch.randn(2, 6, 1, 4, 4, generator=rng)
    t = torch.randint(1, 11, (6,), generator=rng)
    assert_close(simple_loss(lambda x, t: torch.zeros_like(x), x0, t, eps, linear(10)), eps.square().mean())


def test_the_exact_network_has_the_smallest_loss(rng):
    """E[eps | x_t] beats every rescaling of itself, by 4 standard errors of the paired difference."""
    n, schedule = 4000, linear(20, 0.01, 0.3)
    x0, eps = (
        0.5 + 0.3 * torch.randn(n, 1, generator=rng, dtype=F64),
        torch.randn(n, 1, generator=rng, dtype=F64),
    )
    t, best = torch.randint(1, 21, (n,), generator=rng), exact(schedule, 0.5, 0.09)

    def losses(factor):
        a = schedule.alpha_bar[t][:, None]
        return (eps - factor * best(a.sqrt() * x0 + (1 - a).sqrt() * eps, t)).square()

    for factor in (0.8, 1.2):
        difference = losses(factor) - losses(1.0)
        assert difference.mean() > 4 * difference.std() / math.sqrt(n)
        assert_close(
            simple_loss(lambda x, t, f=factor: f * best(x, t), x0, t, eps, schedule), losses(factor).mean()
        )


def test_loss_gradient_reaches_the_network(rng):
    w = torch.tensor([0.3, -0.2], dtype=F64, requires_grad=True)
    x0, eps = torch.randn(2, 3, 2, generator=rng, dtype=F64)
    t = torch.tensor([1, 5, 9])
    assert torch.autograd.gradcheck(lambda w: simple_loss(lambda x, t: w * x, x0, t, eps, linear(9)), w)


@pytest.mark.parametrize("t", [[0, 1], [1, 11], [-1, 3]])
def test_loss_rejects_times(t):
    with pytest.raises(ValueError, match="must lie in"):
        simple_loss(bent, torch.zeros(2, 3), torch.tensor(t), torch.zeros(2, 3), linear(10))


def test_loss_rejects_a_network_that_changes_the_shape():
    with pytest.raises(ValueError, match="keep the shape"):
        simple_loss(
            lambda x, t: x[:, :1], torch.zeros(2, 3), torch.tensor([1, 2]), torch.zeros(2, 3), linear(10)
        )


def test_a_step_is_a_draw_from_the_posterior_of_the_predicted_x0(rng):
    """Algorithm 2, line 4, against eq. (7) at the predicted x_0; the same noise drawn again."""
    schedule = linear(7, 0.05, 0.4)
    x = torch.randn(4, 3, generator=rng, dtype=F64)
    x0, path = ancestral_sample(
        bent, x, schedule, torch.Generator().manual_seed(3), keep=range(schedule.T + 1)
    )
    again = torch.Generator().manual_seed(3)
    for t in range(7, 0, -1):
        times = torch.full((4,), t)
        alpha_bar = schedule.alpha_bar[t]
        guess = (path[t] - (1 - alpha_bar).sqrt() * bent(path[t], times)) / alpha_bar.sqrt()
        mean, variance = posterior(guess, path[t], times, schedule)
        z = torch.randn(4, 3, generator=again, dtype=F64) if t > 1 else torch.zeros(4, 3, dtype=F64)
        assert_close(path[t - 1], mean + variance.sqrt() * z, rtol=1e-10, atol=1e-12)
    assert_close(path[0], x0)
    assert_close(path[7], x)


def test_data_in_one_point_come_out_exactly(rng):
    """No variance: q(x_{t-1} | x_t) is the posterior itself, and the last step subtracts all the noise."""
    schedule = linear(50)
    x = torch.randn(100, 2, generator=rng, dtype=F64)
    out, _ = ancestral_sample(exact(schedule, 0.7, 0.0), x, schedule, rng)
    assert_close(out, torch.full_like(out, 0.7), rtol=0, atol=1e-10)


@pytest.mark.parametrize("which", ["beta", "posterior"])
def test_gaussian_data_moments(which, rng):
    """A linear network makes mean and variance recursions; with unit data and sigma^2 = beta: N(0, 1)."""
    n, schedule = 40_000, linear(30, 0.01, 0.2)
    network = exact(schedule, 0.5, 1.0)
    sigma = schedule.beta.sqrt() if which == "beta" else None
    x = torch.randn(n, 1, generator=rng, dtype=F64)
    out, _ = ancestral_sample(network, x, schedule, rng, sigma=sigma)
    mean, variance = torch.zeros(1, 1, dtype=F64), 1.0
    for t in range(30, 0, -1):
        time, beta = torch.tensor([t]), schedule.beta[t - 1]

        def step(x, t=t, time=time, beta=beta):
            return (x - beta / (1 - schedule.alpha_bar[t]).sqrt() * network(x, time)) / (1 - beta).sqrt()

        slope = (step(torch.ones(1, 1, dtype=F64)) - step(torch.zeros(1, 1, dtype=F64))).item()
        a, before = schedule.alpha_bar[t], schedule.alpha_bar[t - 1]
        noise = 0 if t == 1 else beta if which == "beta" else (1 - before) / (1 - a) * beta
        mean, variance = step(mean), slope**2 * variance + float(noise)
    if which == "beta":  # each step undoes the chain; the last adds no noise, so beta_1 is missing
        assert_close(variance, 1 - schedule.beta[0].item(), rtol=1e-12, atol=0)
    assert abs(out.mean() - mean.item()) < 4.5 * math.sqrt(variance / n)
    assert abs(out.var() - variance) < 4.5 * variance * math.sqrt(2 / n)


def test_ancestral_rejects():
    x, rng = torch.zeros(1, 2), torch.Generator()
    with pytest.raises(ValueError, match="sigma"):
        ancestral_sample(bent, x, linear(5), rng, sigma=torch.zeros(4, dtype=F64))
    with pytest.raises(ValueError, match="alpha_bar_T > 0"):
        ancestral_sample(bent, x, Schedule(torch.tensor([1.0, 0.5, 0.0], dtype=F64)), rng)


# ---- DDIM


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_ddim_turns_gaussian_data_by_cosines(steps, rng):
    schedule, times = cosine(10), sampling_times(10, steps)
    x = torch.randn(5, 2, generator=rng, dtype=F64)
    out, _ = ddim_sample(exact(schedule), x, schedule, times)
    angle = schedule.alpha_bar.sqrt().acos()
    want = math.prod(math.cos(angle[t] - angle[s]) for t, s in pairwise(times))
    assert_close(out, want * x, rtol=1e-9, atol=0)


def test_ddim_is_deterministic_and_keeps_what_was_asked(rng):
    x, schedule = torch.randn(3, 4, generator=rng), linear(20)
    times = sampling_times(20, 5)
    first, path = ddim_sample(bent, x, schedule, times, keep=(20, times[2], 0))
    second, _ = ddim_sample(bent, x.clone(), schedule, times)
    assert torch.equal(first, second)
    assert list(path) == [20, times[2], 0]
    assert torch.equal(path[20], x)
    assert torch.equal(path[0], first)


def test_ddim_clips_to_the_range(rng):
    x, schedule = 5 * torch.randn(8, 4, generator=rng), linear(20)
    out, _ = ddim_sample(lambda x, t: 0 * x, x, schedule, sampling_times(20, 5), clip=1.0)
    assert out.abs().max() == 1
    free, _ = ddim_sample(bent, x / 100, schedule, sampling_times(20, 5))
    wide, _ = ddim_sample(bent, x / 100, schedule, sampling_times(20, 5), clip=1e6)
    assert_close(free, wide, rtol=1e-4, atol=1e-4)  # the noise is found again by a division in float32


def test_sampling_times():
    assert sampling_times(10, 4) == [10, 8, 5, 2, 0]
    assert sampling_times(6, 6) == list(range(6, -1, -1))
    for steps in (0, 11):
        with pytest.raises(ValueError, match="steps"):
            sampling_times(10, steps)


@pytest.mark.parametrize("times", [[5], [], [6, 0], [5, -1], [5, 3, 3, 0], [0, 5]])
def test_ddim_rejects_times(times):
    with pytest.raises(ValueError, match="times"):
        ddim_sample(bent, torch.zeros(1, 2), linear(5), times)


def test_samplers_build_no_graph(rng):
    w = torch.ones(1, requires_grad=True)
    x = torch.randn(1, 2, generator=rng)
    assert not ancestral_sample(lambda x, t: w * x, x, linear(3), rng)[0].requires_grad
    assert not ddim_sample(lambda x, t: w * x, x, linear(3), [3, 1, 0])[0].requires_grad


# ---- the library: diffusers counts its times from 0, so its t is ours minus 1


def their(kind, schedule, **config):
    """A scheduler of diffusers on our noise levels, in float64 (it keeps float32 tables)."""
    diffusers = pytest.importorskip("diffusers")
    scheduler = getattr(diffusers, kind)(
        num_train_timesteps=schedule.T, timestep_spacing="trailing", **config
    )
    scheduler.betas, scheduler.alphas = schedule.beta, 1 - schedule.beta
    scheduler.alphas_cumprod = schedule.alpha_bar[1:]
    for name in ("one", "final_alpha_cumprod"):
        if hasattr(scheduler, name):
            setattr(scheduler, name, torch.ones((), dtype=F64))
    return scheduler


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("make", [linear, cosine])
def test_ancestral_equals_diffusers_step_for_step(make, variance, rng):
    schedule = make(25)
    scheduler = their("DDPMScheduler", schedule, variance_type=variance, clip_sample=False)
    scheduler.set_timesteps(25)
    sigma = schedule.beta.sqrt() if variance == "fixed_large" else None
    x = torch.randn(3, 4, generator=rng, dtype=F64)
    _, path = ancestral_sample(
        bent, x, schedule, torch.Generator().manual_seed(5), sigma=sigma, keep=range(26)
    )
    theirs, generator = x, torch.Generator().manual_seed(5)
    for t in scheduler.timesteps:
        theirs = scheduler.step(bent(theirs, t + 1), t, theirs, generator=generator).prev_sample
        assert_close(path[int(t)], theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("steps", [5, 20])
def test_ddim_equals_diffusers_step_for_step(steps, clip, rng):
    schedule = linear(20, 0.01, 0.2)
    config = {"clip_sample": clip is not None, "clip_sample_range": clip or 1.0}
    scheduler = their("DDIMScheduler", schedule, **config)
    scheduler.set_timesteps(steps)
    times = sampling_times(20, steps)
    assert [int(t) + 1 for t in scheduler.timesteps] == times[:-1]
    x = 2 * torch.randn(3, 4, generator=rng, dtype=F64)
    _, path = ddim_sample(bent, x, schedule, times, clip=clip, keep=times)
    theirs = x
    for t, s in zip(scheduler.timesteps, times[1:], strict=True):
        theirs = scheduler.step(bent(theirs, t + 1), t, theirs, use_clipped_model_output=True).prev_sample
        assert_close(path[s], theirs, rtol=1e-10, atol=1e-10)


# ---- planted errors: each must move the samples by far more than the tolerances above


def wrong_ancestral(network, x, schedule, generator, keep_root=True, shift=0):
    for t in range(schedule.T, 0, -1):
        beta, a = schedule.beta[t - 1], schedule.alpha_bar[t]
        eps = network(x, torch.full((len(x),), t))
        x = (x - beta / ((1 - a).sqrt() if keep_root else 1 - a) * eps) / (1 - beta).sqrt()
        if t > 1:
            s = t - shift
            variance = (1 - schedule.alpha_bar[s - 1]) / (1 - schedule.alpha_bar[s]) * schedule.beta[s - 1]
            x = x + variance.sqrt() * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return x


@pytest.mark.parametrize("wrong", [{"keep_root": False}, {"shift": 1}])
def test_planted_errors_are_seen(wrong, rng):
    schedule, x = linear(25, 0.01, 0.2), torch.randn(3, 4, generator=rng, dtype=F64)
    ours, _ = ancestral_sample(bent, x, schedule, torch.Generator().manual_seed(5))
    right = wrong_ancestral(bent, x, schedule, torch.Generator().manual_seed(5))
    assert_close(ours, right, rtol=1e-10, atol=1e-10)
    planted = wrong_ancestral(bent, x, schedule, torch.Generator().manual_seed(5), **wrong)
    assert (ours - planted).abs().max() > 1e-2
