import math
import tempfile

import pytest
import torch
from worked.selfsup import two_devices
from worked.selfsup.processes import run_processes


def test_a_failure_is_told_and_nothing_is_left(tmp_path, monkeypatch):
    """The inputs lack what the task wants: its own error comes back, and the folder is gone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"step failed in one of 2 processes[\s\S]*Missing key"):
        run_processes(two_devices.step, [{"x": torch.zeros(1)}] * 2, timeout=60.0)
    assert not list(tmp_path.iterdir())


def test_rejects_what_new_processes_cannot_import():
    with pytest.raises(ValueError, match="importable"):
        run_processes(lambda inputs: inputs, [{"x": torch.zeros(1)}])
    with pytest.raises(ValueError, match="no inputs"):
        run_processes(two_devices.step, [])
    with pytest.raises(ValueError, match="importable"):
        run_processes(in_a_notebook(), [{"x": torch.zeros(1)}])


def in_a_notebook():
    def task(inputs):
        return {"x": inputs["x"] * math.pi}

    return task
