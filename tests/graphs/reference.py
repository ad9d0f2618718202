"""Random graphs, and the formula of the layer written out node by node: slow on purpose."""

import torch


def random_edges(n, e, rng, directed=True, loops=True):
    """About e different edges between the first n - 1 nodes: the last node has none."""
    u, v = torch.randint(0, max(n - 1, 1), (2, e), generator=rng)
    pairs = set(zip(u.tolist(), v.tolist(), strict=True))
    if not directed:
        pairs |= {(v, u) for u, v in pairs}
    if not loops:
        pairs = {(u, v) for u, v in pairs if u != v}
    return torch.tensor(sorted(pairs), dtype=torch.long).reshape(-1, 2).T.contiguous()


def slow_message_passing(h, edge_index, W, W_prime):
    """The question's formula with column vectors, one node, one neighbour and one feature at a time."""
    own, other = W.T, W_prime.T  # matrices that multiply columns
    rows = []
    for v in range(len(h)):
        s = [sum(own[i, j] * h[v, j] for j in range(h.shape[1])) for i in range(len(own))]
        for u, to in edge_index.T.tolist():
            if to == v:
                s = [s[i] + sum(other[i, j] * h[u, j] for j in range(h.shape[1])) for i in range(len(own))]
        rows.append(torch.stack(s))
    return torch.stack(rows)
