"""What the project says of itself in several files agrees."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


CITATION = yaml.safe_load(read("CITATION.cff"))
CONFIG = yaml.safe_load(read("_config.yml"))
PROJECT = tomllib.loads(read("pyproject.toml"))["project"]


def test_one_version():
    book = CITATION["preferred-citation"]
    assert CITATION["version"] == book["version"] == PROJECT["version"]
    assert re.search(rf"(?m)^## \[{re.escape(PROJECT['version'])}\]", read("CHANGELOG.md"))


def test_one_title_one_author_one_year():
    for work in (CITATION, CITATION["preferred-citation"]):
        assert work["title"].split(":")[0] == CONFIG["title"]
        assert work["authors"] == [{"name": CONFIG["author"]}]
    assert str(CITATION["preferred-citation"]["year"]) == CONFIG["copyright"]
    assert f"Copyright (c) {CONFIG['copyright']} {CONFIG['author']}" in read("LICENSE")


def test_the_citation_has_what_the_format_asks_for():
    assert CITATION["cff-version"] == "1.2.0"
    assert all(CITATION[key] for key in ("message", "title", "authors"))
    assert CITATION["license"] == ["MIT", "CC-BY-4.0"]
    assert PROJECT["license"] == "MIT"


def test_the_text_of_the_licence_is_whole():
    text = read("LICENSE-TEXT")
    assert text.startswith("Attribution 4.0 International\n")
    assert [int(n) for n in re.findall(r"(?m)^Section (\d) -- ", text)] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert text.endswith("Creative Commons may be contacted at creativecommons.org.\n")


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True)
    return done.stdout.rstrip("\0").split("\0")


def test_the_address_stands_in_one_place():
    owner, name = CONFIG["repository"]["url"].rstrip("/").split("/")[-2:]
    forms = (f"{owner}/{name}".encode(), f"{owner}.github.io".encode())
    found = [
        f
        for f in tracked()
        if (ROOT / f).is_file() and any(form in (ROOT / f).read_bytes() for form in forms)
    ]
    assert found == ["_config.yml"]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_relative_links_lead_somewhere(page):
    text = read(page)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert [
        t for t in targets if not t.startswith(("http", "#")) and not (ROOT / t.split("#")[0]).exists()
    ] == []
    headings = {
        re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"(?m)^#+ (.+)$", text)
    }
    assert [t for t in targets if t.startswith("#") and t[1:] not in headings] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_commands_that_are_named_exist(page):
    targets = set(re.findall(r"(?m)^([a-z]+):", read("Makefile")))
    named = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"`[^`]+`|```[^`]+```", read(page)))))
    assert named
    assert named <= targets


def test_the_readme_shows_what_its_code_prints():
    text = read("README.md")
    (code,) = re.findall(r"(?s)```python\n(.*?)```", text)
    (shown,) = re.findall(r"(?s)```text\n(.*?)```", text)
    env = os.environ | {"PYTHONPATH": str(ROOT / "code"), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", env=env, check=True
    )
    assert done.stdout == shown
