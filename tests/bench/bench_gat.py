"""Graph attention, forward and backward: ours beside PyTorch Geometric's GATConv, in turn in one run.

Run ``python tests/bench/bench_gat.py``: 10,000 nodes, 100,000 edges and a loop at every node, 64 features,
8 heads of 8, two threads. What ours leaves out: the library copies a sender's features to each of its edges,
weighs and scatters them, and as many again going back; ours is sparse products on one matrix of all heads.
Loops are added to the library's graph before, and what ours derives from the graph is made in the warm-up:
both are the same at every step of a training.
"""

import warnings
from collections.abc import Callable

import torch
from bench_message_passing import random_graph
from timing import report, same, take_turns
from torch import Tensor
from worked.graphs.adjacency import Adjacency
from worked.graphs.gat import GAT
from worked.graphs.loops import with_loops

NODES, EDGES, WIDTH, HEADS, THREADS, AIM = 10_000, 100_000, 64, 8, 2, 0.5


def contestants() -> dict[str, Callable[[], list[Tensor]]]:
    """Each runs forward and backward on the same numbers, and returns its output and all gradients."""
    with warnings.catch_warnings():  # of what PyTorch has deprecated since
        warnings.simplefilter("ignore")
        from torch_geometric.nn import GATConv
    rng = torch.Generator().manual_seed(0)
    adjacency = Adjacency(random_graph(NODES, EDGES, rng), NODES)
    looped = with_loops(adjacency).edge_index
    h = torch.randn(NODES, WIDTH, generator=rng, requires_grad=True)
    up = torch.randn(NODES, WIDTH, generator=rng)
    ours = GAT(WIDTH, WIDTH // HEADS, heads=HEADS, generator=rng)
    library = GATConv(WIDTH, WIDTH // HEADS, heads=HEADS, add_self_loops=False)
    with torch.no_grad():
        library.lin.weight.copy_(ours.W.T)
        library.att_src.copy_(ours.a_from)
        library.att_dst.copy_(ours.a_to)

    def run_ours() -> list[Tensor]:
        out = ours(h, adjacency)
        h_, W, a_from, a_to, bias = torch.autograd.grad(
            out, [h, ours.W, ours.a_from, ours.a_to, ours.bias], up
        )
        return [out, h_, W.T, a_from[None], a_to[None], bias]

    def run_library() -> list[Tensor]:
        out = library(h, looped)
        parameters = [library.lin.weight, library.att_src, library.att_dst, library.bias]
        return [out, *torch.autograd.grad(out, [h, *parameters], up)]

    return {"ours": run_ours, "GATConv": run_library}


def main(rounds: int = 31) -> float:
    """Print the table line; return the median ratio."""
    torch.set_num_threads(THREADS)
    runs = contestants()
    same(runs["ours"](), runs["GATConv"](), name="GAT")
    return report("graph attention, forward + backward", take_turns(runs, rounds), "ours", "GATConv", AIM)


if __name__ == "__main__":
    main()
