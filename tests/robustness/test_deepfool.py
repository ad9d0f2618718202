import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from worked.robustness.deepfool import deepfool, scores_and_slopes, step_to_border

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchattacks import DeepFool

ROUNDING = {"rtol": 1e-9, "atol": 1e-9}  # float64, a few thousand roundings of numbers of order 1
SHAPE = (2, 3, 4)


def curved(k, generator):
    """A small network whose scores are not affine, and a mean to be run in eval mode only."""
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(48, k)
    )
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=generator) / p[0].numel() ** 0.5
    return net.double()


def affine(k, generator):
    net = nn.Sequential(nn.Flatten(), nn.Linear(24, k))
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=generator)
    return net.double()


def pictures(n, generator):
    return torch.rand(n, *SHAPE, generator=generator, dtype=torch.float64)


def slow_step(f, slopes, label, norm):
    """The same from the paper, picture by picture and class by class."""
    steps = []
    for scores, slope, y in zip(f, slopes, label.tolist(), strict=True):
        ways = []
        for k in range(len(scores)):
            if k == y:
                continue
            w, gap = slope[k] - slope[y], abs(scores[k] - scores[y])
            if norm == "l2":
                ways.append((gap / w.square().sum().sqrt(), gap / w.square().sum() * w))
            else:
                ways.append((gap / w.abs().sum(), gap / w.abs().sum() * w.sign()))
        steps.append(min(ways, key=lambda way: way[0])[1])
    return torch.stack(steps)


@given(
    k=st.integers(2, 5), n=st.integers(1, 4), norm=st.sampled_from(["l2", "linf"]), seed=st.integers(0, 2**31)
)
def test_step_equals_the_formula_class_by_class(k, n, norm, seed):
    g = torch.Generator().manual_seed(seed)
    f = torch.randn(n, k, generator=g, dtype=torch.float64)
    slopes = torch.randn(n, k, *SHAPE, generator=g, dtype=torch.float64)
    label = torch.randint(k, (n,), generator=g)
    assert_close(step_to_border(f, slopes, label, norm), slow_step(f, slopes, label, norm), **ROUNDING)


def test_hand_values():
    f, zero = torch.tensor([[5.0, 0.0]]), torch.zeros(2)
    slopes = torch.stack([zero, torch.tensor([3.0, 4.0])]).reshape(1, 2, 1, 1, 2)
    label = torch.tensor([0])
    assert_close(step_to_border(f, slopes, label).flatten(), torch.tensor([0.6, 0.8]))
    assert_close(step_to_border(f, slopes, label, "linf").flatten(), torch.tensor([5 / 7, 5 / 7]))
    assert step_to_border(f, 0 * slopes, label).flatten().tolist() == [0, 0]  # no border anywhere


def test_takes_the_nearest_border_and_not_the_nearest_score():
    """Class 1 is closer in score, class 2 in distance."""
    f = torch.tensor([[3.0, 2.0, 0.0]])
    slopes = torch.tensor([[0.0, 0.0], [0.1, 0.0], [0.0, 30.0]]).reshape(1, 3, 1, 1, 2)
    assert_close(step_to_border(f, slopes, torch.tensor([0])).flatten(), torch.tensor([0.0, 0.1]))


@given(k=st.integers(2, 4), norm=st.sampled_from(["l2", "linf"]), seed=st.integers(0, 2**31))
def test_one_step_reaches_the_border_of_affine_scores_and_no_earlier(k, norm, seed):
    g = torch.Generator().manual_seed(seed)
    net, x = affine(k, g), pictures(6, g) * 4 - 2
    with torch.no_grad():
        label = net(x).argmax(1)
        r = deepfool(net, x, label, norm=norm, steps=1, overshoot=1e-6, clip=False) - x
        assert (net(x + r).argmax(1) != label).all()
        size = r.flatten(1).norm(dim=1) if norm == "l2" else r.flatten(1).abs().amax(1)
        for _ in range(20):  # nothing shorter crosses
            way = torch.randn(x.shape, generator=g, dtype=torch.float64)
            way = way / way.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1) if norm == "l2" else way.sign()
            assert (net(x + 0.999 * size.reshape(-1, 1, 1, 1) * way).argmax(1) == label).all()


def test_slopes_are_the_derivatives(rng):
    net, x = curved(3, rng).eval(), pictures(2, rng)
    f, slopes = scores_and_slopes(net, x)
    assert_close(f, net(x).detach(), **ROUNDING)
    for i in range(2):
        want = torch.autograd.functional.jacobian(lambda picture: net(picture[None])[0], x[i])
        assert_close(slopes[i], want, **ROUNDING)


@given(k=st.integers(2, 4), n=st.integers(1, 3), steps=st.integers(1, 6), seed=st.integers(0, 2**31))
def test_agrees_with_torchattacks(k, n, steps, seed):
    g = torch.Generator().manual_seed(seed)
    net, x = curved(k, g).eval(), pictures(n, g)
    label = net(x).argmax(1)
    if n > 1:
        label[0] = (label[0] + 1) % k  # one picture has another label already
    assert_close(deepfool(net, x, label, steps=steps), DeepFool(net, steps=steps)(x, label), **ROUNDING)


def test_pictures_do_not_depend_on_one_another(rng):
    net, x = curved(4, rng), pictures(5, rng)
    label = net.eval()(x).argmax(1)
    alone = torch.cat([deepfool(net, x[i : i + 1], label[i : i + 1]) for i in range(5)])
    assert_close(deepfool(net, x, label), alone, **ROUNDING)


def test_crosses_stays_in_the_pixel_range_and_leaves_all_as_found(rng):
    net, x = curved(3, rng), pictures(8, rng)
    net[4].bias.data -= net.eval()(x).detach().mean(0)  # no class wins everywhere
    net.train()[0].eval()
    before, modes = {k: v.clone() for k, v in net.state_dict().items()}, [m.training for m in net.modules()]
    kept = x.clone()
    with torch.no_grad():
        label = net.eval()(x).argmax(1)
    for part, mode in zip(net.modules(), modes, strict=True):
        part.training = mode
    net[0].weight.grad = torch.ones_like(net[0].weight)
    found = deepfool(net, x, label)
    assert found.min() >= 0
    assert found.max() <= 1
    assert [m.training for m in net.modules()] == modes
    assert (net[0].weight.grad == 1).all()
    assert net[4].weight.grad is None
    assert all((before[k] == v).all() for k, v in net.state_dict().items())
    assert (x == kept).all()
    assert not found.requires_grad
    assert (net.eval()(found).argmax(1) != label).all()


def test_another_label_comes_back_as_it_is(rng):
    net, x = curved(3, rng), pictures(3, rng)
    label = (net.eval()(x).argmax(1) + 1) % 3
    assert (deepfool(net, x, label) == x).all()


@pytest.mark.usefixtures("unhooked")
def test_rejects(rng):
    f, slopes, label = torch.ones(1, 2), torch.ones(1, 2, 1, 1, 3), torch.tensor([0])
    with pytest.raises(ValueError, match="got 'l1'"):
        step_to_border(f, slopes, label, "l1")
    with pytest.raises(ValueError, match="k >= 2"):
        step_to_border(f[:, :1], slopes[:, :1], label)
    with pytest.raises(ValueError, match=r"labels \(b,\)"):
        step_to_border(f, slopes, torch.tensor([0, 1]))
    net, x = affine(2, rng), pictures(1, rng)
    for bad in ({"steps": 0}, {"overshoot": -0.1}):
        with pytest.raises(ValueError, match="steps >= 1 and overshoot >= 0"):
            deepfool(net, x, label, **bad)
    with pytest.raises(ValueError, match="pixels"):
        deepfool(net, x + 1, label)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(
            lambda f, s, y: slow_step(f, s, y, "l2") * s.flatten(2).norm(dim=2)[0, 1], id="no square"
        ),
        pytest.param(lambda f, s, y: -slow_step(f, s, y, "l2"), id="away from the border"),
        pytest.param(lambda f, s, y: slow_step(f, s, y, "linf"), id="the other norm"),
    ],
)
def test_planted_errors_are_seen(wrong):
    f = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    slopes = torch.tensor([[0.0, 0.0], [3.0, 1.0]], dtype=torch.float64).reshape(1, 2, 1, 1, 2)
    y = torch.tensor([0])
    assert (wrong(f, slopes, y) - step_to_border(f, slopes, y)).abs().max() > 0.01
