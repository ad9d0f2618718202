"""The shape of the repository that the rest relies on."""

import code
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_code_folder_never_shadows_the_standard_library():
    assert not (ROOT / "code" / "__init__.py").exists()
    assert hasattr(code, "InteractiveConsole")
