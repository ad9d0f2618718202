import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.robustness.ball import NORMS, length, nearest, project, project_ball, random_start, steepest

F64 = torch.float64
ROUNDING = 1e-12  # of float64 numbers below ten, a few operations
cases = {
    "n": st.integers(1, 3),
    "dims": st.lists(st.integers(1, 4), min_size=1, max_size=3),
    "epsilon": st.one_of(st.just(0.0), st.floats(1e-3, 4)),
    "norm": st.sampled_from(NORMS),
    "seed": st.integers(0, 2**31),
}


def drawn(n, dims, seed):
    rng = torch.Generator().manual_seed(seed)
    x = (1.4 * torch.rand(n, *dims, generator=rng, dtype=F64) - 0.2).clamp(0, 1)  # many pixels at 0 and 1
    return x, x + 3 * torch.randn(n, *dims, generator=rng, dtype=F64), rng


def slow_project_ball(delta, epsilon, norm):
    """One number at a time."""
    out = []
    for row in delta.flatten(1).tolist():
        if norm == "linf":
            out.append([min(max(v, -epsilon), epsilon) for v in row])
        else:
            size = sum(v * v for v in row) ** 0.5
            out.append([v * epsilon / size if size > epsilon else v for v in row])
    return torch.tensor(out, dtype=delta.dtype).reshape(delta.shape)


@given(**cases)
def test_equals_the_definition_number_by_number(n, dims, epsilon, norm, seed):
    x, z, _ = drawn(n, dims, seed)
    want = slow_project_ball(z - x, epsilon, norm)
    assert_close(project_ball(z - x, epsilon, norm), want, rtol=0, atol=ROUNDING)
    assert_close(project(z, x, epsilon, norm), (x + want).clamp(0, 1), rtol=0, atol=ROUNDING)


def test_hand_values():
    delta = torch.tensor([[3.0, -4.0]])
    assert length(delta, "linf").tolist() == [4]
    assert length(delta, "l2").tolist() == [5]
    assert project_ball(delta, 2.5, "linf").tolist() == [[2.5, -2.5]]
    assert project_ball(delta, 2.5, "l2").tolist() == [[1.5, -2.0]]
    assert steepest(delta, "linf").tolist() == [[1, -1]]
    assert_close(steepest(delta, "l2"), torch.tensor([[0.6, -0.8]]))
    x, z = torch.zeros(1, 2), torch.tensor([[-0.3, 0.4]])
    assert_close(project(z, x, 0.25, "linf"), torch.tensor([[0, 0.25]]))
    assert_close(project(z, x, 0.25, "l2"), torch.tensor([[0, 0.2]]))
    assert_close(nearest(z, x, 0.25), torch.tensor([[0, 0.25]]))


@given(**cases)
def test_inside_both_and_what_is_inside_stays(n, dims, epsilon, norm, seed):
    x, z, rng = drawn(n, dims, seed)
    points = [
        project(z, x, epsilon, norm),
        project(x + random_start(x, epsilon, norm, rng), x, epsilon, norm),
    ]
    if norm == "l2":
        points.append(nearest(z, x, epsilon))
    for p in points:
        assert 0 <= p.min() <= p.max() <= 1
        assert (length(p - x, norm) <= epsilon + ROUNDING).all()
        assert_close(project(p, x, epsilon, norm), p, rtol=0, atol=ROUNDING)


@given(**cases)
def test_examples_do_not_touch_one_another(n, dims, epsilon, norm, seed):
    x, z, _ = drawn(n, dims, seed)
    alone = torch.cat([project(z[i : i + 1], x[i : i + 1], epsilon, norm) for i in range(n)])
    assert_close(project(z, x, epsilon, norm), alone, rtol=0, atol=ROUNDING)


@given(**cases)
def test_no_other_point_is_nearer(n, dims, epsilon, norm, seed):
    """Random points of the ball and the pixel range: none is nearer than the projection that claims to be."""
    x, z, rng = drawn(n, dims, seed)
    ours = project(z, x, epsilon, norm) if norm == "linf" else nearest(z, x, epsilon)
    for towards in (ours, z):
        for _ in range(10):
            shift = random_start(x, epsilon, norm, rng) * torch.rand((), generator=rng, dtype=F64)
            other = project(towards + shift, x, epsilon, norm)
            assert (length(z - ours, "l2") <= length(z - other, "l2") + 1e-9).all()


@given(**cases)
def test_steepest_reaches_the_dual_norm_and_nothing_more(n, dims, epsilon, norm, seed):
    x, z, rng = drawn(n, dims, seed)
    g = z - x
    dual = g.flatten(1).abs().sum(1) if norm == "linf" else length(g, "l2")
    assert_close((g * steepest(g, norm)).flatten(1).sum(1), dual, rtol=1e-12, atol=0)
    other = random_start(x, 1.0, norm, rng)
    assert ((g * other).flatten(1).sum(1) <= dual + ROUNDING).all()
    assert (length(steepest(g, norm), norm) <= 1 + ROUNDING).all()


@pytest.mark.parametrize("norm", NORMS)
def test_zero_gradient_and_zero_budget(norm, rng):
    x = torch.rand(2, 3, generator=rng)
    assert_close(steepest(torch.zeros_like(x), norm), torch.zeros_like(x))
    assert_close(project(x + 1, x, 0.0, norm), x)
    assert_close(project(x, x, 0.0, norm), x)
    assert random_start(x, 0.0, norm, rng).abs().max() == 0


def test_nearest_is_nearer_than_clipping_after_scaling():
    x, z = torch.zeros(1, 2, dtype=F64), torch.tensor([[-0.3, 0.4]], dtype=F64)
    assert length(z - nearest(z, x, 0.25), "l2") < length(z - project(z, x, 0.25, "l2"), "l2") - 0.02


@pytest.mark.parametrize("norm", NORMS)
def test_gradient(norm, rng):
    """Away from the edges of ball and range the projection is smooth."""
    x = 0.4 + 0.2 * torch.rand(2, 3, generator=rng, dtype=F64)
    z = (x + torch.randn(x.shape, generator=rng, dtype=F64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: project(z, x, 0.1, norm), z)


def test_rejects(rng):
    x = torch.rand(2, 3, generator=rng)
    for call in (
        lambda: length(x, "l1"),
        lambda: project_ball(x, 0.1, "L2"),
        lambda: steepest(x, "inf"),
        lambda: random_start(x, 0.1, "max", rng),
    ):
        with pytest.raises(ValueError, match="one of linf, l2; got"):
            call()
    for epsilon in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"want a finite epsilon >= 0, got {epsilon}"):
            project_ball(x, epsilon, "l2")
    for bad in (x + 1, x - 1, x * float("nan")):
        with pytest.raises(ValueError, match=r"want pixels in \[0, 1\]"):
            project(x, bad, 0.1, "linf")
