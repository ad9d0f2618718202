import pytest
import torch
from graphs.reference import random_edges, slow_message_passing
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from worked.graphs.adjacency import Adjacency
from worked.graphs.layer import MessagePassing, message_passing
from worked.graphs.permutation import permute_graph, permute_rows

EXACT = {"rtol": 0, "atol": 0}  # for whole numbers, which float64 adds and multiplies without rounding
WIDTHS = [(1, 1), (2, 5), (5, 2), (3, 3)]  # narrower and wider: A is multiplied first, or last


def whole(shape, rng, dtype=torch.float64):
    return torch.randint(-4, 5, shape, generator=rng).to(dtype)


def problem(n, e, d, e_out, rng, dtype=torch.float64, directed=True):
    edges = random_edges(n, e, rng, directed)
    return edges, whole((n, d), rng, dtype), whole((d, e_out), rng, dtype), whole((d, e_out), rng, dtype)


@pytest.mark.parametrize(("d", "e"), WIDTHS)
@pytest.mark.parametrize(("n", "edges"), [(1, 0), (5, 0), (6, 14)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_formula_node_by_node(n, edges, d, e, dtype, rng):
    edges, h, W, W_prime = problem(n, edges, d, e, rng, dtype)
    want = slow_message_passing(h, edges, W, W_prime)
    assert_close(message_passing(h, Adjacency(edges, n), W, W_prime), want, **EXACT)


def test_hand_value(path):
    h, two, three = (torch.tensor(x) for x in ([[1.0], [10.0], [100.0]], [[2.0]], [[3.0]]))
    assert message_passing(h, Adjacency(path, 3), two, three).flatten().tolist() == [32, 323, 230]


@given(
    n=st.integers(1, 8),
    edges=st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7))),
    pi=st.permutations(range(8)),
    widths=st.sampled_from(WIDTHS),
    seed=st.integers(0, 2**31),
)
def test_new_numbers_for_the_nodes_permute_the_rows(n, edges, pi, widths, seed):
    rng = torch.Generator().manual_seed(seed)
    inside = [edge for edge in edges if max(edge) < n]
    edges = torch.tensor(inside, dtype=torch.long).reshape(-1, 2).T
    pi = torch.tensor([number for number in pi if number < n])
    (d, e), adjacency = widths, Adjacency(edges, n)
    h, W, W_prime = whole((n, d), rng), whole((d, e), rng), whole((d, e), rng)
    after = message_passing(permute_rows(h, pi), permute_graph(adjacency, pi), W, W_prime)
    assert_close(after, permute_rows(message_passing(h, adjacency, W, W_prime), pi), **EXACT)


@pytest.mark.parametrize(("d", "e"), WIDTHS)
@pytest.mark.parametrize("directed", [True, False])
def test_gradient(d, e, directed, rng):
    adjacency = Adjacency(random_edges(5, 8, rng, directed), 5)
    shapes = (5, d), (d, e), (d, e)
    h, W, W_prime = (torch.randn(*s, generator=rng, dtype=torch.float64).requires_grad_() for s in shapes)
    assert torch.autograd.gradcheck(lambda h, W, V: message_passing(h, adjacency, W, V), (h, W, W_prime))


@pytest.mark.parametrize(("d", "e"), [(2, 5), (5, 2)])
@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_each_gradient_alone(wanted, d, e, rng):
    edges, *tensors = problem(6, 14, d, e, rng)
    adjacency = Adjacency(edges, 6)
    for x in tensors:
        x.requires_grad_()
    h, W, W_prime = tensors
    up = whole((6, e), rng)
    want = torch.autograd.grad(message_passing(h, adjacency, W, W_prime), tensors, up)[wanted]
    only = [x if i == wanted else x.detach() for i, x in enumerate(tensors)]
    got = torch.autograd.grad(message_passing(only[0], adjacency, *only[1:]), only[wanted], up)[0]
    assert_close(got, want, **EXACT)


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("d", "e"), [(4, 7), (7, 4), (16, 16)])
def test_agrees_with_graph_conv(d, e, directed, dtype, rng, graph_conv):
    """Whole numbers again, so that both must give the same output and the same gradients to the last bit."""
    edges, h, W, W_prime = problem(30, 100, d, e, rng, dtype, directed)
    adjacency, up = Adjacency(edges, 30), whole((30, e), rng, dtype)
    assert adjacency.in_degrees()[-1] == 0  # a node that hears nothing
    ours = [x.requires_grad_() for x in (h, W, W_prime)]
    library = graph_conv(d, e, aggr="add", bias=False).to(dtype)
    with torch.no_grad():
        library.lin_root.weight.copy_(W.T)
        library.lin_rel.weight.copy_(W_prime.T)
    h2 = h.detach().clone().requires_grad_()
    a, b = message_passing(h, adjacency, W, W_prime), library(h2, edges)
    assert_close(a, b, **EXACT)
    got = torch.autograd.grad(a, ours, up)
    want = torch.autograd.grad(b, [h2, library.lin_root.weight, library.lin_rel.weight], up)
    for mine, theirs in zip(got, (want[0], want[1].T, want[2].T), strict=True):
        assert_close(mine, theirs, **EXACT)


def test_module_calls_the_function_with_its_own_weights(path, rng):
    layer, h = MessagePassing(2, 3, generator=rng), torch.randn(3, 2, generator=rng)
    adjacency = Adjacency(path, 3)
    assert_close(layer(h, adjacency), message_passing(h, adjacency, layer.W, layer.W_prime), **EXACT)
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {"W": (2, 3), "W_prime": (2, 3)}
    assert all(p.abs().max() <= 2**-0.5 for p in layer.parameters())


@pytest.mark.usefixtures("unhooked")
def test_rejects(path):
    a, h, w = Adjacency(path, 3), torch.ones(3, 2), torch.ones(2, 4)
    for args, message in [
        ((torch.ones(4, 2), a, w, w), r"h: want shape \(3, d\).*got \(4, 2\)"),
        ((h.long(), a, w, w), r"h: want float32 or float64, got torch.int64"),
        ((h, a, torch.ones(3, 4), w), r"W: want shape \(2, k\).*got \(3, 4\)"),
        ((h, a, w, torch.ones(2, 5)), r"W_prime: want shape \(2, k\).*got \(2, 5\), W has \(2, 4\)"),
        ((h, a, w.double(), w), r"W: want torch.float32.*got torch.float64"),
    ]:
        with pytest.raises(ValueError, match=message):
            message_passing(*args)
    with pytest.raises(ValueError, match="d=0, k=2"):
        MessagePassing(0, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda h, a, W, V: message_passing(h, a, V, W), id="W and W' swapped"),
        pytest.param(
            lambda h, a, W, V: message_passing(h, Adjacency(a.edge_index.flip(0), a.n), W, V), id="A^T for A"
        ),
        pytest.param(lambda h, a, W, V: h @ W + a.in_degrees()[:, None] * (h @ V), id="own message"),
        pytest.param(
            lambda h, a, W, V: h @ W + (a @ (h @ V)) / a.in_degrees().clamp(min=1)[:, None], id="mean"
        ),
    ],
)
def test_planted_errors_are_seen(wrong, rng):
    """Each is equivariant, so only the formula node by node can tell it from the layer of the question."""
    edges, h, W, W_prime = problem(6, 14, 3, 2, rng)
    adjacency = Adjacency(edges, 6)
    want = slow_message_passing(h, edges, W, W_prime)
    assert (wrong(h, adjacency, W, W_prime) - want).abs().max() >= 0.5
    pi = torch.randperm(6, generator=rng)
    after = wrong(permute_rows(h, pi), permute_graph(adjacency, pi), W, W_prime)
    assert_close(after, permute_rows(wrong(h, adjacency, W, W_prime), pi), rtol=0, atol=1e-12)
