import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from robustness.models import TOLERANCE, ModeSensitive, library, network, state
from torch import nn
from torch.testing import assert_close
from worked.robustness.attack import cross_entropy, fgsm, input_gradient, margin_loss, pgd
from worked.robustness.ball import NORMS, length, random_start

F64 = torch.float64
budgets = {
    "norm": st.sampled_from(NORMS),
    "epsilon": st.floats(0.01, 1.5),
    "stride": st.floats(0.05, 3),
    "steps": st.integers(1, 5),
    "randomly": st.booleans(),
    "seed": st.integers(0, 2**31),
}


def problem(seed, n=3, c=2, side=6, dtype=F64):
    rng = torch.Generator().manual_seed(seed)
    x = (1.4 * torch.rand(n, c, side, side, generator=rng, dtype=dtype) - 0.2).clamp(0, 1)
    return network(rng, c, side, dtype), x, torch.randint(4, (n,), generator=rng), rng


def slow_pgd(model, x, y, epsilon, step, steps, norm, start):
    """One picture at a time, the last iterate, from the paper's formula."""
    answers = []
    for i in range(len(x)):
        z = x[i] if start is None else x[i] + start[i]
        if start is not None:
            z = z.clamp(0, 1)
        for _ in range(steps):
            z = z.clone().requires_grad_()
            value = -torch.log_softmax(model(z[None])[0], 0)[y[i]]
            (g,) = torch.autograd.grad(value, z)
            with torch.no_grad():
                delta = z + step * (g.sign() if norm == "linf" else g / max(g.norm(), 1e-300)) - x[i]
                delta = (
                    delta.clamp(-epsilon, epsilon)
                    if norm == "linf"
                    else delta * min(1, epsilon / delta.norm())
                )
                z = (x[i] + delta).clamp(0, 1)
        answers.append(z.detach())
    return torch.stack(answers)


@settings(max_examples=30)
@given(**budgets)
def test_equals_the_formula_picture_by_picture(norm, epsilon, stride, steps, randomly, seed):
    model, x, y, rng = problem(seed)
    start = random_start(x, epsilon, norm, rng) if randomly else None
    step = stride * epsilon
    got = pgd(model, x, y, epsilon=epsilon, step=step, steps=steps, norm=norm, start=start, keep="last")
    assert_close(got, slow_pgd(model, x, y, epsilon, step, steps, norm, start), rtol=0, atol=1e-9)


@settings(max_examples=30)
@given(**budgets)
def test_never_outside_and_never_below_the_start(norm, epsilon, stride, steps, randomly, seed):
    model, x, y, rng = problem(seed)
    start = random_start(x, epsilon, norm, rng) if randomly else None
    for keep in ("best", "last"):
        z = pgd(
            model,
            x,
            y,
            epsilon=epsilon,
            step=stride * epsilon,
            steps=steps,
            norm=norm,
            start=start,
            keep=keep,
        )
        assert 0 <= z.min() <= z.max() <= 1
        assert (length(z - x, norm) <= epsilon + 1e-12).all()
        if keep == "best":
            assert (cross_entropy(model(z), y) >= cross_entropy(model(x), y)).all()


def test_fgsm_by_hand():
    """Two pixels, logits (0, 2 p - 3 q), label 0: the first pixel must rise, the second fall."""
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, 0.0], [2.0, -3.0]]))
    x, y = torch.tensor([[0.5, 0.5], [0.95, 0.0]]), torch.tensor([0, 0])
    assert_close(fgsm(model, x, y, epsilon=0.1), torch.tensor([[0.6, 0.4], [1.0, 0.0]]))
    want = x[:1] + 0.13 * torch.tensor([[2.0, -3.0]]) / 13**0.5
    assert_close(fgsm(model, x[:1], y[:1], epsilon=0.13, norm="l2"), want)


def test_input_gradient_of_a_linear_model_is_its_weight_whatever_the_batch():
    w = torch.randn(5, generator=torch.Generator().manual_seed(1), dtype=F64)
    model = nn.Linear(5, 2, dtype=F64)
    with torch.no_grad():
        model.weight.copy_(torch.stack([w, torch.zeros(5)]))
    for n in (1, 4):
        x, y = torch.rand(n, 5, dtype=F64, generator=torch.Generator().manual_seed(2)), torch.zeros(n).long()
        values, gradient = input_gradient(model, x, y, loss=lambda logits, _: logits[:, 0])
        assert_close(gradient, w.expand(n, 5))
        assert_close(values, model(x)[:, 0].detach())


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), norm=st.sampled_from(NORMS))
def test_a_picture_is_attacked_alike_in_any_batch(seed, norm):
    model, x, y, rng = problem(seed, n=4)
    order, start = torch.randperm(4, generator=rng), random_start(x, 0.3, norm, rng)

    def run(i):
        return pgd(model, x[i], y[i], epsilon=0.3, step=0.1, steps=3, norm=norm, start=start[i])

    assert_close(run(order), run(torch.arange(4))[order], rtol=0, atol=1e-9)


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("attack", ["fgsm", "best", "last"])
def test_model_is_left_as_found_also_when_it_raises(attack, training, fail, rng):
    model = ModeSensitive(rng, fail_after=2 if fail else None)
    model.train(training)
    model.norm.train(not training)  # a part in another mode than the whole
    model.weight.requires_grad_(False)
    x, y = torch.rand(3, 4, generator=rng), torch.tensor([0, 1, 2])
    model.scale.grad = torch.full_like(model.scale, 7.0)
    x.requires_grad_()
    before = state(model)
    run = {
        "fgsm": lambda: fgsm(model, x, y, epsilon=0.1, keep="best"),
        "best": lambda: pgd(model, x, y, epsilon=0.1, step=0.05, steps=3),
        "last": lambda: pgd(model, x, y, epsilon=0.1, step=0.05, steps=3, keep="last"),
    }[attack]
    if fail and attack != "fgsm":
        with pytest.raises(RuntimeError, match="no more"):
            run()
    elif not fail:
        assert not run().requires_grad
    assert state(model) == before
    assert x.grad is None
    assert x.requires_grad


def test_best_keeps_the_highest_of_each_picture_and_last_may_end_lower(rng):
    """A loss with a narrow peak, -|p - 0.5|, which steps of 0.3 from 0.25 jump over."""

    class Peak(nn.Module):
        def forward(self, z):
            return torch.stack([(z[:, 0] - 0.5).abs(), torch.zeros(len(z))], 1)

    x, y = torch.tensor([[0.25], [0.4]]), torch.tensor([0, 0])
    good = {"epsilon": 0.35, "step": 0.3, "steps": 1}
    assert_close(pgd(Peak(), x, y, **good, keep="last"), torch.tensor([[0.55], [0.7]]))
    assert_close(pgd(Peak(), x, y, **good, keep="best"), torch.tensor([[0.55], [0.4]]))


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 4),
    c=st.integers(1, 3),
    side=st.integers(5, 9),
    epsilon=st.floats(0.01, 0.5),
    steps=st.integers(1, 6),
    stride=st.floats(0.1, 1.5),
)
def test_agrees_with_torchattacks_under_the_same_seed(seed, n, c, side, epsilon, steps, stride):
    model, x, y, _ = problem(seed, n, c, side)
    alpha, norms = stride * epsilon, {"PGD": "linf", "PGDL2": "l2"}
    assert_close(
        fgsm(model, x, y, epsilon=epsilon), library("FGSM", model, x, y, seed, eps=epsilon), **TOLERANCE
    )
    for name, norm in norms.items():
        for randomly in (False, True):
            ours = torch.Generator().manual_seed(seed)
            start = random_start(x, epsilon, norm, ours) if randomly else None
            got = pgd(
                model, x, y, epsilon=epsilon, step=alpha, steps=steps, norm=norm, start=start, keep="last"
            )
            theirs = library(
                name, model, x, y, seed, eps=epsilon, alpha=alpha, steps=steps, random_start=randomly
            )
            assert_close(got, theirs, **TOLERANCE)


def test_margin_is_positive_just_where_the_answer_is_wrong(rng):
    logits, y = torch.randn(50, 4, generator=rng), torch.randint(4, (50,), generator=rng)
    assert ((margin_loss(logits, y) > 0) == (logits.argmax(1) != y)).all()
    assert margin_loss(torch.tensor([[1.0, 3, 0]]), torch.tensor([0])).item() == 2
    assert_close(cross_entropy(torch.zeros(1, 8), torch.tensor([3])), torch.tensor([8.0]).log())


def test_layouts_agree(rng):
    model, x, y, _ = problem(3, n=4, c=3, side=8)
    runs = [
        pgd(model, x, y, epsilon=0.2, step=0.05, steps=4, layout=layout)
        for layout in (torch.contiguous_format, torch.channels_last)
    ]
    assert_close(*runs, rtol=0, atol=1e-9)


def test_rejects(rng):
    model, x, y, _ = problem(0)
    good = {"epsilon": 0.1, "step": 0.1, "steps": 1}
    for change, message in [
        ({"norm": "l1"}, "one of linf, l2; got 'l1'"),
        ({"epsilon": -1.0}, "epsilon >= 0, got -1"),
        ({"step": 0.0}, "step > 0"),
        ({"steps": 0}, "steps >= 1"),
        ({"keep": "all"}, "got 0.1, 1, 'all'"),
    ]:
        with pytest.raises(ValueError, match=message):
            pgd(model, x, y, **{**good, **change})
    with pytest.raises(ValueError, match=r"pixels in \[0, 1\], got"):
        fgsm(model, x + 1, y, epsilon=0.1)
    assert_close(fgsm(model, x, y, epsilon=0.0), x)
