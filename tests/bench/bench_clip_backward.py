"""CLIP's loss with its gradient by hand, beside the same loss differentiated by autograd: time, peak memory.

Run ``python tests/bench/bench_clip_backward.py``: loss and all three gradients of 4,096 pairs of width 512,
the two in turn in one run. For the memory each runs once in a process of its own, which reports by how much
its greatest resident set (VmHWM, what the Linux kernel counted) rose above where it stood when the inputs
were ready and a small problem had been solved. All that the pass allocates is in it, scratch of the matrix
product included; the inputs and the libraries are not.
"""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from timing import report, same, take_turns
from torch import Tensor
from worked.multimodal.clip_loss import clip_loss

PAIRS, WIDTH, AIM, AIM_MEMORY = 4096, 512, 0.8, 0.5


def with_autograd(x: Tensor, y: Tensor, log_scale: Tensor) -> Tensor:
    """CLIP's loss as its paper writes it (figure 3), every step left to autograd."""
    logits = log_scale.exp() * F.normalize(x, dim=1) @ F.normalize(y, dim=1).T
    target = torch.arange(len(x))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


LOSSES = {"ours": clip_loss, "autograd": with_autograd}


def problem(n: int, d: int) -> list[Tensor]:
    """Pairs that resemble each other somewhat, at CLIP's first temperature, 0.07."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=rng)
    y = x + 2 * torch.randn(n, d, generator=rng)
    return [t.requires_grad_() for t in (x, y, torch.tensor(math.log(1 / 0.07)))]


def contestants(n: int, d: int) -> dict[str, Callable[[], list[Tensor]]]:
    """Each returns its loss and the gradients with respect to images, texts and log scale."""
    tensors = problem(n, d)

    def run(loss: Callable[..., Tensor]) -> Callable[[], list[Tensor]]:
        def once() -> list[Tensor]:
            value = loss(*tensors)
            return [value.detach(), *torch.autograd.grad(value, tensors)]

        return once

    return {name: run(loss) for name, loss in LOSSES.items()}


def high_water() -> float:
    """MiB of this process's greatest resident set. (In a child, ru_maxrss begins with its parent's.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def peak(name: str) -> float:
    """MiB by which one pass raises the greatest resident set of this process."""
    contestants(64, WIDTH)[name]()  # threads, scratch and code are loaded
    once = contestants(PAIRS, WIDTH)[name]
    before = high_water()
    once()
    return high_water() - before


def peak_elsewhere(name: str) -> float:
    """The same in a fresh process: a greatest resident set never falls again."""
    command = [sys.executable, __file__, "--peak", name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(rounds: int = 21) -> float:
    """Print a line for time and one for memory; return the ratio of times."""
    runs = contestants(PAIRS, WIDTH)
    same(*(once() for once in runs.values()), name="clip backward")
    got = report("CLIP backward", take_turns(runs, rounds), "ours", "autograd", AIM)
    mine, theirs = (peak_elsewhere(name) for name in LOSSES)
    memory = f"ours {mine:.0f} MiB | autograd {theirs:.0f} MiB | ratio {mine / theirs:.2f} | aim {AIM_MEMORY}"
    print(f"  its peak memory | {memory} ({PAIRS} pairs of width {WIDTH}, {torch.get_num_threads()} threads)")
    return got


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print(peak(sys.argv[2]))
    else:
        main()
