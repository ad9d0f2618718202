"""Shifted-window attention cell by cell, with neither roll nor mask: slow on purpose."""

import itertools

import torch


def cells(size, window, shift):
    """The intervals into which the borders shift, shift + M, ... cut an axis; one window needs no shift."""
    first = shift if size > window else 0
    borders = sorted({0, *range(first, size, window), size})
    return [range(a, b) for a, b in itertools.pairwise(borders)]


def slow_window_attention(module, x):
    """The same weights; one cell of the picture, one head and one query at a time."""
    b, h, w, d = x.shape
    M, width = module.window, d // module.heads
    H, W = -(-h // M) * M, -(-w // M) * M
    padded = x.new_zeros(b, H, W, d)
    padded[:, :h, :w] = x
    q, k, v = (padded @ module.qkv.weight.T + module.qkv.bias).split(d, -1)
    mixed = torch.zeros_like(padded)
    for rows in cells(H, M, module.shift):
        for columns in cells(W, M, module.shift):
            tokens = [(y, x) for y in rows for x in columns]
            for head in range(module.heads):
                part = slice(head * width, (head + 1) * width)
                for y, x in tokens:
                    scores = []
                    for yy, xx in tokens:
                        entry = (y - yy + M - 1) * (2 * M - 1) + (x - xx + M - 1)
                        inner = (q[:, y, x, part] * k[:, yy, xx, part]).sum(-1) / width**0.5
                        scores.append(inner + module.table[entry, head])
                    p = torch.stack(scores, -1).softmax(-1)  # (b, tokens)
                    seen = torch.stack([v[:, yy, xx, part] for yy, xx in tokens], 1)  # (b, tokens, width)
                    mixed[:, y, x, part] = (p[..., None] * seen).sum(1)
    return (mixed @ module.project.weight.T + module.project.bias)[:, :h, :w]
