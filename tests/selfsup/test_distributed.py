"""Two real processes. They take seconds to start, so one pair of them computes all that is compared."""

import pytest
import torch
from torch.nn.functional import batch_norm
from torch.testing import assert_close
from worked.selfsup import two_devices
from worked.selfsup.batch_norm import replace_batch_norm
from worked.selfsup.contrastive import nt_xent
from worked.selfsup.distributed import SyncBatchNorm, average_gradients, gather, sync_batch_norm
from worked.selfsup.processes import run_processes

F64 = torch.float64
ROUNDING = {"rtol": 0, "atol": 1e-12}  # float64, some thousand additions of numbers of order 1


def inputs():
    rng = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=rng, dtype=F64)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = {f"state.{key}": x for key, x in two_devices.network().state_dict().items()}
    sizes = (5, 3)  # statistics may come from unequal parts
    return [
        {"views": normal(2, 4, 3, 16, 16), "x": normal(b, 3, 4, 4) + 5, "up": normal(b, 3, 4, 4), **state}
        for b in sizes
    ]


@pytest.fixture(scope="module")
def parts():
    return inputs()


@pytest.fixture(scope="module")
def two(parts):
    return run_processes(two_devices.step, parts)


@pytest.fixture(scope="module")
def one(parts):
    return two_devices.whole(parts)


@pytest.mark.parametrize("name", [two_devices.RIGHT, "gathered, own anchors"])
def test_gathered_embeddings_give_the_gradient_of_one_process(two, one, name):
    for part in two:
        assert_close(part[name], one["gradient"], **ROUNDING)
        assert_close(part["loss"], one["loss"], **ROUNDING)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("not gathered", 0.05),
        ("put back, whole loss on each", 0.4),
        ("put back, own anchors", 0.02),
        (two_devices.LOCAL, 0.2),
    ],
)
def test_each_slip_is_seen(two, one, name, least):
    off = (two[0][name] - one["gradient"]).norm() / one["gradient"].norm()
    assert off > least


def test_rows_put_back_give_half_of_the_gradient(two, one):
    assert_close(2 * two[0]["put back, whole loss on each"], one["gradient"], **ROUNDING)


def test_batch_norm_over_processes(two, one):
    for name in ("y", "of_x"):
        assert_close(torch.cat([part[name] for part in two]), one[name], **ROUNDING)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (4, 3, 2, 5)])
def test_in_one_process_it_is_batch_norm(shape, rng):
    x = torch.randn(shape, generator=rng, dtype=F64).requires_grad_()
    weight, bias = torch.randn(2, 3, generator=rng, dtype=F64).requires_grad_()
    up = torch.randn(shape, generator=rng, dtype=F64)
    ours, theirs = sync_batch_norm(x, weight, bias), batch_norm(x, None, None, weight, bias, training=True)
    assert_close(ours, theirs, **ROUNDING)
    wanted = [x, weight, bias]
    for mine, other in zip(
        torch.autograd.grad(ours, wanted, up), torch.autograd.grad(theirs, wanted, up), strict=True
    ):
        assert_close(mine, other, **ROUNDING)
    assert torch.autograd.gradcheck(sync_batch_norm, (x, weight, bias))


def test_batch_norm_of_large_means_does_not_cancel(rng):
    x = torch.randn(64, 1, generator=rng) + 1e4
    one, zero = torch.ones(1), torch.zeros(1)
    assert abs(sync_batch_norm(x, one, zero).var(correction=0).item() - 1) < 1e-2


def test_one_process_gathers_itself_and_averages_nothing(rng):
    z = torch.randn(3, 2, generator=rng)
    assert gather(z) is z
    layer = torch.nn.Linear(2, 1)
    layer(z).sum().backward()
    before = layer.weight.grad.clone()
    average_gradients(layer)
    assert torch.equal(layer.weight.grad, before)


def test_own_anchors_of_one_process_are_nt_xent(rng, tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=(tmp_path / "meeting").as_uri(), rank=0, world_size=1
    )
    try:
        z1, z2 = torch.randn(2, 4, 3, generator=rng, dtype=F64)
        assert_close(two_devices.own_anchors(z1, z2, gather), nt_xent(z1, z2, two_devices.TAU), **ROUNDING)
        assert_close(gather(z1), z1, rtol=0, atol=0)
    finally:
        torch.distributed.destroy_process_group()


def test_synchronised_copies_keep_parameters_and_leave_the_network():
    plain = two_devices.network()
    synchronised = replace_batch_norm(plain, SyncBatchNorm)
    assert sum(isinstance(m, SyncBatchNorm) for m in synchronised.modules()) == 4
    assert not any(isinstance(m, SyncBatchNorm) for m in plain.modules())
    assert [p.shape for p in synchronised.parameters()] == [p.shape for p in plain.parameters()]


@pytest.mark.usefixtures("unhooked")
def test_rejects():
    with pytest.raises(ValueError, match="has no gradient"):
        average_gradients(torch.nn.Linear(2, 1))
