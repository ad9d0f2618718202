"""The recipe of the weights digits-eight: networks that know eight digits, the last steps by three losses.

Digits of varying size, colour and place on crops of photographs, without the two classes HELD_OUT.
"""

import copy

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
EIGHT = tuple(k for k in range(10) if k not in HELD_OUT)
STEPS, MORE, BATCH, RATE, MARGIN = 900, 300, 64, 4e-3, 0.5


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


def train_one(seed: int, steps: int = STEPS, more: int = MORE) -> tuple[dict[str, nn.Module], float]:
    """Networks trained on the eight digits, one for each of LOSSES, and the seconds that all took.

    ``steps`` with cross-entropy; from there ``more`` steps with each loss, from the same start on the same
    batches, so that the three differ in the loss alone.
    """
    torch.manual_seed(seed)  # the initial weights: modules of torch take no generator
    rng = torch.Generator().manual_seed(seed)
    images, labels = pictures(600, EIGHT, rng=rng)
    body = SmallNet()
    head = nn.Linear(body.width, len(EIGHT))
    first, then = (torch.randint(len(labels), (count, BATCH), generator=rng) for count in (steps, more))
    seconds = _run("cross-entropy", body, head, images, labels, first, RATE, rng)
    networks = {}
    for loss in LOSSES:
        networks[loss], classifier = copy.deepcopy(body), copy.deepcopy(head)
        chance = torch.Generator().manual_seed(seed)
        seconds += _run(loss, networks[loss], classifier, images, labels, then, RATE / 4, chance)
    return {loss: network.eval() for loss, network in networks.items()}, seconds


def _run(
    loss: str,
    body: nn.Module,
    head: nn.Module,
    images: Tensor,
    labels: Tensor,
    order: Tensor,
    rate: float,
    rng: torch.Generator,
) -> float:
    def value(i: Tensor) -> Tensor:
        h, y = body(images[i]), labels[i]
        total = h.new_zeros(())
        if loss != "triplet":
            total = total + F.cross_entropy(head(h), y)
        if loss != "cross-entropy":
            z = F.normalize(h, dim=1)
            a, p, q = mine(z, y, "semi-hard", rng=rng)
            total = total + triplet_loss(z[a], z[p], z[q], margin=MARGIN)
        return total

    body.train()
    optimizer = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=rate, weight_decay=1e-2)
    steps = len(order)
    schedule = warmup_cosine(steps, steps // 20)
    return fit(value, order, optimizer, steps=steps, schedule=schedule, label=loss).seconds


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
    result = {}
    for name, classes in (("eight", EIGHT), ("new", HELD_OUT)):
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
        networks, took = train_one(seed)
        seconds += took
        print(f"seed {seed}: {took:.0f} s", flush=True)
        for loss, body in networks.items():
            state |= {f"{loss}-{seed}.{key}": value.half() for key, value in body.state_dict().items()}
    card = {
        "what": "nine small convolutional networks (24x24 pixels to 32 features) that know the digits other "
        "than 3 and 8: 900 steps of cross-entropy, then 300 more of cross-entropy, of the triplet loss, or "
        "of both; seeds 0, 1, 2",
        "data": "worked.data.cluttered_digits, training split, 600 pictures of each of eight digits",
        "command": f"python -m worked.weights train {NAME}",
        "seed": list(SEEDS),
        "metrics": {},
        "seconds": round(seconds),
        "licence": "MIT",
        **runs.provenance(),
    }
    weights.save(NAME, state, card)  # first with an empty card: what is measured is what is shipped
    weights.save(NAME, state, card | {"metrics": evaluate()})
