"""Multi-head self-attention, forward and backward: ours beside torch.nn.MultiheadAttention, in turn.

Run ``python tests/bench/bench_multi_head.py``: a layer of ViT-B/16 at 224 x 224 pixels, on 8 pictures. The
library takes part twice: with the weights, averaged over heads as is its default; and without, its fastest
way (a fused kernel that never stores them). Ours always has the weights of every head. The ratio is to the
faster of the two.
"""

import torch
from timing import ratio, report, same, take_turns
from torch import Tensor
from worked.attention.multi_head import SelfAttention

BATCH, TOKENS, WIDTH, HEADS, AIM = 8, 197, 768, 12, 1.0


def contestants() -> dict:
    """Each runs forward and backward on the same numbers, and returns its output and all gradients."""
    rng = torch.Generator().manual_seed(0)
    ours = SelfAttention(WIDTH, HEADS)
    library = torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    theirs = [library.in_proj_weight, library.in_proj_bias, library.out_proj.weight, library.out_proj.bias]
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), theirs, strict=True):
            mine.copy_(torch.randn(mine.shape, generator=rng) / WIDTH**0.5)
            other.copy_(mine)
    x = torch.randn(BATCH, TOKENS, WIDTH, generator=rng, requires_grad=True)
    up = torch.randn(x.shape, generator=rng)

    def run(out: Tensor, parameters: list[Tensor]) -> list[Tensor]:
        return [out, *torch.autograd.grad(out, [x, *parameters], up)]

    return {
        "ours": lambda: run(ours(x)[0], list(ours.parameters())),
        "torch": lambda: run(library(x, x, x, need_weights=False)[0], theirs),
        "torch with weights": lambda: run(library(x, x, x)[0], theirs),
    }


def main(rounds: int = 21) -> float:
    """Print the table line; return the median ratio to the library's faster way."""
    runs = contestants()
    for other in ("torch", "torch with weights"):
        same(runs["ours"](), runs[other](), name=f"multi-head attention, {other}")
    times = take_turns(runs, rounds)
    best, rest = sorted(("torch", "torch with weights"), key=lambda name: -ratio(times, "ours", name))
    got = report("Multi-head attention, forward + backward", times, "ours", best, AIM)
    print(f"  to the other, {rest}: ratio {ratio(times, 'ours', rest):.2f}")
    return got


if __name__ == "__main__":
    main()
