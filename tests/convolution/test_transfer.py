import pytest
import torch
from torch import nn
from torch.testing import assert_close
from worked.convolution import digits_eight
from worked.convolution.transfer import (
    Choices,
    SmallNet,
    both_way,
    cross_entropy_way,
    embed,
    frozen_way,
    naming_way,
    nearest_centroid,
    triplet_way,
)

QUICK = Choices(epochs=2, steps=3, triplets=4, margin=3.0)  # active until far apart
WAYS = {cross_entropy_way: 1, triplet_way: 2, naming_way: 2, both_way: 1, frozen_way: 1}


def blobs(rng, n=12):
    """Two classes that differ in colour, so that a few steps learn them."""
    labels = torch.arange(n) % 2
    colour = torch.where(labels[:, None] == 0, torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.9]))
    return (colour[:, :, None, None] + 0.05 * torch.rand(n, 3, 16, 16, generator=rng)), labels


def network(seed=0):
    torch.manual_seed(seed)
    return SmallNet()


@pytest.mark.parametrize(("way", "phases"), WAYS.items())
def test_every_way_keeps_its_diary_and_leaves_the_start_alone(way, phases, rng):
    body, train, test = network(), blobs(rng), blobs(rng, 20)
    before = {name: value.clone() for name, value in body.state_dict().items()}
    result = way(body, train, test, QUICK, 0)
    assert len(result.phases) == phases
    for phase in result.phases:
        assert len(phase.loss) == len(phase.train) == len(phase.test) == QUICK.epochs
    assert result.accuracy == result.phases[-1].test[-1]
    for name, value in body.state_dict().items():
        assert torch.equal(value, before[name])
    moved = any(not torch.equal(v, before[k]) for k, v in result.body.state_dict().items())
    assert moved == (way is not frozen_way)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_learns_what_is_easy(way, rng):
    result = way(network(), blobs(rng, 16), blobs(rng, 40), Choices(epochs=4, triplets=5), 0)
    assert result.accuracy == 1


@pytest.mark.parametrize("way", WAYS)
def test_one_seed_one_result(way, rng):
    train, test = blobs(rng), blobs(rng, 20)
    first, again = (way(network(), train, test, QUICK, 3) for _ in range(2))
    assert [p.loss for p in first.phases] == [p.loss for p in again.phases]
    other = way(network(), train, test, QUICK, 4)
    assert [p.loss for p in first.phases] != [p.loss for p in other.phases]


def test_without_weight_both_is_cross_entropy_on_other_triplets(rng):
    train, test = blobs(rng), blobs(rng, 20)
    r = Choices(epochs=1, steps=2, triplets=4, weight=0.0)
    a, b = (way(network(), train, test, r, 0) for way in (both_way, cross_entropy_way))
    assert a.phases[0].loss == b.phases[0].loss


def test_the_classifier_starts_at_even_odds(rng):
    """Its first step has loss log 2: the weights are zero."""
    r = Choices(epochs=1, steps=1, triplets=4)
    loss = frozen_way(network(), blobs(rng), blobs(rng), r, 0).phases[0].loss[0]
    assert loss == pytest.approx(0.6931472, abs=1e-6)


def test_embeddings_have_unit_length_and_do_not_depend_on_the_batch(rng):
    body, (images, _) = network(), blobs(rng)
    z = embed(body, images)
    assert_close(z.norm(dim=1), torch.ones(len(z)))
    assert_close(embed(body, images, size=5), z)
    assert_close(embed(body, images[3:4]), z[3:4])


def test_nearest_centroid_by_hand():
    z, labels = torch.tensor([[-1.0], [1.0], [2.0]]), torch.tensor([0, 0, 1])
    assert nearest_centroid(z, labels, torch.tensor([[0.9], [1.1]]), torch.tensor([0, 1])) == 1
    assert nearest_centroid(z, labels, torch.tensor([[0.9], [1.1]]), torch.tensor([1, 1])) == 0.5


def test_parameters_as_the_docstring_says():
    assert 14_000 < sum(p.numel() for p in SmallNet().parameters()) < 16_000
    assert not any(isinstance(m, nn.Dropout | nn.BatchNorm2d) for m in SmallNet().modules())


def test_pictures_are_of_their_classes(rng):
    images, labels = digits_eight.pictures(3, (3, 8), rng=rng)
    assert images.shape == (6, 3, digits_eight.SIZE, digits_eight.SIZE)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(ValueError, match="different digits"):
        digits_eight.pictures(3, (3, 3), rng=rng)
    with pytest.raises(ValueError, match="n=0"):
        digits_eight.pictures(0, (3, 8), rng=rng)


def test_the_shipped_networks_know_eight_digits_and_not_the_other_two():
    rng = torch.Generator().manual_seed(1)
    eight = digits_eight.EIGHT
    train = digits_eight.pictures(50, eight, rng=rng)
    test = digits_eight.pictures(50, eight, rng=rng, split="test")
    for loss in digits_eight.LOSSES:
        body = digits_eight.load(loss, 0)
        score = nearest_centroid(embed(body, train[0]), train[1], embed(body, test[0]), test[1])
        assert score > 0.5, (loss, score)  # chance is 1/8


@pytest.mark.parametrize(("loss", "seed"), [("hinge", 0), ("both", 7)])
def test_rejects_networks_that_do_not_ship(loss, seed):
    with pytest.raises(ValueError, match="no network"):
        digits_eight.load(loss, seed)


def test_the_recipe_runs(rng):
    networks, _ = digits_eight.train_one(0, steps=2, more=2)
    assert tuple(networks) == digits_eight.LOSSES
    z = [embed(body, torch.rand(2, 3, 24, 24, generator=rng)) for body in networks.values()]
    assert z[0].shape == (2, 32)
    assert not torch.equal(z[0], z[1])
    assert not torch.equal(z[0], z[2])
