import pytest
import torch
from attention.window_reference import cells
from hypothesis import given
from hypothesis import strategies as st
from worked.attention.window import (
    arrange,
    axis_shift,
    cyclic_shift,
    may_attend,
    region_labels,
    relative_place,
    window_merge,
    window_partition,
)

MAPS = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3)).map(
    lambda t: (t[0] * t[2], t[1] * t[2], t[2], t[3] % t[2])
)  # h, w, M, s: M divides both, s < M
CPU = torch.device("cpu")


def numbers(h, w):
    return torch.arange(h * w).reshape(1, h, w)


@given(MAPS)
def test_windows_hold_what_lies_in_them(map_):
    h, w, M, _ = map_
    windows = window_partition(numbers(h, w), M)[0]
    for i, window in enumerate(windows.tolist()):
        top, left = i // (w // M) * M, i % (w // M) * M
        assert window == [y * w + x for y in range(top, top + M) for x in range(left, left + M)]


def test_hand_values():
    assert window_partition(numbers(4, 4), 2)[0, 0].tolist() == [0, 1, 4, 5]
    assert cyclic_shift(torch.arange(4).reshape(1, 1, 4), 0, 1).flatten().tolist() == [1, 2, 3, 0]
    want = [[0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 2, 2], [0, 1, 2, 3]]
    assert region_labels(4, 4, 2, 1).tolist() == want
    assert may_attend(torch.tensor([[0, 1, 0]])).long().tolist() == [[[1, 0, 1], [0, 1, 0], [1, 0, 1]]]
    assert relative_place(2)[0].tolist() == [4, 3, 1, 0]
    assert arrange(4, 4, 2, 1, CPU).order[:4].tolist() == [5, 6, 9, 10]


@given(MAPS)
def test_merge_and_shift_back_undo(map_):
    h, w, M, s = map_
    x = numbers(h, w)[..., None].expand(2, -1, -1, 3)
    assert torch.equal(window_merge(window_partition(x, M), h, w, M), x)
    assert torch.equal(cyclic_shift(cyclic_shift(x, s, s), -s, -s), x)


@given(MAPS)
def test_labels_agree_exactly_for_tokens_of_one_cell_of_the_picture(map_):
    h, w, M, s = map_
    down, right = axis_shift(h, M, s), axis_shift(w, M, s)
    tokens = window_partition(cyclic_shift(numbers(h, w), down, right), M)[0].tolist()
    cell = {}
    for i, rows in enumerate(cells(h, M, s)):
        for j, columns in enumerate(cells(w, M, s)):
            cell.update({y * w + x: (i, j) for y in rows for x in columns})
    allowed = may_attend(region_labels(h, w, M, s))
    for window, mask in zip(tokens, allowed.tolist(), strict=True):
        assert mask == [[cell[a] == cell[b] for b in window] for a in window]
    assert sorted(t for window in tokens for t in window) == list(range(h * w))


@given(MAPS)
def test_arrangement_is_roll_and_partition(map_):
    h, w, M, s = map_
    at = arrange(h, w, M, s, CPU)
    rolled = numbers(h, w).roll((-axis_shift(h, M, s), -axis_shift(w, M, s)), (1, 2))
    assert at.order.tolist() == window_partition(rolled, M).flatten().tolist()
    assert at.order[at.inverse].tolist() == list(range(h * w))
    assert at.windows * M * M == h * w
    if at.allowed is None:
        assert s == 0 or h == w == M
    else:
        assert torch.equal(at.allowed, may_attend(region_labels(h, w, M, s)))


@pytest.mark.parametrize("M", [1, 2, 5])
def test_relative_place_tells_apart_what_differs_and_nothing_else(M):
    place = relative_place(M)
    offsets = {}
    for i in range(M * M):
        for j in range(M * M):
            offset = (i // M - j // M, i % M - j % M)
            assert offsets.setdefault(offset, place[i, j].item()) == place[i, j].item()
    assert sorted(offsets.values()) == list(range((2 * M - 1) ** 2))
    assert (place.diagonal() == 2 * M * (M - 1)).all()


@pytest.mark.usefixtures("unhooked")
def test_rejects():
    x = torch.zeros(1, 6, 4, 3)
    for call, message in [
        (lambda: window_partition(x, 4), "windows of 4 x 4 tokens do not fill a map of 6 x 4"),
        (lambda: window_partition(x, 0), "windows of 0 x 0"),
        (
            lambda: window_merge(torch.zeros(1, 5, 4, 3), 6, 4, 2),
            r"\(6, 4\) windows and tokens.*got \(5, 4\)",
        ),
        (lambda: axis_shift(8, 4, 4), "need 0 <= shift < window, got shift=4, window=4"),
        (lambda: region_labels(8, 8, 4, -1), "shift=-1"),
        (lambda: relative_place(0), "window=0"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
