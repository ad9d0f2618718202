import copy
import math

import pytest
import torch
from torch.testing import assert_close
from worked.attention.classifier import Classifier, examine, small_body, train
from worked.attention.questions import Pictures, scene_questions


def tiny(rng, n=32):
    images = torch.rand(n, 3, 8, 8, generator=rng)
    answers = torch.stack([(images[:, 0].mean((1, 2)) > 0.5).long(), torch.zeros(n, dtype=torch.long)], 1)
    return Pictures(images, answers, {"red": ("no", "yes"), "always": ("this", "that")})


def test_logits_by_hand(rng):
    net = Classifier(small_body(0, size=8, width=8), 4).eval()
    net.head.weight.data.normal_(generator=rng)
    x = torch.rand(2, 3, 8, 8, generator=rng)
    features, seen = net.body(2 * x - 1)
    assert_close(net(x)[0], features @ net.head.weight.T + net.head.bias)
    net.readout = "mean"
    assert_close(net(x)[0], seen["tokens"][:, 1:].mean(1) @ net.head.weight.T + net.head.bias)


def test_pictures_are_resized_unless_they_fit(rng):
    net = Classifier(small_body(0, size=8, width=8), 2, size=8).eval()
    x = torch.rand(1, 3, 8, 8, generator=rng)
    assert net(torch.rand(1, 3, 5, 6, generator=rng))[1]["tokens"].shape == (1, 5, 8)
    assert_close(net(x)[0], Classifier(net.body, 2)(x)[0], rtol=0, atol=0)


def test_the_seed_decides_and_nothing_else():
    torch.manual_seed(1)
    a, after = small_body(3).state_dict(), torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))  # the global generator is left as it was
    torch.manual_seed(2)
    b, c = small_body(3).state_dict(), small_body(4).state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["positions"], c["positions"])
    assert 0.9 < a["positions"].std() < 1.1


def test_training_lowers_the_loss_and_leaves_frozen_positions(rng):
    pictures = tiny(rng)
    net = Classifier(small_body(0, size=8, width=8, positions=False), 4)
    history = train(net, pictures, seed=0, steps=60, batch=16, rate=1e-2)
    assert history.loss[0] == pytest.approx(2 * math.log(2), rel=1e-6)
    assert sum(history.loss[-10:]) < 0.75 * sum(history.loss[:10])
    assert not net.training
    assert torch.equal(net.body.positions, torch.zeros_like(net.body.positions))


def test_training_is_repeatable(rng):
    pictures, first = tiny(rng), Classifier(small_body(0, size=8, width=8), 4)
    second = copy.deepcopy(first)
    runs = [train(net, pictures, seed=5, steps=5, batch=4).loss for net in (first, second)]
    assert runs[0] == runs[1]
    other = train(Classifier(small_body(0, size=8, width=8), 4), pictures, seed=6, steps=5, batch=4).loss
    assert runs[0] != other


def test_examine(rng):
    pictures, net = tiny(rng), Classifier(small_body(0, size=8, width=8), 4).eval()
    logits, right = examine(net, pictures, part=10)
    assert_close(logits, torch.zeros(32, 4))
    assert_close(right[0].item(), (pictures.answers[:, 0] == 0).float().mean().item())
    assert right[1] == 1


def test_before_loss_is_applied(rng):
    net = Classifier(small_body(0, size=8, width=8), 4)
    loss = train(net, tiny(rng), seed=0, steps=1, batch=4, before_loss=lambda z: z + torch.arange(4.0)).loss[
        0
    ]
    assert loss > 2 * math.log(2) - 1
    assert loss != pytest.approx(2 * math.log(2))


def test_rejection():
    with pytest.raises(ValueError, match="readout"):
        Classifier(small_body(0), 2, readout="max")
    assert scene_questions(1, rng=torch.Generator().manual_seed(0)).sizes == [6, 4]
