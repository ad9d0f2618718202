"""One training loop for every chapter: it is given a loss and batches, and returns the history."""

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm


@dataclass
class History:
    """What a run of `fit` leaves behind: the loss of every step made, and how the run ended."""

    loss: list[float] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, m: float) -> None:
    r"""One step of a network's parameters towards another's; buffers stay.

    .. math:: \bar\theta \leftarrow m \bar\theta + (1 - m) \theta

    Known value: m = 0 copies, m = 1 leaves as it was; from 1 towards 0 at m = 0.9, two steps give 0.81.
    Raises ValueError unless 0 <= m <= 1, or if the networks have different numbers of parameters.
    Source: He et al. 2020, arXiv:1911.05722, eq. (2), the momentum encoder; the same step in BYOL and DINO.
    """
    if not 0 <= m <= 1:
        raise ValueError(f"need 0 <= m <= 1, got {m}")
    for mean, now in zip(slow.parameters(), fast.parameters(), strict=True):
        mean.lerp_(now, 1 - m)


@torch.no_grad()
def copy_buffers(to: nn.Module, source: nn.Module) -> None:
    """Overwrite buffers, such as batch norm's running statistics, by another network's."""
    for mine, other in zip(to.buffers(), source.buffers(), strict=True):
        mine.copy_(other)


class Ema:
    r"""Exponential moving average of a network's parameters; buffers are copied as they are.

    .. math:: \bar\theta \leftarrow d_n \bar\theta + (1 - d_n) \theta, \qquad
              d_n = \min\big(\text{decay}, \tfrac{1 + n}{10 + n}\big)

    n counts the updates, from 0: the warm-up of the decay keeps the random initial weights out.
    Known value: after one update the average is 0.1 of the start and 0.9 of the new parameters.
    Raises ValueError unless 0 <= decay < 1.
    Source: Polyak & Juditsky 1992, doi:10.1137/0330046 (averaging); the warm-up is TensorFlow's habit.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"need 0 <= decay < 1, got {decay}")
        self.decay, self.updates = decay, 0
        self._model = model
        self._average = copy.deepcopy(model).requires_grad_(False).eval()

    def update(self) -> None:
        follow(self._average, self._model, min(self.decay, (1 + self.updates) / (10 + self.updates)))
        copy_buffers(self._average, self._model)
        self.updates += 1

    def value(self) -> nn.Module:
        """The averaged network, in eval mode, without gradients. It goes on changing with `update`."""
        return self._average

    def state_dict(self) -> dict[str, Any]:
        return {"average": self._average.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._average.load_state_dict(state["average"])
        self.updates = state["updates"]


def warmup_cosine(steps: int, warmup: int = 0) -> Callable[[int], float]:
    r"""A factor on the learning rate for step = 0..steps-1: up in a line to 1, down in half a cosine to 0.

    .. math:: f(s) = \frac{s+1}{\text{warmup}+1} \ (s < \text{warmup}), \qquad
              f(s) = \tfrac12 \Big(1 + \cos \pi\tfrac{s - \text{warmup}}{\text{steps} - \text{warmup}}\Big)

    Known value: without warm-up, f(0) = 1 and f(steps / 2) = 1/2; f is 0 from `steps` on.
    Raises ValueError unless 0 <= warmup < steps.
    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, eq. (5), one period.
    """
    if not 0 <= warmup < steps:
        raise ValueError(f"need 0 <= warmup < steps, got warmup={warmup}, steps={steps}")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return (1 + math.cos(math.pi * min(1.0, (step - warmup) / (steps - warmup)))) / 2

    return factor


def _cycle(batches: Iterable[Any]) -> Iterator[Any]:
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty:
            raise ValueError(
                "no batches: the iterable is empty, or an iterator that ran out before the steps did"
            )


def fit(
    loss: Callable[[Any], Tensor],
    batches: Iterable[Any],
    optimizer: torch.optim.Optimizer,
    *,
    steps: int,
    schedule: Callable[[int], float] | None = None,
    ema: Ema | None = None,
    label: str = "",
) -> History:
    """Make `steps` optimiser steps on loss(batch), taking the batches in turn and from the start again.

    schedule(step) multiplies each group's own learning rate, which is put back at the end. A progress
    bar shows loss and time left. Ctrl-C ends the run early: what was learnt stays in the network, and
    the history says that it was interrupted.

    Known value: on loss = w^2 with plain gradient descent of rate 0.1, w shrinks by 0.8 a step.
    Raises ValueError if there are no batches or steps < 1; FloatingPointError if the loss is not finite.
    """
    if steps < 1:
        raise ValueError(f"need at least one step, got steps={steps}")
    history, start = History(), time.perf_counter()
    rates = [group["lr"] for group in optimizer.param_groups]
    source = _cycle(batches)
    bar = tqdm(range(steps), desc=label or None, mininterval=1.0, leave=False)
    try:
        for step in bar:
            if schedule is not None:
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * schedule(step)
            value = loss(next(source))
            if not torch.isfinite(value):
                raise FloatingPointError(f"the loss is {value.item()} at step {step} of {steps}")
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            if ema is not None:
                ema.update()
            history.loss.append(value.item())
            bar.set_postfix(loss=f"{history.loss[-1]:.4f}", refresh=False)
    except KeyboardInterrupt:
        history.interrupted = True
    finally:
        bar.close()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        history.seconds = time.perf_counter() - start
    return history
