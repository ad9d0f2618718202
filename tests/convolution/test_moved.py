import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform
from skimage.transform import warp as skimage_warp
from torch.testing import assert_close
from worked.convolution.moved import (
    centre,
    compose,
    from_halfway,
    halfway,
    inverse,
    linear_part,
    move,
    pixels,
    sample,
    warp,
    wrap,
)

ROUNDING = {"rtol": 0, "atol": 1e-12}  # a few products of numbers below 100 in float64
motions = st.tuples(
    st.floats(-9, 9), st.floats(-9, 9), st.floats(-math.pi, math.pi), st.floats(-0.7, 0.7)
).map(lambda m: torch.tensor([m], dtype=torch.float64))


def test_hand_values():
    quarter = torch.tensor([[0.0, 0.0, math.pi / 2, math.log(2)]], dtype=torch.float64)
    assert_close(linear_part(quarter)[0], torch.tensor([[0.0, -2.0], [2.0, 0.0]]).double(), **ROUNDING)
    right = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    assert_close(move(right, quarter), 2 * right.flip(2), **ROUNDING)  # to the right becomes downwards
    assert centre(3, 5).tolist() == [2, 1]
    assert pixels(2, 3)[1].tolist() == [1, 0]
    assert wrap(torch.tensor(1.5 * math.pi)).item() == pytest.approx(-math.pi / 2)
    zoom = torch.tensor([[2.0, 0.0, 0.0, math.log(4)]], dtype=torch.float64)
    assert_close(halfway(zoom)[0, :2], torch.tensor([1.0, 0.0]).double(), **ROUNDING)
    assert_close(inverse(zoom)[0, :2], torch.tensor([-0.5, 0.0]).double(), **ROUNDING)


@given(first=motions, second=motions, seed=st.integers(0, 2**31))
def test_moves_as_the_matrices_do(first, second, seed):
    u = 30 * torch.rand(1, 5, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert_close(move(move(u, first), second), move(u, compose(second, first)), rtol=0, atol=1e-11)
    assert_close(move(move(u, first), inverse(first)), u, rtol=0, atol=1e-11)


@given(motion=motions)
def test_halfway_names_are_odd_under_swapping_and_can_be_undone(motion):
    assert_close(halfway(inverse(motion)), -halfway(motion), rtol=0, atol=1e-11)
    assert_close(from_halfway(halfway(motion)), motion, rtol=0, atol=1e-11)


@given(motion=motions, size=st.tuples(st.integers(4, 15), st.integers(4, 15)), seed=st.integers(0, 2**31))
def test_warp_agrees_with_scikit_image(motion, size, seed):
    h, w = size
    picture = torch.rand(h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    c, (dx, dy, theta, zoom) = centre(h, w).numpy(), motion[0].tolist()
    about = (
        SimilarityTransform(translation=-c)
        + SimilarityTransform(scale=math.exp(zoom), rotation=theta, translation=(dx, dy))
        + SimilarityTransform(translation=c)
    )
    theirs = torch.from_numpy(skimage_warp(picture.numpy(), about.inverse, order=1, mode="constant"))
    # beyond the last pixel the libraries fade differently: compare where all four neighbours exist
    back = about.inverse(pixels(h, w).numpy())
    inside = np.all((back >= 0) & (back <= [w - 1, h - 1]), axis=1).reshape(h, w)
    assert_close(warp(picture[None], motion)[0][inside], theirs[inside], rtol=0, atol=1e-9)


def test_sample_between_pixels():
    picture = torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    assert sample(picture, torch.tensor([0.5, 0.5], dtype=torch.float64)).item() == pytest.approx(0.5)


def test_the_centre_stays_where_it_is(rng):
    picture = torch.zeros(1, 9, 9, dtype=torch.float64)
    picture[0, 4, 4] = 1
    turned = warp(picture, torch.tensor([[0.0, 0.0, 0.7, 0.0]], dtype=torch.float64))
    assert turned[0, 4, 4].item() == pytest.approx(1)


def test_gradient(rng):
    m = torch.tensor([[0.3, -0.2, 0.4, 0.1]], dtype=torch.float64, requires_grad=True)
    u = torch.randn(1, 3, 2, generator=rng, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda m: move(u, inverse(m)), m)
    assert torch.autograd.gradcheck(halfway, m)


def test_rejects(unhooked):
    with pytest.raises(ValueError, match="2 pictures with 1 motions"):
        warp(torch.zeros(2, 4, 4), torch.zeros(1, 4))
    with pytest.raises(ValueError, match="at least one row"):
        centre(0, 3)
