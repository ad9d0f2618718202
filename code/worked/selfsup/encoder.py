"""The small networks of this part: a convolutional encoder, and the two-layer heads that are put on it."""

from itertools import pairwise

from torch import nn

NORMS = ("batch", "group", "none")


def encoder(width: int = 32, features: int = 64, norm: str = "batch", channels: int = 3) -> nn.Sequential:
    """Images (n, channels, h, w) to features (n, features): three strided convolutions, then a mean.

    The convolutions are 3x3; each halves the side (widths width, 2 width, features) and is followed by the
    norm and a ReLU, so features are >= 0. norm: "batch", "group" (8 groups; nothing is shared between images)
    or "none". Pictures of 16 pixels and more. Known value: width 32, features 64 and batch norm have 56,736
    parameters. Raises ValueError on another norm.
    """
    widths = [channels, width, 2 * width, features]
    layers: list[nn.Module] = []
    for c_in, c_out in pairwise(widths):
        layers += [
            nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=norm == "none"),
            *_norm(norm, c_out, spatial=True),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def head(d_in: int, hidden: int, d_out: int, norm: str = "batch") -> nn.Sequential:
    """Features (n, d_in) to (n, d_out): linear, norm, ReLU, linear, as projectors and predictors are.

    Known value: d_in = hidden = d_out = 1 without norm has 4 parameters. Raises ValueError on another norm.
    """
    return nn.Sequential(
        nn.Linear(d_in, hidden, bias=norm == "none"),
        *_norm(norm, hidden, spatial=False),
        nn.ReLU(),
        nn.Linear(hidden, d_out),
    )


def _norm(norm: str, width: int, *, spatial: bool) -> list[nn.Module]:
    if norm not in NORMS:
        raise ValueError(f"norm is one of {', '.join(NORMS)}; got {norm!r}")
    if norm == "none":
        return []
    if norm == "group":
        return [nn.GroupNorm(8 if width % 8 == 0 else 1, width)]
    return [nn.BatchNorm2d(width) if spatial else nn.BatchNorm1d(width)]
