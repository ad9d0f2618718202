from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from worked.selfsup.augment import Augment
from worked.selfsup.byol_trial import Recipe, Standardised, embed, networks, normalise_once, scores, train

RECIPE = Recipe(augment=Augment(size=16), images_seen=8 * 4, batch=8, width=4, features=8, hidden=8)


@pytest.fixture
def images(rng):
    return torch.rand(32, 3, 16, 16, generator=rng)


def weights(*networks):
    return torch.cat([p.detach().flatten() for network in networks for p in network.parameters()])


def test_standardised_weights():
    half = 2**-0.5
    assert_close(Standardised()(torch.tensor([[1.0, 3.0]])), torch.tensor([[-half, half]]))


def test_standardised_weights_have_mean_zero_and_length_one(rng):
    w = Standardised()(torch.randn(5, 3, 2, 2, generator=rng, dtype=torch.float64)).flatten(1)
    assert_close(w.sum(1), torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-13)
    assert_close(w.norm(dim=1), torch.ones(5, dtype=torch.float64), rtol=1e-13, atol=0)


def test_standardise_reaches_every_layer_and_trains():
    parts = networks(replace(RECIPE, norm="group", standardise=True))
    layers = [m for part in parts for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 3 + 2 + 2
    for layer in layers:
        assert_close(layer.weight.flatten(1).norm(dim=1), torch.ones(len(layer.weight)))
        layer.weight.sum().backward()


def test_normalised_once_every_layer_has_mean_zero_and_variance_one(images):
    torch.manual_seed(0)
    body, projector, _ = networks(replace(RECIPE, norm="none"))
    network = nn.Sequential(body, projector)
    got = normalise_once(network, images)
    seen = []
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(lambda _, __, out: seen.append(out)) for layer in layers]
    with torch.no_grad():
        out = network(images)
    assert len(seen) == 5
    for y in seen:
        places = [0, *range(2, y.ndim)]
        assert y.mean(places).abs().max() < 1e-3  # float32, and 1e-6 added to deviations of 0.01 and more
        assert (y.std(places, correction=0) - 1).abs().max() < 1e-3
    assert_close(out, got, rtol=0, atol=1e-3)
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("method", ["byol", "simclr"])
def test_one_seed_is_one_network(method, images):
    recipe = replace(RECIPE, method=method)
    before = torch.get_rng_state()
    first, again, other = (train(recipe, images, seed) for seed in (3, 3, 4))
    assert_close(torch.get_rng_state(), before, rtol=0, atol=0)
    assert_close(weights(*first[:2]), weights(*again[:2]), rtol=0, atol=0)
    assert first[2] == again[2]
    assert len(first[2]) == 4
    assert not torch.equal(weights(*first[:2]), weights(*other[:2]))
    assert not any(part.training for part in first[:2])


@pytest.mark.parametrize(
    "options",
    [
        {"predictor": False},
        {"stop_gradient": False},
        {"stop_gradient": False, "decay": 0.0},
        {"decay": 0.0},
        {"decay": 1.0},
        {"norm": "group", "standardise": True},
        {"norm": "none", "normalise_once": True},
    ],
)
def test_every_option_changes_the_training(options, images):
    plain, changed = (train(r, images, 0) for r in (RECIPE, replace(RECIPE, **options)))
    assert plain[2] != changed[2]
    assert all(0 <= loss <= 8 for loss in changed[2])


def test_embed_in_parts_is_embed_at_once(rng):
    x, layer = torch.rand(1030, 3, 2, 2, generator=rng), nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    assert_close(embed(layer, x), layer(x).detach(), rtol=0, atol=1e-6)


def test_scores_of_each_seed(images, rng):
    labels = torch.randint(3, (32,), generator=rng)
    found = scores(RECIPE, (images, labels), (images[:16], labels[:16]), (0, 1))
    assert set(found) == {"spread", "rank", "knn", "probe", "loss"}
    assert all(len(values) == 2 for values in found.values())
    assert found["loss"][1] == train(RECIPE, images, 1)[2][-1]


@pytest.mark.usefixtures("unhooked")
def test_rejects(images):
    with pytest.raises(ValueError, match="got 'moco'"):
        train(replace(RECIPE, method="moco"), images, 0)
    for batch in (1, 64):
        with pytest.raises(ValueError, match=f"2 <= batch <= 32, got {batch}"):
            train(replace(RECIPE, batch=batch), images, 0)
    with pytest.raises(ValueError, match="norm behind it"):
        normalise_once(networks(RECIPE)[0], images)
