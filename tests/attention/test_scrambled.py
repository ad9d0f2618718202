import pytest
import torch
from torch import nn
from worked.attention.face_networks import WindowNet
from worked.attention.scrambled import LESSONS, centred, exam, lesson, taught
from worked.data.faces import KINDS


class Says(nn.Module):
    """A network that says the same of every picture."""

    def __init__(self, score):
        super().__init__()
        self.score = nn.Parameter(torch.tensor(score))

    def forward(self, x):
        return self.score.expand(len(x)), {}


def test_centred_by_hand():
    assert (centred(torch.full((2, 3, 12, 12), 0.4)) == 0).all()
    x = torch.zeros(1, 3, 2, 2)
    x[..., 0, 0] = 0.48
    torch.testing.assert_close(centred(x)[0, 0], torch.tensor([[3.0, -1.0], [-1.0, -1.0]]))


@pytest.mark.parametrize("name", LESSONS)
def test_half_of_a_lesson_are_faces(name, rng):
    x, y = lesson(name, 12, rng=rng)
    assert x.shape == (12, 3, 36, 36)
    assert y.tolist() == [1.0] * 6 + [0.0] * 6


def test_an_exam_shows_the_same_people():
    a = exam(6, rng=torch.Generator().manual_seed(3))
    assert tuple(a) == KINDS
    skin = {kind: x[:, :, 0, 0] for kind, x in a.items()}  # a corner is bare
    assert (skin["face"] - skin["moved"]).abs().max() < 0.5
    assert not torch.equal(a["face"], a["moved"])


def test_teaching_lowers_the_loss_and_leaves_frozen_weights(rng):
    x, y = lesson("replaced", 96, rng=rng)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = WindowNet()
    network.first.requires_grad_(False)
    before = network.first.weight.clone(), network.second.weight.clone()
    losses = taught(network, x, y, rng=rng, steps=30)
    assert len(losses) == 30
    assert sum(losses[-5:]) < sum(losses[:5])
    assert torch.equal(network.first.weight, before[0])
    assert not torch.equal(network.second.weight, before[1])


def test_a_seed_teaches_the_same_again(rng):
    x, y = lesson("all", 96, rng=rng)
    runs = [taught(Says(0.3), x, y, rng=torch.Generator().manual_seed(1), steps=25) for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(("name", "n"), [("none", 12), ("all", 0), ("all", 10)])
def test_rejects(name, n, rng):
    with pytest.raises(ValueError, match="got"):
        lesson(name, n, rng=rng)
