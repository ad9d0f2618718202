import math

import pytest
import torch
from torch.testing import assert_close
from worked.attention import questions
from worked.attention.questions import answer_loss, cifar_questions, predicted, scene_questions


def test_the_loss_is_the_sum_over_questions(rng):
    logits, answers = torch.randn(4, 5, generator=rng), torch.tensor([[0, 1], [2, 0], [1, 1], [0, 0]])
    want = 0.0
    for row, (a, b) in zip(logits.tolist(), answers.tolist(), strict=True):
        for part, answer in ((row[:3], a), (row[3:], b)):
            want -= math.log(math.exp(part[answer]) / sum(math.exp(x) for x in part)) / 4
    assert_close(answer_loss(logits, answers, [3, 2]).item(), want, rtol=1e-5, atol=0)


def test_equal_logits_cost_the_logarithms():
    loss = answer_loss(torch.zeros(2, 10), torch.tensor([[5, 3], [0, 0]]), [6, 4])
    assert_close(loss.item(), math.log(6) + math.log(4))


def test_each_question_has_its_own_largest_logit():
    logits = torch.tensor([[0.0, 9.0, 1.0, 5.0, 2.0]])
    assert predicted(logits, [3, 2]).tolist() == [[1, 0]]


def test_scenes_and_their_answers(rng):
    asked = scene_questions(200, rng=rng)
    assert asked.images.shape == (200, 3, 24, 24)
    assert asked.sizes == [6, 4]
    rows, columns = asked.masks.nonzero()[:, 1], asked.masks.nonzero()[:, 2]
    which = asked.masks.nonzero()[:, 0]
    for k in range(200):  # the mask lies mostly in the quarter that the answer names
        down, right = rows[which == k].float().mean() > 11.5, columns[which == k].float().mean() > 11.5
        assert asked.answers[k, 1] == 2 * int(down) + int(right)


def test_cifar_is_drawn_without_replacement(monkeypatch, rng):
    images = torch.arange(6.0)[:, None, None, None].expand(6, 3, 32, 32)
    monkeypatch.setattr(questions, "cifar10", lambda split: (images, torch.arange(6)))
    got = cifar_questions(6, rng=rng)
    assert sorted(got.answers[:, 0].tolist()) == list(range(6))
    assert torch.equal(got.images[:, 0, 0, 0].long(), got.answers[:, 0])
    with pytest.raises(ValueError, match="need 1"):
        cifar_questions(7, rng=rng)


def test_rejection():
    with pytest.raises(ValueError, match=r"want 3 \+ 2"):
        predicted(torch.zeros(1, 4), [3, 2])
