import pytest
import torch
from torch.testing import assert_close
from worked.multimodal.cosine import pull_back, unit_rows


def numerical(f, x, h=1e-6):
    """Central differences of a number, entry by entry; slow on purpose."""
    out = torch.empty_like(x)
    for k in range(x.numel()):
        e = torch.zeros_like(x).flatten()
        e[k] = h
        e = e.reshape(x.shape)
        out.view(-1)[k] = (f(x + e) - f(x - e)) / (2 * h)
    return out


def test_pull_back_is_the_slope_of_a_function_of_the_direction(rng):
    x, a = torch.randn(2, 4, 5, generator=rng, dtype=torch.float64)
    u, norm = unit_rows(x)
    want = numerical(lambda x: ((x / x.norm(dim=1, keepdim=True) * a) ** 2).sum(), x)
    # h^2 times a third derivative of order 10 / |x|^3, and 1e-16 / h
    assert_close(pull_back(x, norm, 2 * u * a**2), want, rtol=0, atol=1e-8)


def test_hand_value():
    x = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    u, norm = unit_rows(x)
    assert_close(u, torch.tensor([[0.6, 0.8]], dtype=torch.float64))
    assert norm.item() == 5
    got = pull_back(x, norm, torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    assert_close(got, torch.tensor([[0.128, -0.096]], dtype=torch.float64))


def test_the_answer_is_orthogonal_and_shrinks_with_length(rng):
    x, g = torch.randn(2, 6, 3, generator=rng, dtype=torch.float64)
    once = pull_back(x, unit_rows(x)[1], g)
    assert_close((once * x).sum(1), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-14)
    assert_close(pull_back(4 * x, unit_rows(4 * x)[1], g), once / 4, rtol=1e-12, atol=0)


def test_along_the_row_nothing_is_left(rng):
    x = torch.randn(6, 3, generator=rng, dtype=torch.float64)
    assert pull_back(x, unit_rows(x)[1], 7 * x).abs().max() < 1e-13


def test_agrees_with_autograd_through_normalize(rng):
    x, g = torch.randn(2, 6, 3, generator=rng, dtype=torch.float64)
    x.requires_grad_()
    (want,) = torch.autograd.grad(torch.nn.functional.normalize(x, dim=1), x, g)
    with torch.no_grad():
        assert_close(pull_back(x, unit_rows(x)[1], g), want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("bad", [0.0, torch.nan])
def test_rejects_a_row_without_direction(bad):
    x = torch.ones(3, 2)
    x[1] = bad
    with pytest.raises(ValueError, match="row 1"):
        unit_rows(x)
