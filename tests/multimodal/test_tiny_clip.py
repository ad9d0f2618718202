import math

import pytest
import torch
from torch.testing import assert_close
from worked.data import scenes
from worked.multimodal.captions import Vocabulary
from worked.multimodal.clip_gradient import clip_gradient
from worked.multimodal.clip_loss import clip_loss
from worked.multimodal.tiny_clip import ImageEncoder, TextEncoder, TinyClip


@pytest.fixture
def batch(rng):
    s = scenes(32, rng=rng, size=16, background="plain")
    return s.images, Vocabulary.of(s.captions()).encode(s.captions())


def make(seed=0, **options):
    return TinyClip(16, 23, seed=seed, d=8, **options)


def test_embeddings_of_both_kinds(batch):
    images, tokens = batch
    x, y = make()(images, tokens)
    assert x.shape == y.shape == (32, 8)


def test_the_seed_decides_and_the_global_generator_is_left_as_found(batch):
    before = torch.random.get_rng_state()
    a, b, c = make(0), make(0), make(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)
    assert not torch.equal(a.image.projection.weight, c.image.projection.weight)


def test_known_first_scale():
    assert make().log_scale.item() == pytest.approx(2.659, abs=1e-3)
    assert make(tau=0.5, fixed=True).log_scale.item() == pytest.approx(math.log(2))
    assert not make(fixed=True).log_scale.requires_grad


def test_a_text_is_the_bag_of_its_words_and_filling_does_not_count():
    text = TextEncoder(9, 4)
    base = text(torch.tensor([[3, 5, 7]]))
    assert_close(text(torch.tensor([[7, 3, 5]])), base)
    assert_close(text(torch.tensor([[3, 5, 7, 0, 0]])), base)
    assert not torch.allclose(text(torch.tensor([[3, 5, 8]])), base)


def test_place_is_not_averaged_away(rng):
    image = torch.zeros(1, 3, 16, 16)
    image[..., :4, :4] = 1
    encoder = ImageEncoder(16, 8)
    assert not torch.allclose(encoder(image), encoder(image.flip(2, 3)), atol=1e-4)


def test_eval_is_deterministic(batch):
    network = make().eval()
    for a, b in zip(network(*batch), network(*batch), strict=True):
        assert torch.equal(a, b)


def test_weights_get_the_gradient_of_the_formula(batch):
    """Through the network: the loss by hand gives what the formula's gradients give at the embeddings."""
    network = make()
    x, y = network(*batch)
    clip_loss(x, y, network.log_scale).backward()
    got = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    x, y = network(*batch)
    with torch.no_grad():
        g = clip_gradient(x, y, network.log_scale)
    ((x * g.x).sum() + (y * g.y).sum() + network.log_scale * g.log_scale).backward()
    for a, p in zip(got, network.parameters(), strict=True):
        assert_close(a, p.grad, rtol=1e-4, atol=1e-6)


def test_a_few_steps_lower_the_loss(batch):
    network = make()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = clip_loss(*network(*batch), network.log_scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_rejects_a_side_that_does_not_divide():
    with pytest.raises(ValueError, match="multiple of 8, got 20"):
        ImageEncoder(20, 8)
