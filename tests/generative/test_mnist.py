"""The shipped weights and their recipes. Tests on MNIST itself need it under WORKED_DATA, and say so."""

import pytest
import torch
from torch.testing import assert_close
from worked import runs, weights
from worked.data import MissingData, mnist
from worked.generative import mnist_classifier, mnist_ddpm
from worked.metrics import accuracy


@pytest.fixture(scope="module")
def test_images():
    try:
        return mnist("test")
    except MissingData as error:
        pytest.skip(f"MNIST is not here: {error}")


def noise(n):
    return torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)


# ---- what is shipped


def test_sizes():
    assert weights.card("mnist-ddpm")["bytes"] <= 6e6
    for name, network in (("mnist-ddpm", mnist_ddpm.load()), ("mnist-classifier", mnist_classifier.load())):
        assert weights.card(name)["parameters"] == sum(p.numel() for p in network.parameters())


def test_the_card_says_what_was_recorded_and_is_within_bounds():
    card, record = weights.card("mnist-ddpm")["metrics"], runs.load("mnist-ddpm")["metrics"]
    for key, value in record["quality"]["0"].items():
        assert card[key] == value
    for measured in record["quality"].values():
        assert mnist_ddpm.shortfall(measured) == []
    assert record["untrained_gap"] > 10 * mnist_ddpm.GAP


def test_floor_and_ceiling_are_computed_again_without_mnist():
    """Noise is the ceiling by definition: gap 1; and floor and ceiling are those of the card."""
    measured, card = mnist_ddpm.quality(noise(1000)), weights.card("mnist-ddpm")["metrics"]
    assert_close(measured["gap"], 1.0)
    for key in ("floor", "ceiling"):
        assert_close(measured[key], card[key], rtol=1e-3, atol=0)  # features in float32, another machine
    assert mnist_ddpm.shortfall(measured)


def test_a_few_samples_are_digits():
    """Five steps are few, yet nearly every sample is named with confidence; noise is not."""
    samples = mnist_ddpm.sample(mnist_ddpm.load(), 16, torch.Generator().manual_seed(0), steps=5)
    assert samples.shape == (16, 1, 28, 28)
    assert samples.abs().max() <= 1
    ink = (samples > 0).float().mean()  # white strokes on black: 12 to 13 % in MNIST
    assert 0.05 < ink < 0.25
    assert (noise(16) > 0).float().mean() > 0.4


def test_report_and_shortfall_say_what_is_wrong():
    measured = dict(weights.card("mnist-ddpm")["metrics"])
    assert "this is not FID" in mnist_ddpm.report(measured, 0)
    measured["shares"] = [0.05, 0.16, *measured["shares"][2:]]
    measured["gap"] = 0.02
    assert mnist_ddpm.shortfall(measured) == [
        "5.0% of the samples are a 0",
        "16.0% of the samples are a 1",
        "the samples are 2.00% of the way to noise",
    ]


# ---- the recipe


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path, rng):
    images = torch.rand(20, 1, 4, 4, generator=rng) * 2 - 1
    plan = {"widths": (8,), "steps": 6, "horizon": 8, "cooldown": 2, "batch": 4, "warmup": 1, "every": 2}
    whole, losses, _ = mnist_ddpm.train_network(images, **plan)
    file = tmp_path / "run.checkpoint"
    real_fit, stops = mnist_ddpm.fit, iter([False, True])

    def stopped(*args, **options):
        if next(stops, False):
            raise KeyboardInterrupt
        return real_fit(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist_ddpm, "fit", stopped)
        with pytest.raises(KeyboardInterrupt):
            mnist_ddpm.train_network(images, **plan, checkpoint=file)
    resumed, again, _ = mnist_ddpm.train_network(images, **plan, checkpoint=file)
    assert again == losses
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_classifier_recipe_learns_what_is_easy(rng):
    """Bright upper half or bright lower half, learnt in a few steps."""
    labels = torch.arange(64) % 2
    images = torch.full((64, 1, 28, 28), -1.0)
    images[labels == 0, :, 4:10] = 1
    images[labels == 1, :, 18:24] = 1
    network = mnist_classifier.train_network(images, labels, epochs=60, batch=32, seed=0)
    assert accuracy(mnist_classifier.in_pieces(network, images), labels) == 1
    assert not network.training


# ---- with MNIST at hand


def test_accuracy_of_the_card(test_images):
    images, labels = test_images
    found = accuracy(mnist_classifier.in_pieces(mnist_classifier.load(), images), labels)
    assert found > 0.99
    # a float32 sum in another order may turn a digit that stands on the edge
    assert_close(found, weights.card("mnist-classifier")["metrics"]["test_accuracy"], rtol=0, atol=2e-4)


def test_the_shipped_statistics_are_those_of_mnist(test_images):
    network, (_, groups) = mnist_classifier.load(), mnist_classifier.reference()
    order = torch.randperm(10_000, generator=torch.Generator().manual_seed(0))
    features = mnist_classifier.in_pieces(network.features, test_images[0][order[:1000]]).double()
    assert_close(features.mean(0), groups[0][0], rtol=1e-4, atol=1e-4)
    assert_close(features.T.cov(), groups[0][1], rtol=1e-3, atol=1e-3)
