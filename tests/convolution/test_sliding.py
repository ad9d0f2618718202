import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from worked.convolution.sliding import crop_by_crop, crops, slid


def networks(c=1):
    """Networks and the side of the crops they take."""
    return {
        "one layer": (6, nn.Sequential(nn.Flatten(), nn.Linear(36 * c, 3))),
        "two layers": (6, nn.Sequential(nn.Conv2d(c, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))),
        "deep head": (
            6,
            nn.Sequential(nn.Conv2d(c, 2, 3), nn.Flatten(), nn.Linear(32, 4), nn.Tanh(), nn.Linear(4, 3)),
        ),
        "pooled": (
            8,
            nn.Sequential(nn.Conv2d(c, 2, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)),
        ),
        "strided": (
            9,
            nn.Sequential(nn.Conv2d(c, 2, 3, stride=2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3)),
        ),
    }


def seeded(network, rng):
    for p in network.parameters():
        p.data = torch.randn(p.shape, generator=rng, dtype=torch.float64)
    return network


def one_by_one(network, x, size, step):
    """Cut, classify, put in place; slow on purpose."""
    rows, columns = range(0, x.shape[2] - size + 1, step), range(0, x.shape[3] - size + 1, step)
    scores = [[network(x[:, :, i : i + size, j : j + size]) for j in columns] for i in rows]
    return torch.stack([torch.stack(row, -1) for row in scores], -2)


@pytest.mark.parametrize("name", networks())
@given(h=st.integers(9, 15), w=st.integers(9, 15), seed=st.integers(0, 2**31))
def test_slid_equals_crop_by_crop(name, h, w, seed):
    """Sums of less than 100 products of normal numbers: 1e-10 is far above float64's rounding."""
    rng = torch.Generator().manual_seed(seed)
    size, network = networks(c=2)[name]
    network = seeded(network, rng)
    x = torch.randn(2, 2, h, w, generator=rng, dtype=torch.float64)
    whole, step = slid(network, 2, size)
    want = one_by_one(network, x, size, step)
    assert_close(crop_by_crop(network, x, size, step), want, rtol=0, atol=1e-10)
    assert_close(whole(x), want, rtol=0, atol=1e-10)


def test_hand_values():
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert crops(x, 2).shape == (1, 2, 3, 1, 2, 2)
    assert crops(x, 2)[0, 1, 2].flatten().tolist() == [6, 7, 10, 11]
    assert crops(torch.ones(1, 1, 5, 7), 3).shape[1:3] == (3, 5)
    assert crops(torch.ones(1, 1, 5, 7), 3, 2).shape[1:3] == (2, 3)
    add = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False))
    add[1].weight.data.fill_(1)
    assert slid(add, 1, 2)[0](x).flatten().tolist() == [10, 14, 18, 26, 30, 34]


def test_steps_and_parameters(rng):
    for name, want in (("one layer", 1), ("pooled", 2), ("strided", 4)):
        size, network = networks()[name]
        whole, step = slid(network, 1, size)
        assert step == want
        before, after = (sum(p.numel() for p in m.parameters()) for m in (network, whole))
        assert after == before
        assert not {p.data_ptr() for p in whole.parameters()} & {p.data_ptr() for p in network.parameters()}


def test_padding_makes_the_two_differ(rng):
    """Why slid refuses padding: at a crop's border the crop alone sees zeros, the picture its neighbours."""
    body = seeded(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()), rng)
    head = seeded(nn.Linear(32, 3), rng)
    x = torch.randn(1, 1, 8, 8, generator=rng, dtype=torch.float64)
    alone = crop_by_crop(nn.Sequential(body, nn.Flatten(), head), x, 4)
    slid_head, _ = slid(nn.Sequential(nn.Flatten(), head), 2, 4)
    assert (slid_head(body(x)) - alone).abs().max() > 0.1


@pytest.mark.usefixtures("unhooked")
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(36, 2)], "no padding"),
        ([nn.Conv2d(1, 1, 3, padding="same"), nn.Flatten(), nn.Linear(36, 2)], "padding"),
        ([nn.Conv2d(1, 1, 2, dilation=2), nn.Flatten(), nn.Linear(16, 2)], "dilation"),
        ([nn.MaxPool2d(4), nn.Flatten(), nn.Linear(1, 2)], "uses every row, got 6 rows"),
        ([nn.Conv2d(1, 1, (2, 3)), nn.Flatten(), nn.Linear(20, 2)], "same kernel_size"),
        ([nn.Flatten(), nn.Linear(35, 2)], "= 36 inputs, got 35"),
        ([nn.Flatten(), nn.Softmax(1)], "got Softmax"),
        ([nn.Linear(6, 2)], "got Linear"),
        ([nn.Conv2d(1, 1, 3)], "any size as it is"),
    ],
)
def test_rejects(layers, message):
    with pytest.raises(ValueError, match=message):
        slid(nn.Sequential(*layers), 1, 6)


@pytest.mark.usefixtures("unhooked")
def test_rejects_crops():
    with pytest.raises(ValueError, match="at least 4 x 4"):
        crops(torch.ones(1, 1, 3, 5), 4)
    with pytest.raises(ValueError, match="step 0"):
        crops(torch.ones(1, 1, 3, 5), 2, 0)
