"""Recorded runs: what a full-size run gave, on which machine, from which code and data, and how long it took.

Records lie in book/runs of a checkout. ``recorded`` beside this file is a link to that folder, so that an
installed package carries them and a chapter can show them anywhere.
"""

import hashlib
import json
import math
import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from IPython.display import SVG
from matplotlib.figure import Figure
from torch import Tensor

from worked import profile
from worked.figures import to_svg

HERE = Path(__file__).parent
LIBRARIES = ("torch", "torchvision", "numpy")


class RunNotFound(FileNotFoundError):
    """No run of that name was recorded."""


def folder() -> Path:
    """Where the records are read: book/runs in a checkout, its copy in an installed package."""
    return _book() / "runs" if _book().is_dir() else HERE / "recorded"


def names() -> list[str]:
    """The recorded runs, in alphabetical order."""
    return sorted(path.stem for path in folder().glob("*.json"))


def load(name: str) -> dict[str, Any]:
    """One record, as ``record`` wrote it. Raises RunNotFound, naming those that there are."""
    if name not in names():
        raise RunNotFound(f"no recorded run {name!r}; there are: {', '.join(names()) or 'none'}")
    return json.loads((folder() / f"{name}.json").read_text("utf-8"))


def picture(name: str, key: str) -> SVG:
    """A recorded figure, as a cell or ``glue`` shows it. Raises RunNotFound on an unknown run or figure."""
    figures = load(name)["figures"]
    if key not in figures:
        raise RunNotFound(f"run {name!r} has no figure {key!r}; it has: {', '.join(figures) or 'none'}")
    return SVG(filename=folder() / figures[key])


def record(
    name: str,
    metrics: Mapping[str, Any],
    *,
    command: str,
    seeds: Sequence[int],
    data: Mapping[str, str],
    started: float,
    figures: Mapping[str, Figure] | None = None,
) -> Path:
    """Write book/runs/NAME.json, and NAME-KEY.svg for each figure; outside a checkout into ./runs.

    ``command`` repeats the run; ``data`` maps each data set to its checksum (see ``checksum``); ``started``
    is time.time() at the beginning. Tensors among the metrics become numbers; non-finite numbers become
    words, since a run that diverged is a result too. Raises ValueError on a name that is no file name, and
    without command, data or seeds.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f"a run's name has small letters, digits and hyphens; got {name!r}")
    if not (seeds and data and command):
        raise ValueError(f"run {name} needs its command, its seeds and its data with their checksums")
    seconds = time.time() - started
    if seconds < 0:
        raise ValueError(f"run {name} started in the future: started={started} is not time.time()")
    where = folder() if _book().is_dir() else Path.cwd() / "runs"
    where.mkdir(parents=True, exist_ok=True)
    files = {key: f"{name}-{key}.svg" for key in figures or {}}
    for key, file in files.items():
        _write(where / file, to_svg(figures[key]))
    entry = {
        "name": name,
        "command": command,
        "metrics": _plain(metrics),
        "figures": files,
        "seeds": list(seeds),
        "data": dict(data),
        "profile": profile.name(),
        "seconds": round(seconds, 1),
        **provenance(),
    }
    path = where / f"{name}.json"
    _write(path, json.dumps(entry, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def provenance() -> dict[str, Any]:
    """Machine, versions, commit (with "+changes" if the tree had any), date in UTC: for records and cards."""
    return {
        "hardware": hardware(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def hardware() -> str:
    """The processor, the number of cores that this process may use, and the GPU if there is one."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).is_file() and (
        found := re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
    ):
        cpu = found[1]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{' '.join(cpu.split())}, {cores} cores, {gpu}"


def commit() -> str | None:
    """The commit of the checkout that this code runs from; None in an installed package."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", HERE, *words], capture_output=True, text=True)
        except FileNotFoundError:  # no git here
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if not git("ls-files", "--error-unmatch", Path(__file__).name):  # some other repository around a package
        return None
    changed = git("status", "--porcelain", "--untracked-files=no")
    return f"{git('rev-parse', 'HEAD')}{'+changes' if changed else ''}"


def checksum(*tensors: Tensor) -> str:
    """The SHA-256 over types, shapes and values of tensors: names any data, bundled or drawn."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _book() -> Path:
    """The book's folder, which only a checkout has: code/worked -> book."""
    return HERE.parents[1] / "book"


def _plain(value: Any) -> Any:
    """Numbers, words, lists and dicts only."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if hasattr(value, "tolist"):  # tensors and numpy
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)
