"""Small models for the tests of attacks, and the library's attacks with a seed."""

import contextlib
import io
import warnings

import torch
from torch import nn

TOLERANCE = {
    "rtol": 0,
    "atol": 1e-8,
}  # float64; the l2 attack of torchattacks adds 1e-10 to each gradient's norm


def network(rng, c, side, dtype=torch.float64):
    """A convolution, tanh (smooth, so that no gradient is zero by accident), and four logits."""
    model = nn.Sequential(nn.Conv2d(c, 5, 3), nn.Tanh(), nn.Flatten(), nn.Linear(5 * (side - 2) ** 2, 4))
    with torch.no_grad():
        for p in model.to(dtype).parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=dtype) / 3)
    return model.eval()


class ModeSensitive(nn.Module):
    """Batch norm and dropout, a parameter that is frozen, and an exception after so many calls."""

    def __init__(self, rng, fail_after=None):
        super().__init__()
        self.norm, self.dropout, self.fail_after, self.calls = (
            nn.BatchNorm1d(4),
            nn.Dropout(0.5),
            fail_after,
            0,
        )
        self.weight = nn.Parameter(torch.randn(4, 3, generator=rng))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        self.calls += 1
        if self.fail_after is not None and self.calls > self.fail_after:
            raise RuntimeError("no more")
        return self.dropout(self.norm(x)) @ self.weight * self.scale


def state(model):
    """All that an attack must not change, as plain values."""
    return {
        "values": {key: value.tolist() for key, value in model.state_dict().items()},
        "modes": [part.training for part in model.modules()],
        "gradients": [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
        "wanted": [p.requires_grad for p in model.parameters()],
    }


def library(name, model, x, y, seed, **options):
    """The answer of torchattacks' attack of that name, its random numbers from the seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchattacks

        attack = getattr(torchattacks, name)(model, **options)
        with torch.random.fork_rng(), contextlib.redirect_stdout(io.StringIO()):
            torch.manual_seed(seed)
            return attack(x, y)
