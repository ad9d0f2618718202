"""A Swin block with shifted windows, forward and backward: ours beside torchvision's, in turn in one run.

Run ``python tests/bench/bench_swin_block.py``: the first block of Swin-T that shifts, on 8 maps of 56 x 56
tokens (224 x 224 pixels). What ours leaves out: roll and partition are one copy by index, and one back, where
the library pads, rolls and permutes; mask and bias are one tensor for all pictures, added once.
"""

import warnings

import torch
from timing import report, same, take_turns
from torch import Tensor
from worked.attention.swin import SwinBlock

BATCH, SIZE, WIDTH, HEADS, WINDOW, SHIFT, AIM = 8, 56, 96, 3, 7, 3, 0.9
NAMES = {
    "attention.table": "attn.relative_position_bias_table",
    "mlp.2": "mlp.3",
    "attention": "attn",
    "project": "proj",
}


def contestants() -> dict:
    """Each runs forward and backward on the same numbers, and returns its output and all gradients."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchvision.models.swin_transformer import SwinTransformerBlock
    rng = torch.Generator().manual_seed(0)
    ours = SwinBlock(WIDTH, HEADS, WINDOW, SHIFT)
    library = SwinTransformerBlock(WIDTH, HEADS, [WINDOW] * 2, [SHIFT] * 2)
    theirs, order = dict(library.named_parameters()), []
    with torch.no_grad():
        for name, p in ours.named_parameters():
            p.copy_(torch.randn(p.shape, generator=rng) / max(p.shape[-1], 4) ** 0.5)
            for mine, other in NAMES.items():
                name = name.replace(mine, other)
            order.append(theirs.pop(name).copy_(p))
    assert not theirs
    x = torch.randn(BATCH, SIZE, SIZE, WIDTH, generator=rng, requires_grad=True)
    up = torch.randn(x.shape, generator=rng)

    def run(block: torch.nn.Module, parameters: list[Tensor]) -> list[Tensor]:
        out = block(x)
        return [out, *torch.autograd.grad(out, [x, *parameters], up)]

    return {"ours": lambda: run(ours, list(ours.parameters())), "torchvision": lambda: run(library, order)}


def main(rounds: int = 21) -> float:
    """Print the table line; return the median ratio."""
    runs = contestants()
    same(runs["ours"](), runs["torchvision"](), name="Swin block")
    return report("Swin block, forward + backward", take_turns(runs, rounds), "ours", "torchvision", AIM)


if __name__ == "__main__":
    main()
