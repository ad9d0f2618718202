"""The Fréchet distance at 2,048 features: ours beside torchmetrics, in turn in one run, two threads.

Run ``python tests/bench/bench_frechet.py``: from given means and covariances, and from 500 samples on each
side, where the covariances have rank 499 and rows do with a matrix of 500 by 500.
"""

import warnings

import torch
from timing import report, same, take_turns
from torch import Tensor, nn
from worked.generative.frechet import frechet_distance, frechet_from_features, moments

WIDTH, MANY, FEW = 2048, 5000, 500
AIM_STATISTICS, AIM_FEW = 0.4, 0.1


class Same(nn.Module):
    """The network of a metric whose input is features already."""

    num_features = WIDTH

    def forward(self, x: Tensor) -> Tensor:
        return x


def features(n: int, shift: float, rng: torch.Generator) -> Tensor:
    """n rows of WIDTH correlated numbers, none below 0, as a network's last layer gives them."""
    mix = torch.randn(WIDTH, WIDTH, generator=rng, dtype=torch.float64) / WIDTH**0.5
    return (torch.randn(n, WIDTH, generator=rng, dtype=torch.float64) @ mix + shift).relu()


def main(rounds: int = 3) -> tuple[float, float]:
    """Print both lines; return both ratios. The answers are compared before anything is timed."""
    torch.set_num_threads(2)
    with (
        warnings.catch_warnings()
    ):  # of what PyTorch has deprecated since, and of ours: few samples on purpose
        warnings.simplefilter("ignore")
        from torchmetrics.image.fid import FrechetInceptionDistance, _compute_fid

        rng = torch.Generator().manual_seed(0)
        x, y = features(MANY, 0.0, rng), features(MANY, 0.1, rng)
        statistics = (*moments(x), *moments(y))
        few = {True: x[:FEW], False: y[:FEW]}
        metric = FrechetInceptionDistance(feature=Same(), normalize=True).set_dtype(torch.float64)

        def theirs() -> Tensor:
            metric.reset()
            for real, rows in few.items():
                metric.update(rows, real=real)
            return metric.compute()

        runs = {
            "ours": lambda: frechet_distance(*statistics),
            "torchmetrics": lambda: _compute_fid(*statistics),
        }
        same(runs["ours"](), runs["torchmetrics"](), relative=1e-9)
        first = report(
            "Fréchet distance, statistics",
            take_turns(runs, rounds, warm_up=1),
            "ours",
            "torchmetrics",
            AIM_STATISTICS,
        )
        runs = {"ours": lambda: frechet_from_features(few[True], few[False]), "torchmetrics": theirs}
        same(runs["ours"](), runs["torchmetrics"](), relative=1e-5)  # theirs loses half the digits: singular
        second = report(
            f"Fréchet distance, {FEW} samples",
            take_turns(runs, rounds, warm_up=1),
            "ours",
            "torchmetrics",
            AIM_FEW,
        )
    return first, second


if __name__ == "__main__":
    main()
