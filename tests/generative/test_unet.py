import math

import pytest
import torch
from torch.testing import assert_close
from worked.generative.unet import ResidualBlock, SelfAttention, UNet, time_embedding


@pytest.fixture
def awake(rng):
    """A small U-Net whose zero layers were given random weights: as built it answers 0."""
    torch.manual_seed(0)
    network = UNet(widths=(8, 16), time_width=16, groups=4)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(torch.randn(p.shape, generator=rng) / math.sqrt(max(1, p[0].numel())))
    return network


def slow_embedding(t, d, longest):
    omega = [longest ** (-2 * i / d) for i in range(d // 2)]
    return [math.sin(w * t) for w in omega] + [math.cos(w * t) for w in omega]


@pytest.mark.parametrize("d", [2, 8, 64])
def test_time_embedding_equals_the_formula(d):
    t = torch.tensor([0, 1, 17, 1000])
    want = torch.tensor([slow_embedding(float(i), d, 10_000.0) for i in t])
    # float32: an angle up to 1000 rad is rounded to 1000 * 2^-23, and the frequency once more
    assert_close(time_embedding(t, d), want, rtol=0, atol=4e-4)


def test_time_embedding_of_zero_and_rejection():
    assert_close(time_embedding(torch.tensor([0]), 4), torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    with pytest.raises(ValueError, match="even"):
        time_embedding(torch.tensor([0]), 5)


def test_new_parts_pass_their_input_on(rng):
    x, e = torch.randn(2, 8, 4, 4, generator=rng), torch.randn(2, 16, generator=rng)
    assert_close(ResidualBlock(8, 8, 16, 4)(x, e), x)
    assert_close(SelfAttention(8, 4)(x), x)
    assert (
        UNet(widths=(8, 16), groups=4)(torch.randn(2, 1, 8, 8, generator=rng), torch.tensor([1, 2]))
        .eq(0)
        .all()
    )


def test_attention_equals_torch(rng):
    """Our lines against torch's own multi-head attention, with the same weights."""
    ours = SelfAttention(8, 4, heads=2)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        for p in ours.parameters():
            p.copy_(torch.randn(p.shape, generator=rng))
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x = torch.randn(3, 8, 2, 5, generator=rng)
    tokens = ours.norm(x).flatten(2).mT
    want = x + theirs(tokens, tokens, tokens)[0].mT.reshape(x.shape)
    assert_close(ours(x), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("widths", "size", "channels"), [((8,), (5, 7), 1), ((8, 16), (8, 8), 3), ((8, 8, 16), (28, 12), 1)]
)
def test_keeps_the_shape(widths, size, channels, rng):
    network = UNet(channels=channels, widths=widths, time_width=16, groups=4)
    x = torch.randn(2, channels, *size, generator=rng)
    assert network(x, torch.tensor([1, 9])).shape == x.shape


def test_eval_is_deterministic_and_same_as_train(awake, rng):
    x, t = torch.randn(3, 1, 8, 8, generator=rng), torch.tensor([1, 5, 9])
    assert torch.equal(awake.eval()(x, t), awake.eval()(x, t))
    assert torch.equal(awake.eval()(x, t), awake.train()(x, t))  # no dropout, no batch statistics


def test_samples_do_not_mix(awake, rng):
    x, t = torch.randn(3, 1, 8, 8, generator=rng), torch.tensor([1, 5, 9])
    together = awake(x, t)
    assert_close(together[1:2], awake(x[1:2], t[1:2]), rtol=1e-4, atol=1e-5)


def test_gradients_reach_every_parameter_and_every_pixel(awake, rng):
    x = torch.randn(2, 1, 8, 8, generator=rng, requires_grad=True)
    out = awake(x, torch.tensor([3, 7]))
    out.square().sum().backward()
    assert not [name for name, p in awake.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    corner = torch.autograd.grad(awake(x, torch.tensor([3, 7]))[0, 0, 0, 0], x)[0]
    assert (corner[0] != 0).all()  # attention: the far corner is seen
    assert (corner[1] == 0).all()


def test_the_time_matters(awake, rng):
    x = torch.randn(1, 1, 8, 8, generator=rng)
    early, late = awake(x, torch.tensor([1])), awake(x, torch.tensor([900]))
    assert (early - late).abs().max() > 0.1


@pytest.mark.parametrize("shape", [(1, 1, 27, 28), (1, 1, 28, 30)])
def test_rejects_sizes(shape):
    with pytest.raises(ValueError, match="multiples of 4"):
        UNet(widths=(8, 8, 8))(torch.zeros(shape), torch.tensor([1]))


def test_rejects_widths():
    with pytest.raises(ValueError, match="groups"):
        UNet(widths=(8, 12), groups=8)


def test_wrong_shapes_are_caught_by_the_annotation():
    network = UNet(widths=(8,))
    with pytest.raises(Exception, match="forward"):
        network(torch.zeros(2, 1, 4, 4), torch.tensor([1, 2, 3]))
