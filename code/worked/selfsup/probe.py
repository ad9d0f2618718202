"""How good is a representation? Nearest neighbours and a linear classifier on frozen features."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def knn_accuracy(
    train_z: Float[Tensor, "n d"],
    train_y: Int[Tensor, " n"],
    test_z: Float[Tensor, "m d"],
    test_y: Int[Tensor, " m"],
    k: int = 5,
) -> float:
    """Share of test points whose k nearest training points, by cosine, vote for their label.

    Votes weigh equally; a tie goes to the smaller label. Normalising blows tiny differences up, so features
    that have nearly collapsed can still score: look at `worked.selfsup.spread.spread` too.
    Known value: test points that are training points score 1 with k = 1. Raises ValueError unless 1 <= k <=
    n. Source: Wu et al. 2018, arXiv:1805.01978, sec. 3.4, with equal weights.
    """
    if not 1 <= k <= len(train_z):
        raise ValueError(f"need 1 <= k <= {len(train_z)}, got k={k}")
    u, v = F.normalize(train_z, dim=1), F.normalize(test_z, dim=1)
    near = torch.cat([(part @ u.T).topk(k, dim=1).indices for part in v.split(1024)])  # (m, k)
    votes = F.one_hot(train_y[near], int(train_y.max()) + 1).sum(1)  # (m, classes)
    return (votes.argmax(1) == test_y).double().mean().item()


def linear_probe(
    train_z: Float[Tensor, "n d"],
    train_y: Int[Tensor, " n"],
    test_z: Float[Tensor, "m d"],
    test_y: Int[Tensor, " m"],
    ridge: float = 1e-2,
) -> float:
    r"""Accuracy of a linear classifier on frozen features: ridge regression onto one-hot labels.

    .. math:: W = (Z^\top Z / n + \lambda I)^{-1} Z^\top Y / n, \qquad \hat y = \arg\max_k (z W)_k

    Z holds features standardised with the training set's mean and deviation, and Y the centred labels. It is
    exact and needs no learning rate, so that two probes differ by their features alone.
    Known value: features equal to the one-hot labels score 1. Raises ValueError unless ridge > 0.
    Source: Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, sec. 4.2.
    """
    if ridge <= 0:
        raise ValueError(f"need ridge > 0, got {ridge}")
    mean, deviation = train_z.double().mean(0), train_z.double().std(0, correction=0)
    deviation = deviation.clamp(min=1e-12 * deviation.max().clamp(min=1e-300))
    z, t = (train_z.double() - mean) / deviation, (test_z.double() - mean) / deviation
    y = F.one_hot(train_y, int(train_y.max()) + 1).double()
    y = y - y.mean(0)
    n, d = z.shape
    gram = z.T @ z / n + ridge * torch.eye(d, dtype=z.dtype, device=z.device)
    weight = torch.linalg.solve(gram, z.T @ y / n)  # (d, classes)
    prior = F.one_hot(train_y).double().mean(0)
    return ((t @ weight + prior).argmax(1) == test_y).double().mean().item()
