import pytest
import torch
from graphs.reference import random_edges
from torch.testing import assert_close
from worked.graphs.adjacency import Adjacency
from worked.graphs.permutation import permutation_matrix, permute_graph, permute_rows


def test_rows_and_graph_equal_the_matrix_products(rng):
    for _ in range(20):
        a = Adjacency(random_edges(7, 15, rng), 7)
        h, pi = torch.randn(7, 2, generator=rng, dtype=torch.float64), torch.randperm(7, generator=rng)
        P = permutation_matrix(pi)
        assert torch.equal(permute_rows(h, pi), P @ h)
        assert torch.equal(permute_graph(a, pi).dense(), P @ a.dense() @ P.T)
        assert torch.equal(P.T @ P, torch.eye(7, dtype=torch.float64))


def test_hand_value():
    pi, rows = torch.tensor([1, 2, 0]), torch.tensor([[1.0], [2.0], [3.0]])
    assert permute_rows(rows, pi).flatten().tolist() == [3, 1, 2]
    assert_close(permutation_matrix(pi, torch.float32) @ rows, permute_rows(rows, pi))
    assert permute_graph(Adjacency(torch.tensor([[0], [1]]), 3), pi).edge_index.tolist() == [[1], [2]]


def test_one_permutation_after_another(rng):
    first, second = torch.randperm(6, generator=rng), torch.randperm(6, generator=rng)
    rows = torch.randn(6, 2, generator=rng)
    assert torch.equal(permute_rows(permute_rows(rows, first), second), permute_rows(rows, second[first]))


@pytest.mark.parametrize("pi", [[0, 0, 1], [0, 1], [1, 2, 3]])
@pytest.mark.usefixtures("unhooked")
def test_rejects_what_is_no_permutation(pi, path):
    for act in (lambda p: permute_rows(torch.ones(3, 1), p), lambda p: permute_graph(Adjacency(path, 3), p)):
        with pytest.raises(ValueError, match=r"each of 0\.\.2 once"):
            act(torch.tensor(pi))
