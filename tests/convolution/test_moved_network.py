import math

import pytest
import torch
from torch.testing import assert_close
from worked.convolution.moved import inverse
from worked.convolution.moved_network import (
    WhatMoved,
    correlation,
    decode,
    encode,
    motion_loss,
    standardise,
)
from worked.convolution.moved_pairs import random_motion


def test_code_of_no_motion_and_back_again(rng):
    assert encode(torch.zeros(1, 4))[0].tolist() == [0, 0, 1, 0, 0]
    motion = random_motion(50, rng, angle=3.1, zoom=1.0).double()
    assert_close(decode(encode(motion)), motion, rtol=0, atol=1e-10)
    longer = encode(motion) * torch.tensor([1, 1, 0.3, 0.3, 1])  # a length other than 1 is the same angle
    assert_close(decode(longer), motion, rtol=0, atol=1e-10)


def test_correlation_is_all_scalar_products(rng):
    a, b = torch.randn(2, 2, 3, 2, 4, generator=rng)
    got = correlation(a, b)
    for n in range(8):
        for m in range(8):
            want = (a[:, :, n // 4, n % 4] * b[:, :, m // 4, m % 4]).sum(dim=1)
            assert_close(got[:, n, m], want)


def test_network_is_odd_under_swapping_and_blind_to_gain_and_offset(rng):
    torch.manual_seed(0)
    network = WhatMoved(size=32).double()
    first, second = torch.rand(2, 3, 32, 32, generator=rng, dtype=torch.float64)
    code, swapped = network(first, second), network(second, first)
    sign = torch.tensor([-1.0, -1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
    assert_close(swapped, sign * code, rtol=0, atol=1e-12)
    assert_close(decode(swapped), inverse(decode(code)), rtol=0, atol=1e-9)
    assert_close(network(0.3 * first + 0.5, 2 * second), code, rtol=0, atol=1e-10)
    assert code.abs().min() > 0  # not odd because it is nothing


def test_standardise(rng):
    x = standardise(torch.rand(4, 8, 8, generator=rng))
    assert_close(x.mean(dim=(1, 2)), torch.zeros(4), rtol=0, atol=1e-6)
    assert_close(x.std(dim=(1, 2)), torch.ones(4))
    assert_close(standardise(torch.ones(1, 8, 8)), torch.zeros(1, 8, 8))


def test_loss_by_hand():
    code = encode(torch.zeros(1, 4)) + torch.tensor([[0.0, 0.0, 0.0, 0.5, 0.0]])
    assert motion_loss(code, torch.zeros(1, 4)).item() == pytest.approx(4 * 0.25 / 5)


def test_gradient_reaches_every_parameter(rng):
    torch.manual_seed(0)
    network = WhatMoved(size=32)
    first, second = torch.rand(2, 4, 32, 32, generator=rng)
    motion_loss(network(first, second), random_motion(4, rng)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    assert math.isfinite(sum(p.grad.abs().sum().item() for p in network.parameters()))
