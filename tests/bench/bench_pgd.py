"""PGD with 40 steps on a small CNN: ours beside torchattacks' PGD, same seed, in turn in one run.

Run ``python tests/bench/bench_pgd.py``: 16 pictures of 3 x 32 x 32 in [0, 1], three convolutions, two
threads. As called by default ours gives the library's answer to the last bit, in the same time: both are 40
forward and backward passes. The headline is ours with the pictures in channels-last order, which these
convolutions are faster in; float32 then sums in another order, so the answers are compared by their losses.
The third line says what is left of the difference when the library is handed pictures in that order.
"""

import contextlib
import io
import warnings

import torch
from timing import report, take_turns
from torch import Tensor, nn
from worked.robustness.attack import cross_entropy, pgd
from worked.robustness.ball import random_start

BATCH, SIDE, EPSILON, ALPHA, STEPS, THREADS, AIM = 16, 32, 8 / 255, 2 / 255, 40, 2, 0.9


def contestants() -> dict:
    """Each runs the attack on the same numbers, and returns the pictures found."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchattacks
    rng = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 8 * 8, 10)),
    ).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=rng) / p[0].numel() ** 0.5)
    x, y = torch.rand(BATCH, 3, SIDE, SIDE, generator=rng), torch.randint(10, (BATCH,), generator=rng)

    def ours(layout: torch.memory_format) -> Tensor:
        start = random_start(x, EPSILON, "linf", torch.Generator().manual_seed(0))
        walk = {"epsilon": EPSILON, "step": ALPHA, "steps": STEPS, "start": start}
        return pgd(model, x, y, keep="last", layout=layout, **walk)

    def theirs(layout: torch.memory_format) -> Tensor:
        torch.manual_seed(0)
        return torchattacks.PGD(model, EPSILON, ALPHA, STEPS)(x.contiguous(memory_format=layout), y)

    def loss(z: Tensor) -> Tensor:
        with torch.no_grad():
            return cross_entropy(model(z), y)

    last, plain = torch.channels_last, torch.contiguous_format
    with contextlib.redirect_stdout(io.StringIO()):
        want = theirs(plain)
    assert torch.equal(ours(plain), want), "equal seeds, equal layout: not equal to the last bit"
    gap = ((loss(ours(last)) - loss(want)) / loss(want)).abs().max().item()
    assert gap < 0.01, f"channels last ends at a loss that differs by {gap:.2%}"
    return {
        "ours, channels last": lambda: ours(last),
        "ours": lambda: ours(plain),
        "torchattacks": lambda: theirs(plain),
        "torchattacks, channels last": lambda: theirs(last),
    }


def main(rounds: int = 7) -> float:
    """Print the table lines; return the median ratio of the first."""
    torch.set_num_threads(THREADS)
    runs = contestants()
    times = take_turns(runs, rounds, warm_up=1)
    got = report("PGD-40", times, "ours, channels last", "torchattacks", AIM)
    report("  pictures as they are", times, "ours", "torchattacks", AIM)
    report("  both channels last", times, "ours, channels last", "torchattacks, channels last", AIM)
    return got


if __name__ == "__main__":
    main()
