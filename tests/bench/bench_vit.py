"""A vision transformer, forward and backward: ours beside torchvision's, same weights, in turn in one run.

Run ``python tests/bench/bench_vit.py``: a small one (64 pictures of 32 x 32 in patches of 4, width 64, four
blocks) and, with the aim's line, ViT-Ti's blocks (8 pictures of 224 x 224 in patches of 16, width 192, three
heads). Ours also keeps the attention weights of every block, which torchvision's does not return.
"""

import warnings
from collections.abc import Callable

import torch
from timing import report, same, take_turns
from torch import Tensor
from worked.attention.torchvision_weights import from_torchvision
from worked.attention.vit import ViT

AIM = 1.0
SIZES = {
    "ViT 32 px, width 64": (
        64,
        {"size": 32, "patch": 4, "width": 64, "depth": 4, "heads": 4, "hidden": 256},
    ),
    "ViT 224 px, width 192": (
        8,
        {"size": 224, "patch": 16, "width": 192, "depth": 4, "heads": 3, "hidden": 768},
    ),
}


def contestants(batch: int, shape: dict[str, int]) -> dict[str, Callable[[], list[Tensor]]]:
    """Each runs forward and backward on the same numbers, and returns its output and all gradients."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torchvision.models.vision_transformer import VisionTransformer
    torch.manual_seed(0)
    library = VisionTransformer(
        shape["size"], shape["patch"], shape["depth"], shape["heads"], shape["width"], shape["hidden"]
    )
    library.heads = torch.nn.Identity()
    for p in library.parameters():
        torch.nn.init.normal_(p, std=max(p.shape[-1], 4) ** -0.5)
    ours = ViT(**shape)
    ours.load_state_dict(from_torchvision(library.state_dict()))
    mine = dict(ours.named_parameters())
    order = [mine[name] for name in from_torchvision(dict(library.named_parameters()))]
    images = torch.randn(batch, 3, shape["size"], shape["size"])
    up = torch.randn(batch, shape["width"])

    def run_ours() -> list[Tensor]:
        out, _ = ours(images)
        return [out, *torch.autograd.grad(out, order, up)]

    def run_library() -> list[Tensor]:
        out = library(images)
        return [out, *torch.autograd.grad(out, list(library.parameters()), up)]

    return {"ours": run_ours, "torchvision": run_library}


def main(rounds: int = 21) -> float:
    """Print a line for each size; return the larger ratio."""
    ratios = []
    for name, (batch, shape) in SIZES.items():
        runs = contestants(batch, shape)
        same(runs["ours"](), runs["torchvision"](), relative=1e-3, name=name)
        times = take_turns(runs, rounds)
        ratios.append(report(f"{name}, forward + backward", times, "ours", "torchvision", AIM))
    return max(ratios)


if __name__ == "__main__":
    main()
