"""An attack looks at a model in eval mode, and leaves it in the mode in which it was."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """The model in eval mode; afterwards, even after an exception, each module has its own mode again.

    Known value: batch norm in train mode inside a network in eval mode is in train mode again afterwards.
    """
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
