"""Small trainings to compare: one recipe, one seed, one encoder; BYOL and SimCLR on equal terms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn.utils import parametrize

from worked.selfsup.byol import Pair
from worked.selfsup.contrastive import nt_xent
from worked.selfsup.encoder import encoder, head
from worked.selfsup.probe import knn_accuracy, linear_probe
from worked.selfsup.spread import effective_rank, spread
from worked.training import warmup_cosine


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What one training does; recipes with equal `images_seen` differ in cost by predictor and target only.

    method: "byol" or "simclr". predictor, stop_gradient, decay: BYOL's parts (decay 0: the target is the
    online network). norm: of encoder and heads, "batch", "group" or "none"; standardise: weights with mean 0
    and rows of length 1. augment: how views are drawn. rate: AdamW's learning rate at batch 64, scaled by the
    square root of the batch. tau: SimCLR's temperature.
    """

    augment: Callable[[Tensor, torch.Generator], Tensor]
    method: str = "byol"
    predictor: bool = True
    stop_gradient: bool = True
    decay: float = 0.99
    norm: str = "batch"
    standardise: bool = False
    normalise_once: bool = False
    batch: int = 64
    images_seen: int = 64 * 150
    rate: float = 2e-3
    weight_decay: float = 1e-2
    tau: float = 0.2
    width: int = 8
    features: int = 32
    hidden: int = 64


class Standardised(nn.Module):
    r"""A weight as (w - mean) / (deviation sqrt(fan-in)), for each output: weight standardisation.

    Known value: the row (1, 3) becomes (-1, 1) / sqrt(2). Source: Qiao et al. 2019, arXiv:1903.10520,
    eq. (5), with the factor 1 / sqrt(fan-in) of Brock et al. 2021, arXiv:2101.08692, eq. (1).
    """

    def forward(self, w: Float[Tensor, "k ..."]) -> Float[Tensor, "k ..."]:
        rows = w.flatten(1)
        centred = rows - rows.mean(1, keepdim=True)
        return (F.normalize(centred, dim=1)).reshape(w.shape)


@torch.no_grad()
def normalise_once(network: nn.Module, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
    """Scale and shift every layer so that each of its outputs has mean 0 and variance 1 on x; the output.

    Batch norm at the start, and never again: what the network does later no longer depends on its batch.
    Raises ValueError if a layer has no bias to shift, as layers in front of a norm.
    Source: Richemond et al. 2020, arXiv:2010.10241, sec. 3.2, the same idea with their own recipe.
    """

    def fit(layer: nn.Module, _: tuple, out: Tensor) -> Tensor:
        if layer.bias is None:
            raise ValueError("a layer without bias has a norm behind it already")
        places = [0, *range(2, out.ndim)]
        mean, deviation = out.mean(places), out.std(places, correction=0) + 1e-6
        layer.weight.div_(deviation.reshape(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias.sub_(mean).div_(deviation)
        shape = (-1, *[1] * (out.ndim - 2))
        return (out - mean.reshape(shape)) / deviation.reshape(shape)

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(fit) for layer in layers]
    out = network(x)
    for hook in hooks:
        hook.remove()
    return out


def networks(recipe: Recipe) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """Encoder, projector and predictor of a recipe, with random weights from torch's global generator."""
    f, hidden = recipe.features, recipe.hidden
    parts = (
        encoder(width=recipe.width, features=f, norm=recipe.norm),
        head(f, hidden, f, norm=recipe.norm),
        head(f, hidden, f, norm=recipe.norm),
    )
    if recipe.standardise:
        for part in parts:
            for layer in part.modules():
                if isinstance(layer, nn.Conv2d | nn.Linear):
                    parametrize.register_parametrization(layer, "weight", Standardised())
    return parts


def train(
    recipe: Recipe, images: Float32[Tensor, "n c h w"], seed: int
) -> tuple[nn.Sequential, nn.Sequential, list[float]]:
    """Train with one seed for weights, batches and views: encoder, projector (eval mode), loss per step.

    Raises ValueError on an unknown method, or if the batch is larger than the set.
    """
    if recipe.method not in ("byol", "simclr"):
        raise ValueError(f"method is byol or simclr; got {recipe.method!r}")
    if not 2 <= recipe.batch <= len(images):
        raise ValueError(f"need 2 <= batch <= {len(images)}, got {recipe.batch}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body, projector, predictor = networks(recipe)
    rng = torch.Generator().manual_seed(seed)
    device = images.device
    online = nn.Sequential(body, projector).to(device)
    if recipe.normalise_once:
        first = images[torch.randint(len(images), (256,), generator=rng).to(device)]
        normalise_once(predictor.to(device), normalise_once(online, recipe.augment(first, rng)))
    pair = Pair(online, predictor if recipe.predictor else None, recipe.decay).to(device)
    simclr = recipe.method == "simclr"
    weights = list(online.parameters()) if simclr else pair.trained(recipe.stop_gradient)
    rate = recipe.rate * (recipe.batch / 64) ** 0.5
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=recipe.weight_decay, fused=True)
    steps = recipe.images_seen // recipe.batch
    factor, losses = warmup_cosine(steps, steps // 10), []
    for step in range(steps):
        batch = images[torch.randint(len(images), (recipe.batch,), generator=rng).to(device)]
        views = recipe.augment(torch.cat([batch, batch]), rng)  # (2 n, c, s, s)
        x1, x2 = views.chunk(2)
        for group in optimizer.param_groups:
            group["lr"] = rate * factor(step)
        loss = (
            nt_xent(*online(views).chunk(2), recipe.tau)
            if simclr
            else pair.loss(x1, x2, recipe.stop_gradient)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not simclr:
            pair.update()
        losses.append(loss.item())
    return body.eval(), projector.eval(), losses


@torch.no_grad()
def embed(network: nn.Module, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
    """The network's outputs, computed in parts of 1,024."""
    return torch.cat([network(part) for part in images.split(1024)])


def scores(
    recipe: Recipe,
    train_set: tuple[Float32[Tensor, "n c h w"], Int64[Tensor, " n"]],
    test_set: tuple[Float32[Tensor, "m c h w"], Int64[Tensor, " m"]],
    seeds: Sequence[int],
) -> dict[str, list[float]]:
    """Train once a seed; for each: what is left of the embeddings, and what the features know of the labels.

    spread: of the projector's outputs on the test set; rank: their effective rank; knn, probe: scores of the
    encoder's features, read on the training set; loss: of the last step.
    """
    (images, labels), (test_images, test_labels) = train_set, test_set
    found: dict[str, list[float]] = {"spread": [], "rank": [], "knn": [], "probe": [], "loss": []}
    for seed in seeds:
        body, projector, losses = train(recipe, images, seed)
        features, test_features = embed(body, images), embed(body, test_images)
        z = embed(projector, test_features)
        found["spread"].append(spread(z))
        found["rank"].append(effective_rank(z))
        found["knn"].append(knn_accuracy(features, labels, test_features, test_labels))
        found["probe"].append(linear_probe(features, labels, test_features, test_labels))
        found["loss"].append(losses[-1])
    return found
