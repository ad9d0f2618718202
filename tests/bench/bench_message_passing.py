"""Message passing, forward and backward: ours beside PyTorch Geometric's GraphConv, in turn in one run.

Run ``python tests/bench/bench_message_passing.py``: one line with the medians and the median of the ratios,
against the faster of the library's edge-list and sparse paths. A second line has the slower of the two and
the library's EdgeIndex, which keeps a transpose too.
"""

import statistics
import warnings
from collections.abc import Callable

import torch
from timing import ratio, report, same, take_turns
from torch import Tensor
from worked.graphs.adjacency import Adjacency
from worked.graphs.layer import MessagePassing

NODES, EDGES, WIDTH, AIM = 10_000, 100_000, 64, 0.5


def random_graph(n: int, e: int, rng: torch.Generator) -> Tensor:
    """e/2 different pairs of different nodes, each in both directions, in random order."""
    pairs = torch.randint(0, n, (2, 2 * e), generator=rng)
    pairs = pairs[:, pairs[0] < pairs[1]]
    key = (pairs[0] * n + pairs[1]).unique()
    key = key[torch.randperm(len(key), generator=rng)[: e // 2]]
    edges = torch.stack([key // n, key % n])
    edges = torch.cat([edges, edges.flip(0)], 1)  # (2, e)
    return edges[:, torch.randperm(e, generator=rng)]


def contestants(n: int, e: int, width: int) -> dict[str, Callable[[], list[Tensor]]]:
    """Each runs forward and backward on the same numbers, and returns its output and gradients."""
    with warnings.catch_warnings():  # of what PyTorch has deprecated since, and of CSR being in beta
        warnings.simplefilter("ignore")
        from torch_geometric import EdgeIndex
        from torch_geometric.nn import GraphConv

        rng = torch.Generator().manual_seed(0)
        edge_index, h = random_graph(n, e, rng), torch.randn(n, width, generator=rng)
        up = torch.randn(n, width, generator=rng)
        adjacency = Adjacency(edge_index, n)
        ours = MessagePassing(width, width, generator=rng)
        library = GraphConv(width, width, aggr="add", bias=False)
        sparse = torch.sparse_coo_tensor(edge_index.flip(0), torch.ones(e), (n, n)).coalesce().to_sparse_csr()
        kept = EdgeIndex(adjacency.edge_index, sparse_size=(n, n), sort_order="col", is_undirected=True)
        kept.fill_cache_()
    with torch.no_grad():
        library.lin_root.weight.copy_(ours.W.T)
        library.lin_rel.weight.copy_(ours.W_prime.T)
    h.requires_grad_()

    def run(layer: torch.nn.Module, graph: object, weights: list[Tensor]) -> Callable[[], list[Tensor]]:
        def once() -> list[Tensor]:
            out = layer(h, graph)
            return [out, *torch.autograd.grad(out, [h, *weights], up)]

        return once

    theirs = [library.lin_root.weight, library.lin_rel.weight]
    return {
        "ours": run(ours, adjacency, [ours.W, ours.W_prime]),
        "edge list": run(library, edge_index, theirs),
        "sparse CSR": run(library, sparse, theirs),
        "EdgeIndex": run(library, kept, theirs),
    }


def same_answers(runs: dict[str, Callable[[], list[Tensor]]]) -> None:
    out, grad_h, grad_W, grad_W_prime = runs["ours"]()
    for name in runs.keys() - {"ours"}:
        same([out, grad_h, grad_W.T, grad_W_prime.T], runs[name](), name=name)


def main(rounds: int = 101) -> float:
    """Print the table line; return the median ratio."""
    runs = contestants(NODES, EDGES, WIDTH)
    same_answers(runs)
    times = take_turns(runs, rounds)
    median = {name: statistics.median(values) for name, values in times.items()}
    path = min(("edge list", "sparse CSR"), key=median.get)
    got = report(f"message passing, GraphConv by {path}", times, "ours", path, AIM)
    others = [
        f"{name} {median[name]:.2f} ms, ratio {ratio(times, 'ours', name):.2f}"
        for name in median
        if name not in ("ours", path)
    ]
    print(f"  beside it: {'; '.join(others)} ({torch.get_num_threads()} threads)")
    return got


if __name__ == "__main__":
    main()
