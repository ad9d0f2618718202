"""Numbers that chapters and tests report: largest errors, means over seeds with their error, accuracy.

Everything is computed in float64.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor


def max_abs(x: Num[Tensor, " *shape"]) -> float:
    """The largest absolute value; nan if any value is nan. Known value: max_abs([1, -3]) = 3.

    Raises ValueError on an empty tensor: nothing compared is no agreement.
    """
    if x.numel() == 0:
        raise ValueError(f"max_abs of an empty tensor, shape {tuple(x.shape)}")
    return float(x.detach().abs().max())


def mean_and_standard_error(values: Sequence[float] | Float[Tensor, " n"]) -> tuple[float, float]:
    r"""The mean of n independent values and its standard error.

    .. math:: \bar x = \frac1n \sum_i x_i, \qquad s/\sqrt n, \quad s^2 = \frac1{n-1} \sum_i (x_i - \bar x)^2

    Known value: (1, 2, 3) gives 2 and 1/sqrt(3). Raises ValueError if n < 2.
    """
    x = _sample(values)
    return x.mean().item(), (x.std() / math.sqrt(len(x))).item()


def confidence_interval(
    values: Sequence[float] | Float[Tensor, " n"], level: float = 0.95
) -> tuple[float, float]:
    """Student's interval for the mean of n independent, nearly normal values: a score at n seeds.

    Known value: (1, 2, 3) at 95 % gives 2 -+ 4.303/sqrt(3). Raises ValueError if n < 2 or level is outside
    (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"the level lies between 0 and 1, got {level}")
    from scipy.stats import t as student  # comes with scikit-learn; a second to import, and only needed here

    mean, error = mean_and_standard_error(values)
    reach = float(student.ppf((1 + level) / 2, len(values) - 1)) * error
    return mean - reach, mean + reach


def effect_size(a: Sequence[float] | Float[Tensor, " n"], b: Sequence[float] | Float[Tensor, " m"]) -> float:
    r"""Cohen's d: how many pooled standard deviations the mean of a lies above that of b.

    .. math:: d = \frac{\bar a - \bar b}{s}, \qquad s^2 = \frac{(n-1) s_a^2 + (m-1) s_b^2}{n + m - 2}

    Known value: (1, 2, 3) against (0, 1, 2) gives 1. Without any spread: 0 for equal means, else
    infinite. Raises ValueError if n < 2 or m < 2. Source: Cohen 1988, Statistical Power Analysis, sec. 2.2.
    """
    x, y = _sample(a), _sample(b)
    n, m = len(x), len(y)
    difference = (x.mean() - y.mean()).item()
    spread = math.sqrt(((n - 1) * x.var() + (m - 1) * y.var()).item() / (n + m - 2))
    if spread == 0:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / spread


def accuracy(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> float:
    """The share of rows whose largest logit is at the label. Known value: chance is 1/k.

    Raises ValueError without rows.
    """
    if len(logits) == 0:
        raise ValueError("accuracy of no predictions")
    return (logits.argmax(1) == labels).double().mean().item()


def _sample(values: Sequence[float] | Tensor) -> Tensor:
    x = torch.as_tensor(values, dtype=torch.float64).detach().cpu()
    if x.ndim != 1 or len(x) < 2:
        raise ValueError(f"need at least two values in a row, got shape {tuple(x.shape)}")
    return x
