import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from worked.convolution.mining import KINDS, TripletDataset, mine


def slow(z, labels, a, p, kind):
    """Positive (for "hard") and negative of anchor a, by looking at all rows."""
    d = [math.dist(z[a].tolist(), row) for row in z.tolist()]
    mates = [i for i in range(len(z)) if labels[i] == labels[a] and i != a]
    others = [i for i in range(len(z)) if labels[i] != labels[a]]
    if kind == "hard":
        return max(mates, key=lambda i: d[i]), min(others, key=lambda i: d[i])
    beyond = [i for i in others if d[i] > d[p]]
    return p, min(beyond, key=lambda i: d[i]) if beyond else max(others, key=lambda i: d[i])


@given(n=st.integers(3, 12), classes=st.integers(2, 4), seed=st.integers(0, 999))
def test_equals_the_rule(n, classes, seed):
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 3, generator=rng, dtype=torch.float64)
    labels = torch.cat([torch.tensor([0, 0, 1]), torch.randint(classes, (n - 3,), generator=rng)])
    counts = labels.bincount(minlength=classes)
    for kind in KINDS:
        index = mine(z, labels, kind, rng=rng)
        assert index[0].tolist() == [i for i in range(n) if counts[labels[i]] > 1]
        for a, p, q in index.T.tolist():
            assert a != p
            assert labels[a] == labels[p] != labels[q]
            if kind != "random":
                assert (p, q) == slow(z, labels, a, p, kind)


def test_hand_value(rng):
    z = torch.tensor([[0.0], [1.0], [3.0]])
    assert mine(z, torch.tensor([0, 0, 1]), "hard", rng=rng).T.tolist() == [[0, 1, 2], [1, 0, 2]]
    z = torch.tensor([[0.0], [4.0], [3.0], [5.0], [9.0]])
    semi = mine(z, torch.tensor([0, 0, 1, 1, 2]), "semi-hard", rng=rng).T.tolist()
    assert semi[0] == [0, 1, 3]  # 3 is nearer than the positive at 4: the next is 5
    assert semi[1] == [1, 0, 4]  # positive at distance 4, only 9 is farther


def test_random_draws_every_mate_and_every_other(rng):
    labels = torch.tensor([0, 0, 0, 1, 2])
    z = torch.zeros(5, 2)
    seen = {tuple(mine(z, labels, "random", rng=rng)[:, 0].tolist()) for _ in range(100)}
    assert seen == {(0, p, q) for p in (1, 2) for q in (3, 4)}


@pytest.mark.parametrize("kind", KINDS)
def test_mining_takes_no_gradient_and_leaves_embeddings(kind, rng):
    z = torch.randn(6, 2, generator=rng, requires_grad=True)
    before = z.detach().clone()
    assert not mine(z, torch.tensor([0, 0, 1, 1, 2, 2]), kind, rng=rng).requires_grad
    assert torch.equal(z, before)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0]])
def test_rejects_what_has_no_triplet(labels, rng):
    with pytest.raises(ValueError, match="no triplet"):
        mine(torch.randn(len(labels), 2, generator=rng), torch.tensor(labels), "random", rng=rng)


def test_rejects_another_kind(rng):
    with pytest.raises(ValueError, match="'easy'"):
        mine(torch.ones(3, 2), torch.tensor([0, 0, 1]), "easy", rng=rng)


def pictures(n=6):
    return torch.arange(n).float().view(n, 1, 1, 1).expand(n, 3, 2, 2), torch.arange(n) // (n // 2)


def test_the_data_set_gives_pictures_in_their_roles(rng):
    images, labels = pictures()
    data = TripletDataset(images, labels, rng=rng)
    assert len(data) == 6
    for i in range(6):
        triplet, names = data[i]
        a, p, q = triplet[:, 0, 0, 0].long().tolist()
        assert a == i != p
        assert names.tolist() == [labels[a], labels[p], labels[q]] == [labels[i], labels[i], 1 - labels[i]]


def test_batches_stack_anchors_then_positives_then_negatives(rng):
    data = TripletDataset(*pictures(), rng=rng)
    batches = data.batches(4, 5)
    assert len(batches) == 5
    for images, labels in batches:
        assert images.shape == (12, 3, 2, 2)
        a, p, q = images[:, 0, 0, 0].long().chunk(3)
        assert (a != p).all()
        assert torch.equal(labels, torch.cat([a, p, q]) // 3)
        assert torch.equal(a // 3, p // 3)
        assert (a // 3 != q // 3).all()
    anchors = torch.cat([images[:4, 0, 0, 0] for images, _ in batches]).long()
    assert (anchors[:6].sort().values == torch.arange(6)).all()  # one round before the next begins


def test_choose_mines_anew(rng):
    data = TripletDataset(*pictures(), rng=rng)
    z = torch.tensor([[0.0], [1.0], [5.0], [6.0], [9.0], [20.0]])
    data.choose(z, "hard")
    assert data.index.T.tolist() == mine(z, data.labels, "hard", rng=rng).T.tolist()


def test_the_data_set_rejects_labels_of_another_number(rng, unhooked):
    images, labels = pictures()
    with pytest.raises(ValueError, match="label for each picture, got 6 and 5"):
        TripletDataset(images, labels[:5], rng=rng)
