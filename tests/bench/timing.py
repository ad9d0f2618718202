"""Ours and the library's in turn in one run: what every bench measures, and the line that it prints."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def take_turns(
    runs: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 3
) -> dict[str, list[float]]:
    """Milliseconds of each run in each round; all take their turn in every round, in alternating order.

    The rounds of the warm-up are not counted; runs of many seconds need but one.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(-warm_up, rounds):
        for name in list(runs) if turn % 2 else list(runs)[::-1]:
            start = time.perf_counter()
            runs[name]()
            if turn >= 0:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def ratio(times: Mapping[str, list[float]], ours: str, theirs: str) -> float:
    """The median over rounds of ours / theirs: a slow moment of the machine falls on both."""
    return statistics.median(a / b for a, b in zip(times[ours], times[theirs], strict=True))


def report(name: str, times: Mapping[str, list[float]], ours: str, theirs: str, aim: float) -> float:
    """Print name | ours | library | ratio | aim with the medians; return the ratio."""
    mine, other = statistics.median(times[ours]), statistics.median(times[theirs])
    got = ratio(times, ours, theirs)
    print(f"{name} | {ours} {mine:.2f} ms | {theirs} {other:.2f} ms | ratio {got:.2f} | aim {aim}")
    return got


def same(
    ours: Tensor | list[Tensor], theirs: Tensor | list[Tensor], relative: float = 1e-4, name: str = ""
) -> None:
    """Raise AssertionError unless equal within `relative` of each tensor's largest value.

    Fast and wrong is no answer. The default is for float32 sums of thousands of terms in different orders.
    """
    pairs = [(ours, theirs)] if isinstance(ours, Tensor) else zip(ours, theirs, strict=True)
    for mine, other in pairs:
        atol = relative * other.abs().max().item()
        torch.testing.assert_close(mine, other, rtol=0, atol=atol, msg=lambda m: f"{name}: {m}")
