import pytest
import torch
from worked.attention.marks import COLOURS, SIDE, backgrounds, beside, marked


def test_every_cell_holds_one_mark_of_its_kind(rng):
    grey = torch.full((20, 3, 16, 24), 0.5)
    images, kind = marked(grey, 8, 4, rng)
    assert images.shape == (20, 5, 16, 24)
    assert kind.shape == (20, 2, 3)
    for picture, kinds in zip(images, kind, strict=True):
        for i in range(2):
            for j in range(3):
                cell = picture[:3, 8 * i : 8 * i + 8, 8 * j : 8 * j + 8]
                on = (cell == COLOURS[kinds[i, j]][:, None, None]).all(0)
                assert on.sum() == SIDE**2
                assert (cell[:, ~on] == 0.25).all()
                rows, columns = on.nonzero().T
                assert rows.max() - rows.min() == columns.max() - columns.min() == SIDE - 1


def test_kinds_are_uniform_and_independent(rng):
    _, kind = marked(torch.zeros(4000, 3, 16, 16), 8, 2, rng)
    both = kind[:, 0, 0] * 2 + kind[:, 0, 1]
    shares = torch.bincount(both, minlength=4) / 4000
    assert (shares - 0.25).abs().max() < 4 * (0.25 * 0.75 / 4000) ** 0.5  # four standard errors


def test_places_run_from_minus_one_to_one(rng):
    images, _ = marked(torch.zeros(1, 3, 8, 16), 8, 2, rng)
    assert torch.equal(images[0, 3, :, 0], torch.linspace(-1, 1, 8))
    assert torch.equal(images[0, 4, 0], torch.linspace(-1, 1, 16))


def test_hand_value_of_beside():
    assert beside(torch.tensor([[[5, 6, 7, 8]]])).tolist() == [[[6, 5, 8, 7]]]


def test_backgrounds_are_cuts_of_the_photographs(rng):
    cuts = backgrounds(5, 16, ["coffee", "rocket"], rng)
    assert cuts.shape == (5, 3, 16, 16)
    assert cuts.min() >= 0
    assert cuts.max() <= 1
    again = backgrounds(5, 16, ["coffee", "rocket"], torch.Generator().manual_seed(0))
    assert torch.equal(cuts, again)


@pytest.mark.parametrize(
    ("cell", "kinds", "message"), [(5, 2, "do not fill"), (2, 2, "smaller"), (8, 9, "got 9")]
)
def test_rejects(cell, kinds, message, rng):
    with pytest.raises(ValueError, match=message):
        marked(torch.zeros(1, 3, 16, 16), cell, kinds, rng)
    with pytest.raises(ValueError, match="even number of columns"):
        beside(torch.zeros(1, 2, 3, dtype=torch.long))
