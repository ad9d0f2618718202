import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.selfsup.dino import (
    Center,
    DinoHead,
    dino_loss,
    entropies,
    momentum_schedule,
    teacher_probabilities,
)

F64 = torch.float64
CLOSE = {"rtol": 1e-11, "atol": 1e-12}  # float64 sums of a few hundred terms, logits up to 100


def slow_loss(student, teacher, center, tau_s, tau_t):
    """Algorithm 1 of the paper, pair by pair, picture by picture, output by output."""
    total, count = 0.0, 0
    for u, g in enumerate(teacher):
        for v, s in enumerate(student):
            if u == v:
                continue
            for i in range(len(s)):
                target = [
                    math.exp((x - c) / tau_t) for x, c in zip(g[i].tolist(), center.tolist(), strict=True)
                ]
                said = [math.exp(x / tau_s) for x in s[i].tolist()]
                for p, q in zip(target, said, strict=True):
                    total -= p / sum(target) * math.log(q / sum(said))
                count += 1
    return total / count


def draw(rng, teachers, views, n, k):
    student = torch.randn(views, n, k, generator=rng, dtype=F64)
    return (
        student,
        torch.randn(teachers, n, k, generator=rng, dtype=F64),
        torch.randn(k, generator=rng, dtype=F64),
    )


@pytest.mark.parametrize(
    ("teachers", "views", "n", "k"), [(2, 2, 3, 4), (2, 6, 2, 5), (1, 3, 4, 2), (3, 3, 1, 3)]
)
def test_equals_the_paper(teachers, views, n, k, rng):
    student, teacher, center = draw(rng, teachers, views, n, k)
    want = slow_loss(student, teacher, center, 0.3, 0.2)
    assert_close(dino_loss(student, teacher, center, tau_s=0.3, tau_t=0.2).item(), want, **CLOSE)


def test_hand_values():
    zeros = torch.zeros(2, 3, 8)
    assert dino_loss(zeros, torch.randn(2, 3, 8), torch.zeros(8)).item() == pytest.approx(math.log(8))
    one_hot = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]], dtype=F64)
    got = dino_loss(one_hot, one_hot, torch.zeros(2, dtype=F64), tau_s=1.0, tau_t=0.01).item()
    assert got == pytest.approx(math.log(1 + math.exp(-1)))  # the target is one-hot to e^-100


def test_the_center_is_subtracted(rng):
    """The planted error: with + the output that is always large would be taught more, not less."""
    center = torch.tensor([5.0, 0.0, 0.0])
    assert_close(teacher_probabilities(center.expand(2, 3), center, 0.1), torch.full((2, 3), 1 / 3))
    g = torch.tensor([[5.0, 0.2, 0.0]])
    assert teacher_probabilities(g, center, 0.1).argmax().item() == 1


def test_a_constant_for_all_outputs_changes_nothing(rng):
    student, teacher, center = draw(rng, 2, 4, 3, 5)
    one = dino_loss(student, teacher, center)
    assert_close(dino_loss(student + 3, teacher - 2, center + 1), one, rtol=1e-10, atol=1e-10)
    order = torch.randperm(3, generator=rng)
    assert_close(dino_loss(student[:, order], teacher[:, order], center), one, **CLOSE)


def test_gradient_and_no_gradient_to_the_teacher(rng):
    student, teacher, center = draw(rng, 2, 3, 2, 4)
    student.requires_grad_(), teacher.requires_grad_()
    torch.autograd.gradcheck(lambda s: dino_loss(s, teacher, center, tau_s=0.5, tau_t=0.4), student)
    dino_loss(student, teacher, center).backward()
    assert teacher.grad is None


@given(
    teachers=st.integers(1, 3),
    more=st.integers(0, 4),
    n=st.integers(1, 6),
    k=st.integers(2, 9),
    seed=st.integers(0, 99),
)
def test_equals_lightly(teachers, more, n, k, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightly.loss import DINOLoss
    views = max(2, teachers + more)
    student, teacher, center = draw(torch.Generator().manual_seed(seed), teachers, views, n, k)
    theirs = DINOLoss(k, teacher_temp=0.0625, student_temp=0.25, center_momentum=0.8).double()
    # (temperatures that are exact in float32, in which lightly keeps the teacher's)
    theirs.center.copy_(center.expand(1, 1, k))
    want = theirs(list(teacher), list(student))
    assert_close(dino_loss(student, teacher, center, tau_s=0.25, tau_t=0.0625), want, **CLOSE)
    ours = Center(k, 0.8)
    ours.load_state_dict({"mean": center})
    ours.update(teacher)  # theirs moved on in its forward
    assert_close(ours.value(), theirs.center.flatten(), **CLOSE)


def test_center_moves_to_the_mean(rng):
    center, g = Center(3, 0.9), torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    center.update(g)
    assert_close(center.value(), torch.full((3,), 0.2))
    for _ in range(300):
        center.update(g)
    assert_close(center.value(), torch.full((3,), 2.0))
    again = Center(3)
    again.load_state_dict(center.state_dict())
    assert_close(again.value(), center.value())


def test_entropies():
    assert entropies(torch.eye(4)) == pytest.approx((math.log(4), 0))
    assert entropies(torch.full((5, 4), 0.25)) == pytest.approx((math.log(4), math.log(4)))
    assert entropies(torch.eye(4)[:1].expand(3, 4)) == pytest.approx((0, 0))


def test_momentum_schedule():
    m = momentum_schedule(0.9, 10)
    assert [m(0), m(5), m(10), m(11)] == pytest.approx([0.9, 0.95, 1, 1])


def test_head_gives_cosines(rng):
    torch.manual_seed(0)
    head = DinoHead(4, 8, 3, 5)
    out = head(torch.randn(6, 4, generator=rng))
    assert out.shape == (6, 5)
    assert out.abs().max() <= 1 + 1e-6
    with torch.no_grad():
        head.prototypes.mul_(7)
    torch.manual_seed(0)
    assert_close(
        head(torch.ones(1, 4)), DinoHead(4, 8, 3, 5)(torch.ones(1, 4))
    )  # length of prototypes: no matter


def test_rejection():
    x, c = torch.zeros(2, 1, 3), torch.zeros(3)
    with pytest.raises(ValueError, match="tau=0"):
        dino_loss(x, x, c, tau_t=0.0)
    with pytest.raises(ValueError, match="tau_s"):
        dino_loss(x, x, c, tau_s=-1.0)
    with pytest.raises(ValueError, match="views >= 2"):
        dino_loss(x[:1], x[:1], c)
    with pytest.raises(ValueError, match="momentum"):
        Center(3, 1.0)
    with pytest.raises(ValueError, match="k >= 2"):
        DinoHead(3, 3, 3, 1)
    with pytest.raises(ValueError, match="steps"):
        momentum_schedule(0.9, 0)
