import pytest
import torch
from worked.graphs.dense import product


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("n", "k", "m"), [(1, 1, 1), (5, 3, 4), (300, 64, 64), (64, 300, 16), (0, 3, 2), (2, 0, 3)]
)
def test_equals_the_product_of_whole_numbers(n, k, m, dtype, rng):
    """Sums of at most 300 products of at most 16 are whole and below 2^24: no rounding in either library."""
    a, b = (torch.randint(-4, 5, shape, generator=rng).to(dtype) for shape in ((n, k), (k, m)))
    want = (a.double() @ b.double()).to(dtype)
    with torch.no_grad():
        assert torch.equal(product(a, b), want)
        assert torch.equal(product(a.T.contiguous().T, b.T.contiguous().T), want)  # other strides
    assert torch.equal(product(a, b), want)


def test_rounds_like_float32(rng):
    """|fl(ab) - ab| <= gamma_k |a||b| entry by entry, gamma_k = k u / (1 - k u), u = 2^-24."""
    a, b = torch.randn(50, 64, generator=rng), torch.randn(64, 64, generator=rng)
    exact, size = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    with torch.no_grad():
        assert ((product(a, b) - exact).abs() <= 64 * 2**-24 / (1 - 64 * 2**-24) * size).all()


def test_gradients_still_flow(rng):
    a, b = torch.randn(3, 4, generator=rng).requires_grad_(), torch.randn(4, 2, generator=rng)
    (grad,) = torch.autograd.grad(product(a, b).sum(), a)
    torch.testing.assert_close(grad, b.sum(1).expand(3, 4))
