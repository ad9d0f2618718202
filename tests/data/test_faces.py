"""Faces: things stand where the truth says, and moved and turned ones differ from faces in nothing else."""

import pytest
import torch
from worked.data import CARDS
from worked.data.faces import CARD, CELLS, KINDS, OWN, THINGS, WRONG_ORDERS, _draw, faces


def same_people(n=40, noise=0.0, **options):
    return {
        kind: faces(n, kind=kind, rng=torch.Generator().manual_seed(5), noise=noise, **options)
        for kind in KINDS
    }


def box(pictures, i, slot):
    side = pictures.images.shape[-1] // 6
    y, x = pictures.corner[i, slot].tolist()
    return pictures.images[i, :, y : y + side, x : x + side]


def test_a_face_by_hand():
    f = faces(3, kind="face", rng=torch.Generator().manual_seed(0))
    assert f.images.shape == (3, 3, 36, 36)
    assert len(f) == 3
    assert [THINGS[k] for k in f.thing[0]] == ["eye", "eye", "nose", "mouth"]
    assert (f.angle == 0).all()
    assert len(WRONG_ORDERS) == 22


@pytest.mark.parametrize("size", [36, 48])
def test_boxes_keep_their_distance_and_all_else_is_skin(size):
    side = size // 6
    for pictures in same_people(size=size).values():
        for i in range(len(pictures)):
            apart = pictures.corner[i, :, None] - pictures.corner[i]  # (4, 4, 2)
            apart = torch.minimum(apart % size, -apart % size).amax(-1)  # around the edges
            assert (apart + size * torch.eye(4) >= 2 * side).all()
            bare = torch.ones(size, size, dtype=torch.bool)
            for y, x in pictures.corner[i].tolist():
                assert min(y, x) >= 1
                assert max(y, x) + side <= size - 1
                bare[y : y + side, x : x + side] = False
            skin = pictures.images[i][:, bare]
            assert (skin == skin[:, :1]).all()


def test_moved_is_the_face_with_its_boxes_exchanged():
    people = same_people()
    face, moved = people["face"], people["moved"]
    orders = set()
    for i in range(len(face)):
        order = [
            next(s for s in range(4) if torch.equal(box(moved, i, slot), box(face, i, s)))
            for slot in range(4)
        ]
        assert sorted(order) == [0, 1, 2, 3]
        assert moved.thing[i].tolist() == [OWN[s] for s in order]
        assert moved.thing[i].tolist() != list(OWN)
        orders.add(tuple(order))
    assert len(orders) > 11
    assert torch.equal(face.corner, moved.corner)


def test_turned_differs_in_the_boxes_of_things_that_are_not_round():
    people = same_people()
    face, turned = people["face"], people["turned"]
    assert torch.equal(face.thing, turned.thing)
    assert ((turned.angle >= torch.pi / 2) & (turned.angle <= 3 * torch.pi / 2)).all()
    for i in range(len(face)):
        assert all((box(turned, i, s) - box(face, i, s)).abs().max() > 0.05 for s in range(4))


def test_half_a_turn_rotates_the_box():
    zero, skin = torch.zeros(1, 4), torch.full((1, 3), 0.7)
    inks = torch.rand(1, 4, 3, generator=torch.Generator().manual_seed(1))

    def draw(angle):
        odd = torch.zeros(1, 4, dtype=torch.long)
        return _draw(torch.tensor([OWN]), angle, zero + 1, torch.zeros(1, 4, 2), skin, inks, odd, 36)

    torch.testing.assert_close(draw(zero + torch.pi), draw(zero).flip(-1, -2), atol=1e-5, rtol=0)


def test_replaced_pictures_lack_two_to_four_parts_and_the_rest_stands_in_its_place():
    people = same_people(400)
    face, replaced = people["face"], people["replaced"]
    own = replaced.thing == torch.tensor(OWN)
    assert own.sum(1).unique().tolist() == [0, 1, 2]
    assert (replaced.thing[~own] >= 3).all()
    assert replaced.thing[~own].unique().tolist() == [3, 4, 5, 6, 7]
    for i in range(40):
        for slot in range(4):
            assert torch.equal(box(replaced, i, slot), box(face, i, slot)) == own[i, slot].item()


def test_noise_is_added_to_each_pixel_and_values_stay_pixels():
    clean, noisy = (same_people(noise=noise)["face"].images for noise in (0.0, 0.05))
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    middle = (clean > 0.3) & (clean < 0.7)  # not clamped
    spread = (noisy - clean)[middle].std().item()
    assert abs(spread - 0.05) < 4 * 0.05 / (2 * middle.sum().item()) ** 0.5  # four standard errors


def test_where_the_cells_are():
    corners = faces(200, kind="face", rng=torch.Generator().manual_seed(2)).corner
    home = torch.tensor(CELLS) * 12 + 3
    shift = corners - home
    assert (shift == shift[:, :1]).all()  # a face moves as a whole
    assert shift.unique().tolist() == [-2, -1, 0, 1, 2]


def test_the_card_is_listed():
    assert CARD in CARDS


@pytest.mark.parametrize("wrong", [{"kind": "cat"}, {"n": 0}, {"size": 30}, {"size": 0}, {"noise": -0.1}])
def test_rejects(wrong, rng):
    with pytest.raises(ValueError, match="got"):
        faces(**({"n": 2, "kind": "face", "rng": rng} | wrong))
