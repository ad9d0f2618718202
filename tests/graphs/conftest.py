"""What the tests of this part share."""

import warnings

import pytest
import torch


@pytest.fixture
def path():
    """0 - 1 - 2, undirected."""
    return torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


@pytest.fixture(scope="session")
def graph_conv():
    """PyTorch Geometric's layer. Its import warns of what PyTorch has deprecated since: not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch_geometric.nn import GraphConv
    return GraphConv


@pytest.fixture(scope="session")
def pyg():
    """torch_geometric.nn, for the layers that ours are compared with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch_geometric.nn
    return torch_geometric.nn
