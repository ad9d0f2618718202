"""What a page's text gets from a cell."""

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from worked import glue as module
from worked.glue import glue


@pytest.fixture
def shown(monkeypatch) -> list:
    """Everything that glue displays, as (what, options)."""
    found = []
    monkeypatch.setattr(module, "get_ipython", InteractiveShell)
    monkeypatch.setattr(module, "display", lambda what, **options: found.append((what, options)))
    return found


@pytest.mark.parametrize("value", [0.5, torch.tensor(0.5), np.float64(0.5), torch.tensor([0.5])])
def test_a_number_of_any_kind_reaches_the_page_as_a_number(shown, monkeypatch, value):
    monkeypatch.setenv("WORKED_PRESS", "1")
    glue("share", value)
    ((what, options),) = shown
    assert what == {"application/papermill.record/text/plain": "0.5"}
    assert options["metadata"]["scrapbook"]["name"] == "share"


def test_an_array_of_several_numbers_is_no_number(monkeypatch, shown):
    monkeypatch.setenv("WORKED_PRESS", "1")
    with pytest.raises((RuntimeError, ValueError)):
        glue("shares", torch.tensor([0.5, 0.25]))


def test_a_notebook_shows_no_number(shown, monkeypatch):
    monkeypatch.delenv("WORKED_PRESS", raising=False)
    glue("share", torch.tensor(0.5))
    assert shown == []
