"""A Python environment that holds the package and what it declares, and nothing else.

Made without the network: the package as a wheel of this checkout, the declared dependencies (and theirs) as
links to the ones installed here, and a kernel to run notebooks with.
"""

import json
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
KERNEL = "clean"


def needed(requirements: list[str]) -> dict[str, metadata.Distribution]:
    """The distributions that these requirements ask for, and all that these ask for in turn."""
    found: dict[str, metadata.Distribution] = {}
    todo = [Requirement(text) for text in requirements]
    while todo:
        requirement = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        distribution = metadata.distribution(requirement.name)
        name = distribution.metadata["Name"].lower()
        if name not in found:
            found[name] = distribution
            todo += [Requirement(text) for text in distribution.requires or []]
    return found


def make(folder: Path) -> Path:
    """Make the environment in `folder`; returns the JUPYTER_PATH under which its kernel `clean` is found."""
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    packages = next((folder / "env" / "lib").glob("python*")) / "site-packages"
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for distribution in needed([*declared, "ipykernel"]).values():
        for top in {
            file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")
        }:
            source = Path(distribution.locate_file(top))
            if source.exists() and not (packages / top).exists():
                (packages / top).symlink_to(source)
    copy = folder / "source"  # setuptools would leave its traces in the checkout
    copy.mkdir()
    for name in ("code", "book", "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, copy / name)
    offline = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", folder, copy], check=True)
    (wheel,) = folder.glob("worked_deep_learning-*.whl")
    zipfile.ZipFile(wheel).extractall(packages)
    kernel = folder / "jupyter" / "kernels" / KERNEL
    kernel.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": command, "display_name": KERNEL, "language": "python"})
    )
    return folder / "jupyter"
