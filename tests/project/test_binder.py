"""Binder gets what the lock has: the same versions, for its Python, with PyTorch built for CPUs."""

import ast
import importlib.util
import os
import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
BINDER = ROOT / "binder"


def pins(text: str, **environment: str) -> dict[str, str]:
    """name -> version of every line `name==version`, markers read for the given environment."""
    found = {}
    for line in re.findall(r"(?m)^[A-Za-z][^#\n]*==[^#\n]*", text):
        requirement = Requirement(line.strip())
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (specifier,) = requirement.specifier
            found[requirement.name] = specifier.version
    return found


def read(name: str) -> str:
    return (BINDER / name).read_text(encoding="utf-8")


def test_the_pins_are_those_of_the_lock():
    python = re.fullmatch(r"python-(3\.\d+)\n", read("runtime.txt"))[1]
    lock = pins(
        (ROOT / "requirements.txt").read_text(encoding="utf-8"),
        python_version=python,
        python_full_version=f"{python}.0",
        sys_platform="linux",
        platform_machine="x86_64",
    )
    binder = pins(read("requirements.txt"))
    assert {name: version.removesuffix("+cpu") for name, version in binder.items()} == {
        name: lock[name] for name in binder
    }
    assert {name for name, version in binder.items() if version.endswith("+cpu")} == {"torch", "torchvision"}


def test_nothing_that_the_package_declares_is_missing():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert {Requirement(line).name for line in declared} == set(pins(read("requirements.txt")))


def test_post_build_runs_as_binder_runs_it():
    assert os.access(BINDER / "postBuild", os.X_OK)
    assert read("postBuild").startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", BINDER / "postBuild"], check=True)
    assert "pip install --quiet --no-deps ." in read("postBuild")


def test_what_is_warmed_is_there():
    (modules,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(read("warm.py")).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "MODULES"
    )
    assert [m for m in modules if importlib.util.find_spec(m) is None] == []
