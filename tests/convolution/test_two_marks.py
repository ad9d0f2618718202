import pytest
import torch
from worked.convolution.two_marks import FAR, NEAR, two_marks


def test_without_noise_two_marks_stand_at_their_distances(rng):
    images, near, far = two_marks(200, rng=rng, noise=0.0)
    assert set(images.sum((1, 2, 3)).tolist()) == {-18.0, 0.0, 18.0}
    grid = torch.arange(36) - 17.5
    distance = torch.hypot(grid[:, None], grid)
    for image, a, b in zip(images[:, 0], near, far, strict=True):
        assert image.unique().tolist() in ([-1, 0], [0, 1], [-1, 0, 1])
        inner = image[distance < 8]
        outer = image[distance >= 8]
        assert inner.sum() == 9 * (2 * a - 1)
        assert outer.sum() == 9 * (2 * b - 1)
        y, x = (image * (distance < 8)).nonzero().double().mean(0) - 17.5
        assert torch.hypot(y, x) <= NEAR[1] + 0.5**0.5
        y, x = (image * (distance >= 8)).nonzero().double().mean(0) - 17.5
        assert FAR[0] - 0.5**0.5 <= torch.hypot(y, x) <= FAR[1] + 0.5**0.5


def test_signs_are_fair_and_independent(rng):
    """Within four standard errors of n fair coins."""
    n = 4000
    _, near, far = two_marks(n, rng=rng)
    for coin in (near, far, near ^ far):
        assert abs(coin.double().mean() - 0.5) < 4 * 0.5 / n**0.5


def test_a_seed_makes_the_same_pictures():
    a, b = (two_marks(3, rng=torch.Generator().manual_seed(5))[0] for _ in range(2))
    assert torch.equal(a, b)


@pytest.mark.parametrize(("n", "size"), [(0, 36), (4, 34)])
def test_rejects(n, size, rng):
    with pytest.raises(ValueError, match=f"got n={n}, size={size}"):
        two_marks(n, rng=rng, size=size)
