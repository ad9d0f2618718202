"""The published notebooks: clean, and run outside the repository they claim what the site claims."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from notebooks import environment

ROOT = environment.ROOT
FOLDER = ROOT / "_build" / "html" / "notebooks"
NOTEBOOKS = sorted(FOLDER.rglob("*.ipynb"))
LEDGER = ROOT / "_build" / "ledger.json"
CHAPTERS = json.loads(LEDGER.read_text())["chapters"] if LEDGER.exists() else []
MYST = re.compile(r"^[`:]{3,}\{|\{[\w:+-]+\}`|^\([\w-]+\)=\s*$|^:label:|:::\{", re.M)

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="the book is not built: run `make book`")


def name(path: Path) -> str:
    return path.relative_to(FOLDER).with_suffix("").as_posix()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_no_myst_is_left(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not MYST.search(cell.source), cell.source
        else:
            assert "depends" not in cell.metadata


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter["path"])
def test_a_chapters_notebook_is_whole(chapter):
    notebook = nbformat.read(FOLDER / f"{chapter['path']}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    claims = [
        output.data["application/vnd.worked.claim+json"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "application/vnd.worked.claim+json" in output.get("data", {})
    ]
    assert claims == chapter["claims"]
    assert text.count("<details>") >= len(chapter["solutions"])
    assert "%pip install" in notebook.cells[1].source
    assert "torch" not in notebook.cells[1].source


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    return environment.make(tmp_path_factory.mktemp("clean"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_runs_elsewhere_with_the_same_claims(path, clean, tmp_path):
    """nbval runs every cell and compares the outputs of the cells that hold a claim."""
    keep = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "WORKED_DATA", "WORKED_PRESS")}
    nbval = ["--nbval-lax", f"--nbval-kernel-name={environment.KERNEL}", "--nbval-cell-timeout=300"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *nbval, "-q", "-p", "no:cacheprovider", "-W", "ignore", str(path)],
        cwd=tmp_path,
        env=keep | {"JUPYTER_PATH": str(clean), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-4000:]
