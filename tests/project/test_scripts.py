"""The scripts that the workflows call, run against stand-ins for what they talk to."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / ".github" / "scripts"
RUN = "https://example.org/run/7"


def git(where: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", where, *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def branch(tmp_path):
    (tmp_path / "site" / "graphs").mkdir(parents=True)
    (tmp_path / "site" / "graphs" / "a.ipynb").write_text("{}")
    script = SCRIPTS / "notebooks-branch"
    subprocess.run([script, tmp_path / "site", tmp_path / "branch"], check=True)
    return tmp_path / "branch"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
class TestNotebooksBranch:
    def test_holds_notebooks_and_all_that_installs_their_package(self, branch):
        held = set(git(branch, "ls-files").split())
        assert {"graphs/a.ipynb", "binder/postBuild", "binder/requirements.txt"} <= held
        assert {"pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT", "code/worked/claims.py"} <= held
        package = {p.relative_to(ROOT).as_posix() for p in (ROOT / "code/worked").rglob("*.py")}
        assert package <= held
        assert not any("__pycache__" in file or file.startswith((".github", "code/press")) for file in held)

    def test_carries_the_recorded_runs_as_files(self, branch):
        recorded = branch / "code" / "worked" / "recorded"
        assert not recorded.is_symlink()
        assert {p.name for p in recorded.iterdir()} == {p.name for p in (ROOT / "book/runs").iterdir()}

    def test_is_one_commit_that_names_where_it_came_from(self, branch):
        assert git(branch, "log", "--format=%s", "notebooks").strip() == (
            f"Notebooks of {git(ROOT, 'rev-parse', 'HEAD').strip()}"
        )
        assert git(branch, "status", "--porcelain") == ""

    def test_refuses_a_site_without_notebooks(self, tmp_path):
        (tmp_path / "empty").mkdir()
        script = SCRIPTS / "notebooks-branch"
        done = subprocess.run([script, tmp_path / "empty", tmp_path / "b"], capture_output=True, text=True)
        assert done.returncode != 0
        assert "no notebook" in done.stderr


@pytest.mark.parametrize(
    ("result", "open_issue", "calls"),
    [
        ("failure", "", ["issue list", "issue create"]),
        ("failure", "12", ["issue list", "issue comment 12"]),
        ("success", "12", ["issue list", "issue close 12"]),
        ("success", "", ["issue list"]),
        ("skipped", "12", ["issue list"]),
    ],
)
def test_one_issue_follows_the_weekly_run(tmp_path, result, open_issue, calls):
    gh = tmp_path / "gh"
    gh.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/log\n[ "$2" = list ] && echo "{open_issue}" || true\n')
    gh.chmod(0o755)
    subprocess.run(
        [SCRIPTS / "report-newest", result, RUN],
        check=True,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    log = (tmp_path / "log").read_text()
    lines = [line for line in log.splitlines() if line.startswith("issue ")]
    assert len(lines) == len(calls)
    assert all(line.startswith(call) for line, call in zip(lines, calls, strict=True))
    assert (RUN in log) == (len(calls) > 1)


@pytest.fixture(scope="module")
def smoke():
    spec = importlib.util.spec_from_file_location("gpu_smoke", SCRIPTS / "gpu_smoke.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
class TestGpuSmoke:
    def test_another_order_of_summation_passes(self, smoke, dtype):
        rng = torch.Generator().manual_seed(0)
        a, b = torch.randn(2, smoke.N, smoke.N, generator=rng, dtype=torch.float64).to(dtype)
        half = smoke.N // 2
        other = a[:, half:] @ b[half:] + a[:, :half] @ b[:half]
        assert 0 < smoke.excess(other.double(), dtype) <= 1

    def test_one_wrong_entry_and_a_coarser_type_fail(self, smoke, dtype):
        right = smoke.product(dtype, "cpu")
        wrong = right.clone()
        wrong[3, 5] *= 1.01
        assert smoke.excess(wrong, dtype) > 1
        coarser = {torch.float32: torch.bfloat16, torch.float64: torch.float32}[dtype]
        assert smoke.excess(right.to(coarser).double(), dtype) > 1
        assert not smoke.excess(right * torch.nan, dtype) <= 1
