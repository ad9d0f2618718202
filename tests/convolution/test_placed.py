import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.convolution.placed import place, random_places, scattered


@given(
    n=st.integers(1, 4),
    sides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    room=st.integers(0, 3),
    seed=st.integers(0, 2**31),
)
def test_equals_one_by_one(n, sides, room, seed):
    rng = torch.Generator().manual_seed(seed)
    pictures, size = torch.randn(n, 2, *sides, generator=rng), max(sides) + room
    places = random_places(n, room, rng)
    want = torch.zeros(n, 2, size, size)
    for i, (y, x) in enumerate(places.tolist()):
        want[i, :, y : y + sides[0], x : x + sides[1]] = pictures[i]
    assert_close(place(pictures, places, size), want, rtol=0, atol=0)


def test_hand_values(rng):
    one = place(torch.ones(1, 1, 1, 1), torch.tensor([[2, 0]]), 3)
    assert one.flatten().tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert random_places(3, 0, rng).tolist() == [[0, 0]] * 3


def test_places_are_uniform(rng):
    """9,000 draws of 9 places: 1,000 each, with a standard deviation of 30; five of them."""
    places = random_places(9000, 2, rng)
    counts = torch.bincount(3 * places[:, 0] + places[:, 1], minlength=9)
    assert (counts - 1000).abs().max() < 5 * 30


@pytest.mark.usefixtures("unhooked")
def test_rejects(rng):
    picture = torch.ones(1, 1, 2, 3)
    for places in ([[-1, 0]], [[0, 2]], [[3, 0]]):
        with pytest.raises(ValueError, match=r"want places from \(0, 0\) to \(2, 1\)"):
            place(picture, torch.tensor(places), 4)
    with pytest.raises(ValueError, match="n=0, last=2"):
        random_places(0, 2, rng)
    with pytest.raises(ValueError, match="n=3, last=-1"):
        random_places(3, -1, rng)


def test_scattered_pictures_are_where_it_says(rng):
    pictures, labels = torch.rand(6, 1, 3, 3, generator=rng) + 1, torch.arange(6)
    large, places, kinds = scattered(pictures, labels, (4, 2, 3), 5, rng)
    assert large.shape == (4, 1, 10, 15)
    assert places.shape == (4, 6, 2)
    left = large.clone()
    for i in range(4):
        for (y, x), k in zip(places[i].tolist(), kinds[i].tolist(), strict=True):
            assert_close(large[i, :, y : y + 3, x : x + 3], pictures[k], rtol=0, atol=0)
            left[i, :, y : y + 3, x : x + 3] = 0
    assert left.abs().max() == 0


def test_scattered_hand_value_and_rejection(rng):
    large, places, _ = scattered(torch.ones(1, 1, 2, 2), torch.zeros(1).long(), (1, 2, 2), 2, rng)
    assert large.min() == 1
    assert places[0].tolist() == [[0, 0], [0, 2], [2, 0], [2, 2]]
    with pytest.raises(ValueError, match=r"cells of at least 2.*got 1"):
        scattered(torch.ones(1, 1, 2, 2), torch.zeros(1).long(), (1, 2, 2), 1, rng)
