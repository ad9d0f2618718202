import pytest
import torch
from torch import nn
from torch.testing import assert_close
from worked.robustness.normals import border_normals, energy, random_normals, shuffled_normals, spectrum

ROUNDING = {"rtol": 1e-9, "atol": 1e-9}


def affine(k, d, rng):
    net = nn.Sequential(nn.Flatten(), nn.Linear(d, k)).double()
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=rng, dtype=torch.float64)
    return net


def test_two_affine_classes_have_one_normal(rng):
    net, x = affine(2, 6, rng), torch.randn(9, 1, 2, 3, generator=rng, dtype=torch.float64)
    f = net(x).detach()
    normals, rho, crossed = border_normals(net, x, f.argmax(1))
    assert crossed.all()
    w = (net[1].weight[1] - net[1].weight[0]).detach()
    toward = torch.where(f.argmax(1) == 0, 1, -1)[:, None]  # class 1 lies along w, class 0 against it
    assert_close(normals, toward * w / w.norm(), **ROUNDING)
    assert_close(rho, (f[:, 1] - f[:, 0]).abs() / w.norm(), **ROUNDING)


def test_a_picture_that_does_not_cross_is_left_out():
    """The scores of the second picture are constant, so that it has nowhere to go."""

    class Half(nn.Module):
        def forward(self, x):
            bright = x.sum((1, 2, 3))
            return torch.stack([torch.where(x[:, 0, 0, 0] > 5, 1.0, bright), 0 * bright], 1)

    x = torch.full((2, 1, 1, 2), 0.5)
    x[1] = 9.0
    normals, rho, crossed = border_normals(Half(), x, torch.tensor([0, 0]))
    assert crossed.tolist() == [True, False]
    assert_close(normals, torch.full((1, 2), -(0.5**0.5)))
    assert_close(rho, torch.tensor([0.5**0.5]))


def test_spectrum_by_hand():
    one = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    shares, directions = spectrum(one.repeat(3, 1))
    assert_close(shares, torch.tensor([1.0, 0.0], dtype=torch.float64), **ROUNDING)
    assert_close(directions[0].abs(), one[0], **ROUNDING)
    assert_close(spectrum(torch.eye(4))[0], torch.full((4,), 0.25))


def test_shares_add_up_and_are_mean_squares(rng):
    normals = random_normals(20, 7, rng).double()
    normals = normals / normals.norm(dim=1, keepdim=True)
    shares, directions = spectrum(normals)
    assert_close(shares.sum(), torch.ones((), dtype=torch.float64), **ROUNDING)
    slow = torch.stack([torch.stack([(n @ v) ** 2 for n in normals]).mean() for v in directions])
    assert_close(shares, slow, **ROUNDING)
    assert (shares.diff() <= 0).all()
    for m in (1, 3, 7):
        assert abs(energy(normals, directions[:m]) - shares[:m].sum().item()) < 1e-9
    turn = torch.linalg.qr(torch.randn(7, 7, generator=rng, dtype=torch.float64))[0]
    assert_close(spectrum(normals @ turn)[0], shares, **ROUNDING)  # no direction is special
    u = random_normals(1, 7, rng).double()
    assert energy(normals, u / u.norm()) <= shares[0]


def test_random_normals_have_no_favourite(rng):
    n, d = 4000, 5
    normals = random_normals(n, d, rng)
    assert_close(normals.norm(dim=1), torch.ones(n))
    # (n . e)^2 has variance 2 (d - 1) / (d^2 (d + 2)); five standard errors
    error = (2 * (d - 1) / (d**2 * (d + 2)) / n) ** 0.5
    assert ((normals**2).mean(0) - 1 / d).abs().max() < 5 * error


def test_shuffling_keeps_each_rows_numbers(rng):
    normals = random_normals(30, 40, rng)
    mixed = shuffled_normals(normals, rng)
    assert_close(mixed.sort(1).values, normals.sort(1).values, rtol=0, atol=0)
    moved = (mixed != normals).double().mean(1)
    assert moved.min() > 0.7  # every row, and not in the same order:
    same = torch.arange(40.0).repeat(30, 1)
    rows = shuffled_normals(same, rng)
    assert len({tuple(row) for row in rows.tolist()}) == 30


@pytest.mark.usefixtures("unhooked")
def test_rejects(rng):
    net, x = affine(2, 6, rng), torch.randn(4, 1, 2, 3, generator=rng, dtype=torch.float64)
    label = net(x).argmax(1)
    with pytest.raises(ValueError, match="4 of 4 are not"):
        border_normals(net, x, 1 - label)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).double()
    flat[1].weight.data.zero_()
    with pytest.raises(ValueError, match="none of 4 pictures crosses"):
        border_normals(flat, x, flat(x).argmax(1))
    with pytest.raises(ValueError, match="rows of length 1"):
        spectrum(torch.ones(2, 3))
    with pytest.raises(ValueError, match="not orthonormal: off by 1"):
        energy(torch.eye(2), torch.tensor([[1.0, 1.0]]))
    with pytest.raises(ValueError, match="got 0, 3"):
        random_normals(0, 3, rng)
