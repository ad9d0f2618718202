"""What attention costs: the two formulas, and counts of what modules really do."""

import statistics
import time
from collections import Counter, defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode


def omega_msa(h: int, w: int, c: int) -> int:
    r"""Multiply-adds of global self-attention on an h x w map of c features.

    .. math:: \Omega(\text{MSA}) = 4hwC^2 + 2(hw)^2C

    Known value: h = w = 2, C = 3 gives 144 + 96 = 240.
    Source: Liu et al. 2021, arXiv:2103.14030, eq. (1). Taught in: attention/swin, thm-swin-complexity.
    """
    return 4 * h * w * c**2 + 2 * (h * w) ** 2 * c


def omega_wmsa(h: int, w: int, c: int, window: int) -> int:
    r"""Multiply-adds of attention within windows of M x M tokens, where M divides h and w.

    .. math:: \Omega(\text{W-MSA}) = 4hwC^2 + 2M^2hwC

    Known value: h = w = 4, C = 3, M = 2 gives 576 + 384 = 960.
    Source: Liu et al. 2021, arXiv:2103.14030, eq. (2). Taught in: attention/swin, thm-swin-complexity.
    """
    return 4 * h * w * c**2 + 2 * window**2 * h * w * c


def multi_head_parameters(*, d: int, heads: int, d_k: int, d_v: int, d_out: int) -> int:
    r"""Weights of multi-head attention without biases: of all queries, keys and values, and of the output.

    .. math:: H d\,(2 d_k + d_v) + H d_v\,d_{\text{out}}

    Known value: d = 100, 3 heads, d_k = 10, d_v = 20, d_out = 50 gives 12,000 + 3,000 = 15,000.
    Taught in: attention/multi-head, thm-multi-parameters.
    """
    return heads * d * (2 * d_k + d_v) + heads * d_v * d_out


def omega_multi_head(n: int, *, d: int, heads: int, d_k: int, d_v: int, d_out: int) -> int:
    r"""Multiply-adds of multi-head self-attention of n tokens: n for each parameter, and the two products.

    .. math:: n\,\big(H d\,(2 d_k + d_v) + H d_v\,d_{\text{out}}\big) + n^2 H\,(d_k + d_v)

    Known value: the sizes above with n = 64 give 960,000 + 368,640. With d_k = d_v = d / H, d_out = d = C and
    n = hw it is `omega_msa`. Taught in: attention/multi-head, thm-multi-cost.
    """
    weights = multi_head_parameters(d=d, heads=heads, d_k=d_k, d_v=d_v, d_out=d_out)
    return n * weights + n**2 * heads * (d_k + d_v)


def multiply_adds(module: nn.Module, *inputs: Tensor) -> int:
    """Multiply-adds of all matrix products and convolutions in module(*inputs), counted as they run.

    PyTorch counts two operations for each multiply-add, and nothing for softmax, sums, normalisation or
    copies. Known value: a linear map from 3 to 5 features on 2 rows takes 30.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*inputs)
    return counter.get_total_flops() // 2


def entries_written(module: nn.Module, *inputs: Tensor) -> Counter[str]:
    """Numbers that each kind of operation writes in module(*inputs), by PyTorch's name of the operation.

    Views write nothing and are left out. Known value: softmax of a 2 x 3 matrix gives {"_softmax": 6}.
    """
    return _run(module, *inputs).entries


def seconds_spent(module: nn.Module, *inputs: Tensor, rounds: int = 5) -> dict[str, float]:
    """Seconds in each kind of operation of module(*inputs), the median of so many rounds after one more.

    As measured on this machine at this moment; on a GPU the operations run on after they were timed, so use a
    CPU. Known value: the names are those of `entries_written`.
    """
    runs = [_run(module, *inputs).seconds for _ in range(rounds + 1)][1:]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def bytes_kept(module: nn.Module, *inputs: Tensor) -> int:
    """Bytes that module(*inputs) keeps for its backward pass, parameters and buffers apart.

    Each storage counts once. The same on every machine, unlike the peak of the memory in use, which depends
    on the allocator too. Known value: the exponential of 10 float32 numbers keeps its result, 40 bytes.
    """
    own = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = module(*inputs)  # keep it: the graph holds what was saved, so that no address is used twice
    del out
    return sum(kept.values())


class _Ledger(TorchDispatchMode):
    """Notes for every operation below autograd how many numbers it writes, and how long it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: Counter[str] = Counter()
        self.seconds: dict[str, float] = defaultdict(float)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        start = time.perf_counter()
        out = func(*args, **(kwargs or {}))
        seconds, name = time.perf_counter() - start, func.overloadpacket.__name__
        if not (func.is_view or name in ("_unsafe_view", "empty")):
            outputs = out if isinstance(out, list | tuple) else (out,)
            self.entries[name] += sum(t.numel() for t in outputs if isinstance(t, Tensor))
            self.seconds[name] += seconds
        return out


def _run(module: nn.Module, *inputs: Tensor) -> _Ledger:
    with _Ledger() as ledger, torch.no_grad():
        module(*inputs)
    return ledger
