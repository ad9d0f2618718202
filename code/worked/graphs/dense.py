"""The dense products of a layer, by the faster of the two libraries that PyTorch carries for them."""

import torch
from jaxtyping import Float
from torch import Tensor


def product(a: Float[Tensor, "n k"], b: Float[Tensor, "k m"]) -> Float[Tensor, "n m"]:
    """The matrix product a b, in float32 on a CPU by oneDNN where that is there, else as ``a @ b``.

    ``a @ b`` calls MKL, which does not use the widest instructions of every processor: on an AMD Zen 5 core
    oneDNN needed less than half its time, with the same rounding error. The operator has no derivative, so it
    is used only where none is recorded: in both directions of an autograd.Function, or under no_grad.

    Known value: [[1, 2]] [[3], [4]] = [[11]].
    """
    if _by_onednn(a, b):
        return torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")
    return a @ b


def _by_onednn(a: Tensor, b: Tensor) -> bool:
    return (
        a.dtype == b.dtype == torch.float32
        and a.device.type == b.device.type == "cpu"
        and a.numel() > 0
        and b.numel() > 0
        and a.is_contiguous()  # a transposed matrix would be copied first, and the gain is gone
        and not torch.is_grad_enabled()
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
