"""What a forward pass leaves in memory for the way back: counted in numbers, not read off a clock."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode


class _Births(TorchDispatchMode):
    """Notes every storage that an operation makes, without keeping it alive."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.known = known  # addresses of what was there before
        self.born: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, list | tuple) else (out,):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in self.known:
                storage = tensor.untyped_storage()
                reference = StorageWeakRef(storage)
                self.born[reference.cdata] = reference, storage.nbytes()
        return out

    def alive(self) -> int:
        return sum(nbytes for reference, nbytes in self.born.values() if not reference.expired())


def bytes_alive(network: nn.Module, x: Tensor, *, grad: bool = True) -> int:
    """Bytes that network(x) made and that live on after it, its output included, input and weights not.

    With grad these are what the way back needs; without it only the output remains. Each storage counts
    once, and what was computed and freed on the way does not count. The same on every machine.

    `worked.attention.counting.bytes_kept` counts what autograd was handed to save, the input included; that
    does not see what checkpointing frees, nor what is left without grad, which is the question here.

    Known value: the exponential of 10 float32 numbers keeps its result, 40 bytes, with or without grad.
    """
    known = {t.untyped_storage().data_ptr() for t in (x, *network.parameters(), *network.buffers())}
    with torch.set_grad_enabled(grad), _Births(known) as births:
        out = network(x)
    alive = births.alive()
    del out  # only now: the graph, and all that it holds, had to live until it was counted
    return alive
