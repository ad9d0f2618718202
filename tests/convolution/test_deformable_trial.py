import pytest
import torch
from torch import nn
from torch.testing import assert_close
from worked.convolution.deformable_trial import (
    DeformableNet,
    equal_width,
    parameters,
    resettled,
    run,
    score,
    turned_offsets,
)


@pytest.fixture
def quarter():
    """A quarter turn of points (y, x), as torch.rot90 turns a picture: what was at q comes to A q."""
    return torch.tensor([[[0.0, -1.0], [1.0, 0.0]]])


def test_zero_to_four_deformable_layers_start_as_one_function(rng):
    x = torch.randn(3, 1, 12, 12, generator=rng)
    outs = [DeformableNet(1, 5, 6, k, generator=torch.Generator().manual_seed(1)).eval()(x) for k in range(5)]
    for out in outs[1:]:
        assert_close(out, outs[0], rtol=0, atol=1e-5)


def test_parameters_by_hand():
    assert parameters(nn.Linear(2, 3)) == 9
    conv = (9 * 1 + 1) * 6 + 3 * (9 * 6 + 1) * 6
    assert parameters(DeformableNet(1, 5, 6, 0)) == conv + 4 * 12 + 7 * 5
    branch = 18 * (9 * 6 + 1)
    assert parameters(DeformableNet(1, 5, 6, 2)) == conv + 4 * 12 + 7 * 5 + 2 * branch


def test_equal_width_is_the_nearest():
    budget = parameters(DeformableNet(3, 6, 16, 0))
    assert equal_width(3, 6, budget, 0) == 16
    w = equal_width(3, 6, budget, 2)
    gaps = [abs(parameters(DeformableNet(3, 6, v, 2)) - budget) for v in (w - 1, w, w + 1)]
    assert gaps[1] == min(gaps)


def test_turned_offsets_by_hand(quarter):
    assert turned_offsets(2 * torch.eye(2)[None])[0, :2].tolist() == [-1, -1]
    assert turned_offsets(quarter)[0, :2].tolist() == [2, 0]  # (-1, -1) goes to (1, -1)


def test_told_of_a_quarter_turn_the_network_says_the_same(quarter, rng):
    net = DeformableNet(2, 5, 6, 0, generator=rng).eval()
    x = torch.randn(2, 2, 8, 8, generator=rng)
    turned, want = x.rot90(1, (2, 3)), net(x)
    told = [net(turned, linear=a.expand(2, -1, -1)) for a in (quarter, quarter.mT)]
    assert_close(told[0], want, rtol=0, atol=1e-5)
    assert (told[1] - want).abs().max() > 1e-3
    assert (net(turned) - want).abs().max() > 1e-3


def test_side_of_the_last_kernels():
    sides = [layer.weight.shape[-1] for layer in DeformableNet(1, 5, 6, 0, kernel=5, changed=2).layers]
    assert sides == [3, 3, 5, 5]
    assert [layer.weight.shape[-1] for layer in DeformableNet(1, 5, 6, 1, kernel=1).layers] == [3, 3, 3, 1]
    assert [layer.weight.shape[-1] for layer in DeformableNet(1, 5, 6, 0, kernel=5).layers] == [3] * 4


def test_offsets_can_be_changed(rng):
    x, net = torch.randn(3, 1, 8, 8, generator=rng), DeformableNet(1, 5, 6, 2, generator=rng).eval()
    plain = net(x)  # branches start at zero
    with torch.no_grad():
        for layer in net.layers[2:]:
            layer.branch_weight.normal_(0, 0.3, generator=rng)
    assert (net(x) - plain).abs().max() > 1e-3
    assert_close(net(x, change=lambda p: p), net(x), rtol=0, atol=0)
    assert_close(net(x, change=torch.zeros_like), plain, rtol=0, atol=1e-6)


def test_resettled_has_the_statistics_of_its_pictures(rng):
    x, net = torch.rand(50, 1, 8, 8, generator=rng), DeformableNet(1, 5, 6, 1, generator=rng).eval()
    new = resettled(net, x)
    first = net.layers[0](x - 0.5)
    assert_close(new.norms[0].running_mean, first.mean((0, 2, 3)))
    assert_close(new.norms[0].running_var, first.var((0, 2, 3)))
    assert not net.norms[0].running_mean.any()  # the old one stays
    assert not new.training
    assert_close(new.head.weight, net.head.weight, rtol=0, atol=0)


def test_run_learns_and_scores(rng):
    x = torch.rand(64, 1, 8, 8, generator=rng) / 4
    y = torch.arange(64) % 2
    x[y == 1, :, :4] += 0.5
    for k in (0, 2):
        net = DeformableNet(1, 2, 4, k, generator=rng)
        trial = run(net, (x, y), {"again": (x, y)}, steps=60, generator=rng, batch=64)
        assert trial.scores["train"] == trial.scores["again"] == score(net, x, y)
        assert trial.scores["train"][1] > 0.9
        assert trial.seconds > 0
        assert not trial.net.training


def test_rejects():
    with pytest.raises(ValueError, match="0 to 4 layers can be deformable, got 5"):
        DeformableNet(1, 2, 4, 5)
