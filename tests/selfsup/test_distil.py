import pytest
import torch
from torch.testing import assert_close
from worked.selfsup.byol import byol_loss
from worked.selfsup.dino import dino_loss
from worked.selfsup.distil import Choices, Distillation, distil
from worked.selfsup.sinkhorn import sinkhorn


@pytest.fixture
def views(rng):
    return torch.rand(4, 6, 3, 16, 16, generator=rng)


def outputs(run, views):
    v, n = views.shape[:2]
    taught = run.teacher(views[:2].flatten(0, 1))[0].unflatten(0, (2, n))
    return taught, run.predictor(run.student(views.flatten(0, 1))[0]).unflatten(0, (v, n))


def test_the_default_is_dino(views):
    run = Distillation(Choices(), seed=0)
    taught, said = outputs(run, views)
    run.center.update(torch.ones(1, 32))
    want = dino_loss(said, taught, torch.ones(32), tau_s=0.1, tau_t=0.02)
    assert_close(run.loss(views), want)
    assert_close(run.center.value(), taught.flatten(0, 1).mean(0))  # and the centre moved on


@pytest.mark.parametrize(("balance", "sign"), [("add", -1), ("none", 0)])
def test_other_signs_of_the_centre(views, balance, sign):
    run = Distillation(Choices(balance=balance), seed=0)
    taught, said = outputs(run, views)
    c = torch.linspace(0, 1, 32)
    run.center.update(c[None])
    assert_close(run.loss(views), dino_loss(said, taught, sign * c, tau_s=0.1, tau_t=0.02))


def test_sinkhorn_balances_both_global_views_together(views):
    run = Distillation(Choices(balance="sinkhorn", tau_t=0.05), seed=0)
    taught, said = outputs(run, views)
    p = sinkhorn(taught.flatten(0, 1), 0.05).unflatten(0, (2, 6))
    log_q = (said / 0.1).log_softmax(-1)
    pairs = [-(p[u] * log_q[v]).sum(-1).mean() for u in range(2) for v in range(4) if u != v]
    assert_close(run.loss(views), torch.stack(pairs).mean())


def test_the_cosine_loss_is_byols(views):
    run = Distillation(Choices(loss="cosine", predictor=True), seed=0)
    taught, said = outputs(run, views)
    pairs = [byol_loss(said[v], taught[u]) for u in range(2) for v in range(4) if u != v]
    assert_close(run.loss(views), torch.stack(pairs).mean())


def test_a_step_moves_student_and_teacher(views):
    run = Distillation(Choices(m=0.75, rate=0.01), seed=0)
    before = run.student.head.prototypes.detach().clone()
    run.step(views)
    moved = run.student.head.prototypes.detach() - before
    assert moved.abs().max() > 0
    assert_close(run.teacher.head.prototypes - before, 0.25 * moved, rtol=1e-3, atol=1e-6)
    assert all(p.grad is None for p in run.teacher.parameters())


def test_distil_is_repeatable_and_watched(rng):
    images, seen = torch.rand(20, 3, 16, 16, generator=rng), []
    runs = [
        distil(
            images, Choices(), seed=1, steps=4, batch=8, every=2, watch=lambda step, run: seen.append(step)
        )
        for _ in range(2)
    ]
    assert seen == [0, 2, 4] * 2
    assert_close(runs[0].features(images), runs[1].features(images), rtol=0, atol=0)
    assert runs[0].student_features(images).shape == (20, 32)
    high, low = runs[0].entropies(images)
    assert 0 <= low <= high


def test_rejection():
    with pytest.raises(ValueError, match="loss is"):
        Distillation(Choices(loss="mse"), seed=0)
    with pytest.raises(ValueError, match="balance is"):
        Distillation(Choices(balance="center"), seed=0)
