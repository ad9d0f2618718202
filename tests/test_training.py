import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from worked.training import Ema, copy_buffers, fit, follow, warmup_cosine


def problem(rate=0.1):
    w = nn.Parameter(torch.tensor(1.0))
    return w, torch.optim.SGD([w], lr=rate)


def test_gradient_descent_on_a_parabola():
    w, optimizer = problem()
    history = fit(lambda scale: scale * w.square(), [1.0], optimizer, steps=5)
    assert_close(w.item(), 0.8**5)
    assert_close(torch.tensor(history.loss), torch.tensor([0.8 ** (2 * k) for k in range(5)]))
    assert history.seconds > 0
    assert not history.interrupted


def test_batches_are_taken_in_turn_and_again():
    w, optimizer = problem(0.0)
    history = fit(lambda b: b * w, [1.0, 2.0, 3.0], optimizer, steps=7)
    assert history.loss == [1, 2, 3, 1, 2, 3, 1]


def test_schedule_multiplies_each_rate_and_is_undone():
    a, b = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(0.0))
    optimizer = torch.optim.SGD([{"params": [a], "lr": 1.0}, {"params": [b], "lr": 10.0}])
    fit(lambda _: -a - b, [None], optimizer, steps=3, schedule=lambda step: [1.0, 0.5, 0.25][step])
    assert (a.item(), b.item()) == (1.75, 17.5)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 10.0]


def test_interruption_keeps_the_history():
    w, optimizer = problem()

    def loss(k):
        if k == 3:
            raise KeyboardInterrupt
        return w.square()

    history = fit(loss, range(10), optimizer, steps=10)
    assert history.interrupted
    assert len(history.loss) == 3
    assert_close(w.item(), 0.8**3)


@pytest.mark.parametrize("batches", [[], iter([1.0, 2.0])])
def test_rejects_batches_that_run_out(batches):
    w, optimizer = problem()
    with pytest.raises(ValueError, match="no batches"):
        fit(lambda b: b * w, batches, optimizer, steps=5)


def test_rejects_steps_and_a_loss_that_is_not_finite():
    w, optimizer = problem()
    with pytest.raises(ValueError, match="steps"):
        fit(lambda _: w, [None], optimizer, steps=0)
    with pytest.raises(FloatingPointError, match="step 1 of 3"):
        fit(lambda b: w / b, [1.0, 0.0], optimizer, steps=3)


def test_progress_names_the_run_and_the_loss(capsys):
    w, optimizer = problem()
    fit(lambda _: w.square(), [None], optimizer, steps=2, label="parabola")
    assert "parabola" in capsys.readouterr().err


def test_ema_follows_its_recursion():
    model = nn.Linear(1, 1, bias=False)
    ema, want = Ema(model, 0.5), model.weight.item()
    for n in range(20):
        with torch.no_grad():
            model.weight.fill_(n**2)
        d = min(0.5, (1 + n) / (10 + n))
        want = d * want + (1 - d) * n**2
        ema.update()
        assert_close(ema.value().weight.item(), want, rtol=1e-5, atol=1e-6)


def test_ema_leaves_the_model_alone_and_copies_buffers():
    model = nn.BatchNorm1d(2)
    ema = Ema(model, 0.9)
    model(torch.tensor([[0.0, 1.0], [2.0, 5.0]]))
    ema.update()
    assert torch.equal(ema.value().running_mean, model.running_mean)
    assert model.training
    assert not ema.value().training
    assert model.weight.requires_grad
    assert not ema.value().weight.requires_grad


def test_ema_resumes():
    model = nn.Linear(2, 2)
    first, second = Ema(model, 0.9), Ema(nn.Linear(2, 2), 0.9)
    first.update()
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.value().weight, second.value().weight)
    assert second.updates == 1


@pytest.mark.parametrize("decay", [-0.1, 1.0, math.nan])
def test_ema_rejects(decay):
    with pytest.raises(ValueError, match="decay"):
        Ema(nn.Linear(1, 1), decay)


def test_warmup_cosine_known_values():
    factor = warmup_cosine(100)
    assert [round(factor(step), 12) for step in (0, 50, 100, 200)] == [1, 0.5, 0, 0]
    warm = warmup_cosine(110, 10)
    assert [round(warm(step), 12) for step in (0, 4, 9, 10, 60)] == [
        round(1 / 11, 12),
        round(5 / 11, 12),
        round(10 / 11, 12),
        1,
        0.5,
    ]
    values = [warm(step) for step in range(110)]
    assert values[10:] == sorted(values[10:], reverse=True)
    for steps, warmup in ((0, 0), (5, 5), (5, -1)):
        with pytest.raises(ValueError, match="warmup"):
            warmup_cosine(steps, warmup)


def test_warmup_cosine_equals_torch():
    """The half cosine is CosineAnnealingLR's."""
    w, optimizer = problem(1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    factor = warmup_cosine(20)
    for step in range(20):
        assert_close(factor(step), theirs.get_last_lr()[0], rtol=1e-9, atol=1e-12)
        w.grad = torch.zeros(())
        optimizer.step()
        theirs.step()


def test_follow_moves_parameters_and_leaves_buffers():
    torch.manual_seed(0)
    slow, fast = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    nn.init.ones_(slow.bias)
    fast.running_mean.fill_(7)
    follow(slow, fast, 0.9)
    assert_close(slow.bias, torch.full((2,), 0.9))
    follow(slow, fast, 0.9)
    assert_close(slow.bias, torch.full((2,), 0.81))
    follow(slow, fast, 1.0)
    assert_close(slow.bias, torch.full((2,), 0.81))
    assert_close(slow.running_mean, torch.zeros(2))
    copy_buffers(slow, fast)
    assert_close(slow.running_mean, torch.full((2,), 7.0))
    follow(slow, fast, 0.0)
    assert_close(slow.bias, fast.bias, rtol=0, atol=0)
    with pytest.raises(ValueError, match="m <= 1"):
        follow(slow, fast, 1.1)
    with pytest.raises(ValueError, match="zip"):
        follow(slow, nn.Identity(), 0.5)
