import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from worked.convolution.window import TransposedWindow, Window

small = st.integers(1, 5)


def slow_size(window, n):
    """Windows that begin at 0, s, 2s, ... of the padded axis and end within it, counted one by one."""
    padded, count = n + 2 * window.padding + window.extra, 0
    while count * window.stride + window.dilation * (window.kernel - 1) <= padded - 1:
        count += 1
    return count


@given(n=st.integers(1, 20), k=small, s=small, p=st.integers(0, 4), d=small, e=st.integers(0, 2))
def test_size_counts_the_windows_that_fit(n, k, s, p, d, e):
    window = Window(k, s, p, d, extra=e)
    want = slow_size(window, n)
    if want:
        assert window.size(n) == want
    else:
        with pytest.raises(ValueError, match="the kernel is larger than its input"):
            window.size(n)


def test_hand_values():
    assert Window(5, padding=2).size(128) == 128
    assert Window(2, 2).size(128) == 64
    assert Window(3, 2).size(8) == 3
    assert Window(3, 2, ceil=True).size(8) == 4
    assert Window(3, 2, padding=1, dilation=2).reads(1) == [1, 3, 5]
    assert TransposedWindow(4, 2, 1).size(16) == 32
    assert [sorted(TransposedWindow(3, 2).reads(o)) for o in range(4)] == [[-1 + 0, 0], [0], [0, 1], [1]]


@given(n=st.integers(1, 12), k=small, s=small, p=st.integers(0, 3), d=small)
def test_reads_are_the_nonzeros_of_torchs_matrix(n, k, s, p, d):
    """One 1 at a time through nn.Conv1d with weights of one: the outputs that see it."""
    window = Window(k, s, p, d)
    if not slow_size(window, n):
        return
    conv = nn.Conv1d(1, 1, k, s, p, d, bias=False)
    nn.init.ones_(conv.weight)
    matrix = conv(torch.eye(n)[:, None])[:, 0]  # (n, outputs)
    want = [[q for q in window.reads(i) if 0 <= q < n] for i in range(window.size(n))]
    assert [column.nonzero()[:, 0].tolist() for column in matrix.T] == want


@given(n=st.integers(1, 9), k=small, s=small, p=st.integers(0, 4), d=small, e=st.integers(0, 3))
def test_transposed_reads_and_size_are_torchs(n, k, s, p, d, e):
    if e >= max(s, d):
        with pytest.raises(ValueError, match="output_padding"):
            TransposedWindow(k, s, p, d, e)
        return
    window = TransposedWindow(k, s, p, d, e)
    conv = nn.ConvTranspose1d(1, 1, k, s, p, e, dilation=d, bias=False)
    nn.init.ones_(conv.weight)
    if (n - 1) * s + d * (k - 1) + 1 + e <= 2 * p:
        with pytest.raises(ValueError, match="padding"):
            window.size(n)
        return
    matrix = conv(torch.eye(n)[:, None])[:, 0]  # (n, outputs)
    assert matrix.shape[1] == window.size(n)
    want = [sorted(q for q in window.reads(o) if 0 <= q < n) for o in range(window.size(n))]
    assert [column.nonzero()[:, 0].tolist() for column in matrix.T] == want


@pytest.mark.parametrize(
    ("kind", "numbers", "message"),
    [
        (Window, {"kernel": 0}, "kernel: want at least 1, got 0"),
        (Window, {"kernel": 3, "stride": 0}, "stride: want at least 1, got 0"),
        (Window, {"kernel": 3, "padding": -1}, "padding: want at least 0, got -1"),
        (Window, {"kernel": 3, "dilation": 0}, "dilation: want at least 1, got 0"),
        (TransposedWindow, {"kernel": 3, "stride": -2}, "stride: want at least 1, got -2"),
        (TransposedWindow, {"kernel": 3, "output_padding": 1}, "want below the larger"),
    ],
)
def test_rejects_numbers(kind, numbers, message):
    with pytest.raises(ValueError, match=message):
        kind(**numbers)


@pytest.mark.parametrize("n", [0, -3])
@pytest.mark.parametrize("window", [Window(1), TransposedWindow(1)])
def test_rejects_sizes_below_one(window, n):
    with pytest.raises(ValueError, match=f"size: want at least 1, got {n}"):
        window.size(n)


def test_a_dilated_kernel_counts_with_its_holes():
    with pytest.raises(
        ValueError, match=r"want at least 9 \(kernel 5, dilation 2\), got 8 \(6 and padding\)"
    ):
        Window(5, padding=1, dilation=2).size(6)
