"""The budgets of the design, read off what the build of this checkout measured or measured here."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEDGER = ROOT / "_build" / "ledger.json"

pytestmark = pytest.mark.skipif(not LEDGER.exists(), reason="the book is not built: run `make book`")


def build(root: Path) -> tuple[float, str]:
    """Seconds and output of `python -m press build`."""
    began = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-m", "press", "build"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "code")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return time.perf_counter() - began, result.stdout


@pytest.mark.parametrize(
    "chapter", json.loads(LEDGER.read_text())["chapters"] if LEDGER.exists() else [], ids=lambda c: c["path"]
)
def test_a_chapter_takes_a_minute_and_a_laptop(chapter):
    assert chapter["seconds"] <= 60
    assert chapter["peak_mb"] <= 1500


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the checkout and of what was built, in which nothing is out of date."""
    root = tmp_path_factory.mktemp("copy") / "book"
    ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "tests")
    shutil.copytree(ROOT, root, ignore=ignored)
    build(root)  # absolute paths are in Sphinx's own cache
    return root


def test_nothing_changed_builds_in_fifteen_seconds(copy):
    seconds, said = build(copy)
    assert "executing 0 of" in said
    assert seconds <= 15


def test_changed_prose_runs_no_cell_and_builds_in_twenty_seconds(copy):
    page = copy / "book" / "generative" / "closed-form.md"
    page.write_text(page.read_text().replace("## Sources", "One more sentence.\n\n## Sources"))
    seconds, said = build(copy)
    assert "executing 0 of" in said
    assert "One more sentence." in (copy / "_build/html/generative/closed-form.html").read_text()
    assert seconds <= 20


def test_a_changed_title_reaches_the_navigation_of_every_page(copy):
    page = copy / "book" / "notation.md"
    page.write_text(page.read_text().replace("# Notation", "# Signs and names", 1))
    build(copy)
    for other in ("graphs/equivariance", "reference/claims"):
        assert "Signs and names" in (copy / f"_build/html/{other}.html").read_text()
