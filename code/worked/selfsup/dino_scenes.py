"""The recipe of the weights dino-scenes: small DINOs on scenes whose masks are known, and what they look at.

Three ways of training, three seeds each, on the same objects pasted on crops of photographs:

- "own": both views of an object share its background, as views of a photograph do;
- "swapped": each view has another background, so that the object is all that the views share;
- "labels": no views; the class token learns to name colour and shape.
"""

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from worked import runs, weights
from worked.attention.vit import ViT
from worked.data.scenes import COLOURS, SHAPES, Scenes, photograph_crops
from worked.data.store import root
from worked.selfsup.dino import Center, DinoHead, dino_loss, entropies, momentum_schedule
from worked.selfsup.dino import teacher_probabilities as probabilities
from worked.selfsup.looking import SEEDS, baselines, held_out, measure, new_vit, objects
from worked.selfsup.multicrop import random_views
from worked.training import follow, warmup_cosine

NAME = "dino-scenes"
WAYS = ("own", "swapped", "labels")


@dataclass(frozen=True)
class Recipe:
    """Sizes and rates of a run; lengths in optimiser steps."""

    steps: int = 1000
    batch: int = 64
    rate: float = 1e-3
    warmup: int = 100
    decay: float = 0.04
    k: int = 64
    locals: int = 2
    tau_s: float = 0.1
    tau_t: tuple[float, float] = (0.02, 0.03)  # from, to, in a line over the first half
    m: float = 0.99
    scale: tuple[float, float] = (0.5, 1.0)
    small_scale: tuple[float, float] = (0.2, 0.6)
    pool: int = 8000
    every: int = 100


def jitter(images: Float[Tensor, "n c h w"], rng: torch.Generator) -> Float[Tensor, "n c h w"]:
    """A random gain for each channel, a shift of brightness; one picture in five turns grey."""
    n = len(images)
    gain = 0.7 + 0.6 * torch.rand(n, 3, 1, 1, generator=rng)
    x = images * gain + 0.15 * torch.randn(n, 1, 1, 1, generator=rng)
    grey = torch.rand(n, 1, 1, 1, generator=rng) < 0.2
    return torch.where(grey, x.mean(dim=1, keepdim=True), x).clamp(0, 1)


class Pool:
    """Objects and backgrounds to draw views from."""

    def __init__(self, n: int, rng: torch.Generator) -> None:
        self.cut = objects(n, rng)
        self.walls = photograph_crops(n, 32, rng=rng, half="left")
        self.rng = rng

    def pictures(self, index: Tensor, views: int, swapped: bool) -> Float[Tensor, "v b 3 32 32"]:
        """The chosen objects, `views` times, on one background each, or on another one in every view."""
        b = len(index)
        walls = torch.randint(len(self.walls), (views if swapped else 1, b), generator=self.rng)
        images, masks = self.cut.images[index], self.cut.masks[index][:, None]
        return torch.where(masks, images, self.walls[walls].expand(views, -1, -1, -1, -1))

    def views(self, r: Recipe, swapped: bool) -> tuple[Tensor, Tensor]:
        index = torch.randint(len(self.cut), (r.batch,), generator=self.rng)
        full = self.pictures(index, 2 + r.locals, swapped)
        big = random_views(full[:2], self.rng, size=32, scale=r.scale, change=jitter)
        return big, random_views(full[2:], self.rng, size=16, scale=r.small_scale, change=jitter)


class Student(nn.Module):
    """A ViT and what is trained on its class token: DINO's head, or two classifiers."""

    def __init__(self, way: str, k: int) -> None:
        super().__init__()
        self.vit = new_vit()
        self.head = nn.Linear(64, len(COLOURS) + len(SHAPES)) if way == "labels" else DinoHead(64, 256, 64, k)

    def forward(self, views: Float[Tensor, "v b c h w"]) -> Float[Tensor, "v b k"]:
        return self.head(self.vit(views.flatten(0, 1))[0]).unflatten(0, views.shape[:2])


def train_one(
    way: str, seed: int, r: Recipe, checkpoint: Path | None = None
) -> tuple[nn.Module, dict, float]:
    """The teacher's ViT (for "labels" the trained one), its history every r.every steps, and the seconds.

    With a checkpoint file the run is written down every r.every steps and goes on from there when it is
    started again, with the same draws as if it had not been stopped.
    """
    if way not in WAYS:
        raise ValueError(f"way is one of {', '.join(WAYS)}; got {way!r}")
    torch.manual_seed(seed)  # the initial weights: modules of torch take no generator
    rng = torch.Generator().manual_seed(seed)
    pool, test = Pool(r.pool, rng), (held_out(600, 2000), held_out(400, 3000))
    student = Student(way, r.k)
    teacher = copy.deepcopy(student).requires_grad_(False)
    groups = [[p for p in student.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False)]
    optimizer = torch.optim.AdamW(
        [{"params": groups[0], "weight_decay": r.decay}, {"params": groups[1], "weight_decay": 0.0}],
        lr=r.rate,
    )
    center, factor, momentum = Center(r.k), warmup_cosine(r.steps, r.warmup), momentum_schedule(r.m, r.steps)
    first, history, seconds = 0, {}, 0.0
    parts = {"student": student, "teacher": teacher, "optimizer": optimizer, "center": center}
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        rng.set_state(state["rng"])
        first, history, seconds = state["step"], state["history"], state["seconds"]
    started = time.perf_counter() - seconds
    for step in tqdm(
        range(first, r.steps), initial=first, total=r.steps, desc=f"{way} {seed}", mininterval=10
    ):
        for group in optimizer.param_groups:
            group["lr"] = r.rate * factor(step)
        warm = min(1.0, step / (r.steps / 2))
        tau_t = r.tau_t[0] + (r.tau_t[1] - r.tau_t[0]) * warm
        if way == "labels":
            loss, taught = _naming(student, pool, r), None
        else:
            big, small = pool.views(r, swapped=way == "swapped")
            with torch.autocast("cpu", torch.bfloat16):
                with torch.no_grad():
                    taught = teacher(big).float()
                said = torch.cat([student(big), student(small)]).float()
            loss = dino_loss(said, taught, center.value(), tau_s=r.tau_s, tau_t=tau_t)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 3.0)
        optimizer.step()
        if taught is not None:
            center.update(taught)
        follow(teacher, student, momentum(step))
        if (step + 1) % r.every == 0 or step == 0:
            now = measure(teacher.vit, test) | {"step": step + 1, "loss": loss.item()}
            now |= {f"student_{key}": value for key, value in measure(student.vit, test).items()}
            if taught is not None:
                p = probabilities(taught.flatten(0, 1), center.value(), tau_t)
                now["entropy_of_mean"], now["mean_entropy"] = entropies(p)
            for key, value in now.items():
                history.setdefault(key, []).append(value)
            seconds = time.perf_counter() - started
            if checkpoint is not None:
                state = {name: part.state_dict() for name, part in parts.items()}
                state |= {"rng": rng.get_state(), "step": step + 1, "history": history, "seconds": seconds}
                torch.save(state, checkpoint.with_suffix(".part"))
                checkpoint.with_suffix(".part").replace(checkpoint)
    return (student if way == "labels" else teacher).vit.eval(), history, seconds


def _naming(student: nn.Module, pool: Pool, r: Recipe) -> Tensor:
    """Cross-entropy of colour plus that of shape, on one view of 2 x batch objects."""
    index = torch.randint(len(pool.cut), (2 * r.batch,), generator=pool.rng)
    view = random_views(pool.pictures(index, 1, True), pool.rng, size=32, scale=r.scale, change=jitter)
    with torch.autocast("cpu", torch.bfloat16):
        said = student(view)[0].float()
    colour, shape = said.split([len(COLOURS), len(SHAPES)], dim=1)
    return F.cross_entropy(colour, pool.cut.colour[index]) + F.cross_entropy(shape, pool.cut.shape[index])


def load(way: str, seed: int) -> ViT:
    """One of the shipped networks, in eval mode."""
    prefix = f"{way}-{seed}."
    tensors = weights.load(NAME)
    if not any(key.startswith(prefix) for key in tensors):
        raise ValueError(f"no network {way!r}, seed {seed}; ways: {', '.join(WAYS)}; seeds: {SEEDS}")
    vit = new_vit()
    vit.load_state_dict(
        {k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)}
    )
    return vit.eval().requires_grad_(False)


def evaluate() -> dict[str, dict[str, Any]]:
    """Measure the shipped networks on fresh held-out scenes, and print it beside the baselines."""
    data = held_out(2000, 4000), held_out(1000, 5000)
    result = {f"{way}-{seed}": measure(load(way, seed), data) for way in WAYS for seed in SEEDS}
    result |= baselines(data)
    print(f"{NAME}: {len(data[1])} pictures, each with a large object that covers {_area(data[1]):.1%} of it")
    print(f"{'':12s}" + "".join(f"{key:>12s}" for key in result["untrained"]))
    for name, values in result.items():
        print(
            f"{name:12s}" + "".join(f"{values.get(key, float('nan')):12.3f}" for key in result["untrained"])
        )
    return result


def _area(data: Scenes) -> float:
    return data.masks.float().mean().item()


def train(recipe: Recipe | None = None, folder: Path | None = None) -> None:
    """Train all nine networks, then write what ships. Each keeps a checkpoint in the cache folder."""
    r, started = recipe or Recipe(), time.time()
    folder = folder or root() / NAME
    folder.mkdir(parents=True, exist_ok=True)
    state, histories, seconds = {}, {}, 0.0
    for seed in SEEDS:
        for way in ("swapped", "own", "labels"):
            vit, history, took = train_one(way, seed, r, folder / f"{way}-{seed}.checkpoint")
            state |= {f"{way}-{seed}.{key}": value.half() for key, value in vit.state_dict().items()}
            histories[f"{way}-{seed}"], seconds = history, seconds + took
            print(f"{way} {seed}: {took:.0f} s", {k: round(v[-1], 3) for k, v in history.items()}, flush=True)
    command = f"python -m worked.weights train {NAME}"
    card = {
        "what": "nine ViTs (32x32, patch 4, width 64, depth 4, 4 heads): DINO with each picture's own "
        "background, DINO with swapped backgrounds, supervised with labels; seeds 0, 1, 2",
        "data": "worked.data.scenes: large upright objects on crops of four photographs of scikit-image",
        "command": command,
        "seed": list(SEEDS),
        "metrics": {},
        "seconds": round(seconds),
        "licence": "MIT",
        **runs.provenance(),
    }
    weights.save(NAME, state, card)  # first with an empty card: what is measured is what is shipped
    weights.save(NAME, state, card | {"metrics": evaluate()})
    runs.record(
        NAME,
        {"recipe": vars(r), "history": histories, "train_seconds": seconds},
        command=command,
        seeds=list(SEEDS),
        data={"held-out scenes": runs.checksum(held_out(400, 3000).images)},
        started=started - seconds if seconds > time.time() - started else started,
    )
