"""What the tests of this part share."""

import jaxtyping
import pytest


@pytest.fixture
def unhooked():
    """Switch off the shape checks of the test suite: what is left is what a reader sees."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
