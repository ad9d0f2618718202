import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm
from torch.testing import assert_close
from worked.selfsup.batch_norm import (
    DeviceBatchNorm,
    across_devices,
    device_batch_norm,
    on_devices,
)
from worked.selfsup.encoder import encoder

F64 = torch.float64
CLOSE = {"rtol": 1e-11, "atol": 1e-12}  # float64 means of a hundred numbers of order 1


def slow(x, weight, bias, devices, eps):
    """One device after another, one channel after another."""
    y = torch.empty_like(x)
    each = len(x) // devices
    for r in range(devices):
        rows = slice(r * each, (r + 1) * each)
        for c in range(x.shape[1]):
            part = x[rows, c]
            variance = ((part - part.mean()) ** 2).mean()
            y[rows, c] = weight[c] * (part - part.mean()) / (variance + eps).sqrt() + bias[c]
    return y


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("places", [(), (5,), (4, 3)])
def test_equals_the_formula_device_by_device(devices, places, rng):
    x = torch.randn(6, 2, *places, generator=rng, dtype=F64)
    weight, bias = torch.randn(2, 2, generator=rng, dtype=F64)
    got = device_batch_norm(x, weight, bias, devices, 1e-3)
    assert_close(got, slow(x, weight, bias, devices, 1e-3), **CLOSE)


def test_hand_value():
    x = torch.tensor([0.0, 2, 10, 12])[:, None]
    one, zero = torch.ones(1), torch.zeros(1)
    assert_close(device_batch_norm(x, one, zero, 2, 1e-12).flatten(), torch.tensor([-1.0, 1, -1, 1]))


def test_one_device_is_batch_norm_and_devices_do_not_see_one_another(rng):
    x = torch.randn(6, 3, 2, 2, generator=rng, dtype=F64)
    weight, bias = torch.randn(2, 3, generator=rng, dtype=F64)
    whole = batch_norm(x, None, None, weight, bias, training=True, eps=1e-5)
    assert_close(device_batch_norm(x, weight, bias), whole, **CLOSE)
    apart = torch.cat([device_batch_norm(part, weight, bias) for part in x.split(2)])
    assert_close(device_batch_norm(x, weight, bias, 3), apart, **CLOSE)


def test_gradient(rng):
    x = torch.randn(4, 2, 3, generator=rng, dtype=F64).requires_grad_()
    weight, bias = torch.randn(2, 2, generator=rng, dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(lambda *a: device_batch_norm(*a, 2), (x, weight, bias))


def test_a_network_on_one_device_is_the_network_and_in_eval_mode_always(rng):
    net, x = encoder(width=4, features=8), torch.randn(6, 3, 16, 16, generator=rng)
    assert_close(on_devices(net, 1)(x), net(x), rtol=0, atol=0)
    several = on_devices(net, 3)
    assert sum(isinstance(m, DeviceBatchNorm) for m in several.modules()) == 3
    assert not torch.allclose(several(x), on_devices(net, 1)(x), atol=1e-2)
    net.eval()
    assert_close(on_devices(net, 3)(x), net(x), rtol=0, atol=0)
    assert not any(isinstance(m, DeviceBatchNorm) for m in net.modules())  # the original is as it was


def test_running_averages_are_those_of_the_whole_batch(rng):
    norm, x = nn.BatchNorm1d(2), torch.randn(6, 2, generator=rng) + 3
    layer = DeviceBatchNorm(norm, 3)
    layer(x)
    assert_close(norm.running_mean, 0.1 * x.mean(0))


def test_shuffling_is_undone(rng):
    order, back = across_devices(12, 3, rng)
    assert sorted(order.tolist()) == list(range(12))
    assert order[back].tolist() == list(range(12))


@pytest.mark.usefixtures("unhooked")
def test_rejects(rng):
    x, c = torch.ones(6, 2), torch.ones(2)
    for devices in (0, 4):
        with pytest.raises(ValueError, match="6 images"):
            device_batch_norm(x, c, c, devices)
        with pytest.raises(ValueError, match="6 images"):
            across_devices(6, devices, rng)


def test_planted_error_is_seen(rng):
    """The unbiased variance, which belongs to the running average, is off by b / (b - 1) under the root."""
    x, one, zero = (
        torch.randn(4, 1, generator=rng, dtype=F64),
        torch.ones(1).double(),
        torch.zeros(1).double(),
    )
    parts = x.split(2)
    wrong = torch.cat([(p - p.mean()) / p.std() for p in parts])
    assert (device_batch_norm(x, one, zero, 2) - wrong).abs().max() > 0.2
