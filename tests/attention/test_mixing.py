import pytest
import torch
from torch import nn
from torch.testing import assert_close
from worked.attention.mixing import additivity_gap, dependence, worth


def test_worth_agrees_with_forbidding(rng):
    scores = torch.randn(2, 5, 5, generator=rng, dtype=torch.float64)
    v = torch.randn(2, 5, 3, generator=rng, dtype=torch.float64)
    whole, got = scores.softmax(-1) @ v, worth(scores.softmax(-1), v)
    for j in range(5):
        left = scores.clone()
        left[..., j] = -torch.inf
        assert_close(got[:, :, j], whole - left.softmax(-1) @ v, rtol=0, atol=1e-12)


def test_hand_values():
    P, v = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0], [2.0]])
    assert worth(P, v).flatten().tolist() == [-1, 1]
    eye = dependence(lambda x: x, torch.ones(3, 4))
    assert_close(eye, 2 * torch.eye(3))
    assert additivity_gap(torch.square, torch.ones(2, 2), torch.ones(2, 2)) == 2


def test_a_token_whose_value_is_the_output_is_worth_nothing():
    v = torch.tensor([[1.0], [-1.0], [0.0]])
    P = torch.tensor([[0.05, 0.05, 0.9]])
    assert worth(P, v)[0, 2].abs() < 1e-6  # the largest weight


def test_dependence_agrees_with_differences(rng):
    weight = torch.randn(4, 3, 5, 2, generator=rng, dtype=torch.float64)  # i, out, j, in

    def layer(x):
        return torch.einsum("iojd, jd -> io", weight, x)

    got = dependence(layer, torch.randn(5, 2, generator=rng, dtype=torch.float64))
    for i in range(4):
        for j in range(5):
            assert (
                abs(got[i, j] - sum(weight[i, o, j, d] ** 2 for o in range(3) for d in range(2)) ** 0.5)
                < 1e-12
            )


def test_affine_maps_have_no_gap(rng):
    x, z = torch.randn(2, 6, 4, generator=rng, dtype=torch.float64)
    linear = nn.Linear(4, 3, dtype=torch.float64)
    assert additivity_gap(linear, x, z) < 1e-14
    assert additivity_gap(lambda t: linear(t).relu(), x, z) > 1e-3


def test_rejects():
    with pytest.raises(ValueError, match="weight of 1"):
        worth(torch.tensor([[1.0, 0.0]]), torch.ones(2, 1))
    with pytest.raises(ValueError, match="got"):
        dependence(lambda x: x.sum(1), torch.ones(3, 2))
