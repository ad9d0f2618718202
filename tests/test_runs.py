import json
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from worked import runs
from worked.figures import curves

ROOT = Path(__file__).parents[1]


@pytest.fixture
def book(monkeypatch, tmp_path):
    """A checkout of its own, with an empty book."""
    (tmp_path / "book").mkdir()
    monkeypatch.setattr(runs, "HERE", tmp_path / "code" / "worked")
    return tmp_path / "book" / "runs"


def record(name="small-run", **changes):
    rest = {"command": "make full", "seeds": [0, 1], "data": {"digits": "ab12"}, "started": time.time() - 60}
    return runs.record(name, **{"metrics": {"loss": 0.5}, **rest, **changes})


def test_what_is_recorded_is_loaded(book):
    loss = curves([1.0, 2.0], {"loss": [1.0, 0.5]}, xlabel="step", ylabel="loss")
    metrics = {
        "loss": torch.tensor(0.25),
        "shares": torch.tensor([0.5, 0.5]),
        "n": 3,
        "by": {"seed": (1, 2.5)},
    }
    assert record(metrics=metrics, figures={"loss": loss}) == book / "small-run.json"
    run = runs.load("small-run")
    assert run["metrics"] == {"loss": 0.25, "shares": [0.5, 0.5], "n": 3, "by": {"seed": [1, 2.5]}}
    assert run["seeds"] == [0, 1]
    assert run["data"] == {"digits": "ab12"}
    assert run["command"] == "make full"
    assert 60 <= run["seconds"] < 70
    assert run["figures"] == {"loss": "small-run-loss.svg"}
    assert (book / "small-run-loss.svg").read_text().startswith("<?xml")
    assert runs.picture("small-run", "loss").data.startswith("<svg")
    assert runs.names() == ["small-run"]


def test_a_record_says_where_it_comes_from(book, monkeypatch):
    monkeypatch.setenv("WORKED_PROFILE", "full")
    record()
    run = runs.load("small-run")
    assert run["profile"] == "full"
    assert run["versions"]["torch"] == torch.__version__.split("+")[0]
    assert run["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert "cores" in run["hardware"]
    assert len(run["date"]) == 10
    assert "commit" in run


def test_a_record_is_stable_text(book):
    text = record(metrics={"b": 1, "a": float("nan"), "c": torch.tensor([float("inf")])}).read_text()
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert json.loads(text, parse_constant=pytest.fail)["metrics"] == {"a": "nan", "b": 1, "c": ["inf"]}
    assert text.endswith("}\n")
    assert str(book) not in text


def test_outside_a_checkout_a_run_is_kept_in_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "HERE", tmp_path / "lib" / "python" / "worked")
    monkeypatch.chdir(tmp_path)
    assert record() == tmp_path / "runs" / "small-run.json"
    assert (tmp_path / "runs" / "small-run.json").is_file()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"name": "../up"}, "small letters"),
        ({"name": "A run"}, "small letters"),
        ({"seeds": []}, "needs its command, its seeds"),
        ({"data": {}}, "needs its command, its seeds"),
        ({"command": ""}, "needs its command, its seeds"),
        ({"started": time.time() + 1e6}, "in the future"),
    ],
)
def test_rejects(book, changes, match):
    with pytest.raises(ValueError, match=match):
        record(**changes)
    assert not book.exists()


def test_unknown_runs_and_figures(book):
    with pytest.raises(runs.RunNotFound, match="no recorded run 'x'; there are: none"):
        runs.load("x")
    record()
    with pytest.raises(runs.RunNotFound, match="no recorded run 'x'; there are: small-run"):
        runs.load("x")
    with pytest.raises(runs.RunNotFound, match="has no figure 'loss'; it has: none"):
        runs.picture("small-run", "loss")


def test_checksum_sees_values_shape_and_type(rng):
    x = torch.rand(3, 4, generator=rng)
    same = x.T.clone().T  # other strides
    assert runs.checksum(x) == runs.checksum(same)
    others = [x + 1e-6, x.T, x.reshape(-1), x.double(), x[:2]]
    assert len({runs.checksum(other) for other in [x, *others]}) == 6
    assert runs.checksum(x, x) != runs.checksum(x)
    zeros = torch.zeros(3)
    assert runs.checksum(zeros) != runs.checksum(zeros.int())  # the same bytes


def git(folder, *words):
    words = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@a.example", *words]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed: commits are not checked here")
def test_the_commit_and_its_changes(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "HERE", tmp_path)
    assert runs.commit() is None  # no repository
    git(tmp_path, "init", "-q")
    (tmp_path / "runs.py").write_text("a")
    (tmp_path / "other.py").write_text("a")
    git(tmp_path, "add", "other.py")
    git(tmp_path, "commit", "-q", "-m", "a")
    assert runs.commit() is None  # a repository, but not that of this file
    git(tmp_path, "add", "runs.py")
    git(tmp_path, "commit", "-q", "-m", "b")
    assert runs.commit() == git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "new.txt").write_text("untracked files change nothing")
    assert runs.commit() == git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "other.py").write_text("b")
    assert runs.commit() == git(tmp_path, "rev-parse", "HEAD") + "+changes"


def test_the_checkout_reads_from_the_book():
    assert runs.folder() == ROOT / "book" / "runs"
    assert (runs.HERE / "recorded").resolve() == ROOT / "book" / "runs"


def test_the_shipped_records_are_complete():
    for name in runs.names():
        run = runs.load(name)
        wanted = {"command", "metrics", "seeds", "data", "hardware", "versions", "commit", "seconds", "date"}
        assert not wanted - run.keys()
        for file in run["figures"].values():
            assert (runs.folder() / file).is_file()


def test_an_installed_package_carries_records_and_weights(monkeypatch, tmp_path):
    """Build the wheel of a copy that has a record, unpack it elsewhere, and read the record there."""
    source, site = tmp_path / "source", tmp_path / "site"
    ignore = shutil.ignore_patterns("__pycache__", "recorded")
    shutil.copytree(ROOT / "code" / "worked", source / "code" / "worked", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", source)
    for name in ("README.md", "LICENSE"):
        (source / name).write_text(name)
    (source / "book" / "runs").mkdir(parents=True)
    (source / "code" / "worked" / "recorded").symlink_to("../../book/runs")
    (source / "book" / "runs" / "a-run.json").write_text('{"metrics": 7, "figures": {"p": "a-run-p.svg"}}')
    (source / "book" / "runs" / "a-run-p.svg").write_text("<svg></svg>")
    build = "import sys, setuptools.build_meta as b; print(b.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    for file in (ROOT / "code" / "worked" / "weights").glob("mnist*.*"):
        assert (site / "worked" / "weights" / file.name).read_bytes() == file.read_bytes()
    monkeypatch.setattr(runs, "HERE", site / "worked")
    assert runs.load("a-run")["metrics"] == 7
    assert runs.picture("a-run", "p").data == "<svg/>"
