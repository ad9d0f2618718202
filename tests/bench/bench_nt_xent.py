"""NT-Xent, forward and backward, 512 pairs of width 128: ours beside lightly's, in turn in one run.

Run ``python tests/bench/bench_nt_xent.py``: one line with the medians and the median of the ratios.
"""

import warnings
from collections.abc import Callable

import torch
from timing import report, same, take_turns
from torch import Tensor
from worked.selfsup.contrastive import nt_xent

PAIRS, WIDTH, TAU, AIM, THREADS = 512, 128, 0.5, 0.6, 2


def contestants() -> dict[str, Callable[[], list[Tensor]]]:
    """Each runs forward and backward on the same embeddings, and returns the loss and both gradients."""
    with warnings.catch_warnings():  # of what its dependencies have deprecated since
        warnings.simplefilter("ignore")
        from lightly.loss import NTXentLoss
    rng = torch.Generator().manual_seed(0)
    z1, z2 = (torch.randn(PAIRS, WIDTH, generator=rng).requires_grad_() for _ in range(2))
    library = NTXentLoss(temperature=TAU)

    def run(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], list[Tensor]]:
        def once() -> list[Tensor]:
            value = loss(z1, z2)
            return [value, *torch.autograd.grad(value, [z1, z2])]

        return once

    return {"ours": run(lambda a, b: nt_xent(a, b, TAU)), "lightly": run(library)}


def main(rounds: int = 101) -> float:
    """Print the table line; return the median ratio."""
    torch.set_num_threads(THREADS)
    runs = contestants()
    same(runs["ours"](), runs["lightly"](), name="NT-Xent")
    return report("NT-Xent, 512 pairs", take_turns(runs, rounds), "ours", "lightly", AIM)


if __name__ == "__main__":
    main()
