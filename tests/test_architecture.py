"""Who may import whom: the contracts of pyproject.toml, which must also be able to fail."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from press.book import PARTS

ROOT = Path(__file__).parents[1]


def contracts(root: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=root,
        env={"PYTHONPATH": str(root / "code"), "PATH": ""},
        capture_output=True,
        text=True,
    )


def test_contracts_hold():
    result = contracts(ROOT)
    assert result.returncode == 0, result.stdout


def test_a_part_that_imports_a_later_one_breaks_the_contract(tmp_path):
    shutil.copytree(
        ROOT / "code", tmp_path / "code", ignore=shutil.ignore_patterns("*.safetensors", "__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "code/worked/graphs/wrong.py").write_text("import worked.generative\n")
    result = contracts(tmp_path)
    assert result.returncode == 1
    assert "worked.graphs.wrong" in result.stdout


def test_every_part_is_in_the_contract_in_reading_order():
    layers = re.findall(r'"\(worked\.(\w+)\)"', (ROOT / "pyproject.toml").read_text())
    assert tuple(reversed(layers)) == PARTS


def test_every_package_of_worked_is_a_part_or_on_the_ground_floor():
    declared = set(re.findall(r"worked\.(\w+)", (ROOT / "pyproject.toml").read_text()))
    there = {
        f.stem for f in (ROOT / "code/worked").iterdir() if f.suffix == ".py" or (f / "__init__.py").exists()
    }
    assert there - {"__init__"} <= declared
