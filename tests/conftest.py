"""What every test has: shapes checked at each call, one seeded generator, and no network."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import hypothesis
import jaxtyping
import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("worked", "beartype.beartype")  # a wrong shape is an error in tests, free in use

hypothesis.settings.register_profile("worked", derandomize=True, deadline=None, print_blob=False)
hypothesis.settings.load_profile("worked")


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def unhooked():
    """Shapes unchecked: what a reader of the package sees, who has no hook."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
