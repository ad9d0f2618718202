"""The recipe of the weights digits-eight: networks that know eight digits, by three losses, three seeds each.

Digits of varying size, colour and place on crops of photographs, without the two classes HELD_OUT.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from worked import runs, weights
from worked.convolution.mining import mine
from worked.convolution.transfer import SmallNet, embed, nearest_centroid
from worked.convolution.triplet import triplet_loss
from worked.data.cluttered_digits import cluttered_digits
from worked.training import fit, warmup_cosine

NAME = "digits-eight"
HELD_OUT = (3, 8)  # alike: two bows each, open or closed
SEEDS = (0, 1, 2)
LOSSES = ("cross-entropy", "triplet", "both")
SIZE, CLUTTER = 24, 0.6  # pixels a side; brightness of the background
STEPS, BATCH, RATE, MARGIN = 2000, 64, 2e-3, 0.5


def pictures(
    n: int, classes: tuple[int, ...], *, rng: torch.Generator, split: str = "train"
) -> tuple[Float[Tensor, "n 3 s s"], Int[Tensor, " n"]]:
    """n pictures of each of the given digits, in this order, labelled 0, 1, ... by the place in ``classes``.

    Known value: n = 2 of the classes (3, 8) gives labels 0, 0, 1, 1. Raises ValueError unless n >= 1 and the
    classes are digits, each named once.
    """
    if n < 1 or not classes or len(set(classes)) < len(classes) or not set(classes) <= set(range(10)):
        raise ValueError(f"need n >= 1 and different digits, got n={n}, classes={classes}")
    images, labels = cluttered_digits(max(40, 14 * n), rng=rng, size=SIZE, split=split, clutter=CLUTTER)
    chosen = [_of_class(images, labels, k, n, rng, split) for k in classes]
    return torch.cat(chosen), torch.arange(len(classes)).repeat_interleave(n)


def _of_class(images: Tensor, labels: Tensor, k: int, n: int, rng: torch.Generator, split: str) -> Tensor:
    found = images[labels == k]
    while len(found) < n:
        more, names = cluttered_digits(40, rng=rng, size=SIZE, split=split, clutter=CLUTTER)
        found = torch.cat([found, more[names == k]])
    return found[:n]


def train_one(loss: str, seed: int, steps: int = STEPS) -> tuple[nn.Module, float]:
    """A network trained on the eight digits by one of LOSSES, and the seconds that it took."""
    if loss not in LOSSES:
        raise ValueError(f"loss is one of {', '.join(LOSSES)}; got {loss!r}")
    torch.manual_seed(seed)  # the initial weights: modules of torch take no generator
    rng = torch.Generator().manual_seed(seed)
    eight = tuple(k for k in range(10) if k not in HELD_OUT)
    images, labels = pictures(1000, eight, rng=rng)
    body = SmallNet()
    head = nn.Linear(body.width, len(eight))

    step = 0

    def value(i: Tensor) -> Tensor:
        nonlocal step
        step += 1
        h, y = body(images[i]), labels[i]
        total = h.new_zeros(())
        if loss != "triplet":
            total = total + F.cross_entropy(head(h), y)
        if loss != "cross-entropy":
            z = F.normalize(h, dim=1)
            early = step <= steps // 2  # random triplets first: near collapse only they agree on a direction
            a, p, q = mine(z, y, "random" if early else "semi-hard", rng=rng)
            total = total + triplet_loss(z[a], z[p], z[q], margin=MARGIN)
        return total

    optimizer = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=RATE, weight_decay=1e-2)
    order = torch.randint(len(labels), (steps, BATCH), generator=rng)
    history = fit(value, order, optimizer, steps=steps, schedule=warmup_cosine(steps, steps // 20))
    return body.eval(), history.seconds


def load(loss: str, seed: int) -> SmallNet:
    """One of the shipped networks, in eval mode. Raises ValueError on another loss or seed."""
    prefix = f"{loss}-{seed}."
    tensors = {
        k.removeprefix(prefix): v for k, v in weights.load("digits-eight").items() if k.startswith(prefix)
    }
    if not tensors:
        raise ValueError(f"no network {loss!r}, seed {seed}; losses: {', '.join(LOSSES)}; seeds: {SEEDS}")
    body = SmallNet()
    body.load_state_dict({name: value.float() for name, value in tensors.items()})
    return body.eval()


def evaluate() -> dict[str, float]:
    """Nearest-centroid accuracy of each shipped network on fresh test pictures, known and new digits."""
    rng = torch.Generator().manual_seed(100)
    eight = tuple(k for k in range(10) if k not in HELD_OUT)
    result = {}
    for name, classes in (("eight", eight), ("new", HELD_OUT)):
        train, test = pictures(200, classes, rng=rng), pictures(200, classes, rng=rng, split="test")
        for loss in LOSSES:
            for seed in SEEDS:
                body = load(loss, seed)
                score = nearest_centroid(embed(body, train[0]), train[1], embed(body, test[0]), test[1])
                result[f"{name}_{loss}_{seed}"] = round(score, 4)
    for key, score in result.items():
        print(f"{key:28s}{score:.3f}")
    return result


def train() -> None:
    """Train the nine networks and write them with their card."""
    state, seconds = {}, 0.0
    for seed in SEEDS:
        for loss in LOSSES:
            body, took = train_one(loss, seed)
            state |= {f"{loss}-{seed}.{key}": value.half() for key, value in body.state_dict().items()}
            seconds += took
            print(f"{loss} {seed}: {took:.0f} s", flush=True)
    card = {
        "what": "nine small convolutional networks (24x24 pixels to 32 features) that know the digits other "
        "than 3 and 8, trained by cross-entropy, by the triplet loss, or by both; seeds 0, 1, 2",
        "data": "worked.data.cluttered_digits, training split, 1,000 pictures of each of eight digits",
        "command": f"python -m worked.weights train {NAME}",
        "seed": list(SEEDS),
        "metrics": {},
        "seconds": round(seconds),
        "licence": "MIT",
        **runs.provenance(),
    }
    weights.save(NAME, state, card)  # first with an empty card: what is measured is what is shipped
    weights.save(NAME, state, card | {"metrics": evaluate()})
