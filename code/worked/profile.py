"""How large to run: WORKED_PROFILE=small (default: offline, one core, a minute) or full (real data, a GPU).

The same cells run in both; sizes and sources come from here. The environment is read at every call, so that a
notebook may set it before its first cell asks.
"""

import os
import warnings
from typing import TypeVar

import torch

PROFILES = ("small", "full")
Value = TypeVar("Value")


def name() -> str:
    """The profile in force. Raises ValueError if WORKED_PROFILE names none."""
    chosen = os.environ.get("WORKED_PROFILE") or "small"
    if chosen not in PROFILES:
        raise ValueError(f"WORKED_PROFILE={chosen!r} is no profile; choose one of: {', '.join(PROFILES)}")
    return chosen


def pick(*, small: Value, full: Value) -> Value:
    """The value for the profile in force: pick(small=300, full=20_000) is 300 unless WORKED_PROFILE=full."""
    return {"small": small, "full": full}[name()]


def device() -> torch.device:
    """Where to compute: the CPU in small, the GPU in full. Full without a GPU warns and uses the CPU."""
    if name() == "full":
        if torch.cuda.is_available():
            return torch.device("cuda")
        warnings.warn("WORKED_PROFILE=full, but there is no GPU: the CPU will take hours", stacklevel=2)
    return torch.device("cpu")
