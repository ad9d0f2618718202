"""Which pages run, what is kept when one fails or is interrupted, and what a failure says."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from press import ledger
from press.book import Book, BookError
from press.execution import ExecutionFailed, cached, execute
from press.stamps import dependencies

CODE = Path(__file__).parents[2] / "code"


@pytest.fixture
def built(sample):
    execute(Book(sample), Book(sample).pages, jobs=2)
    return sample


def stale(root) -> list[str]:
    book = Book(root)
    return [page.path for page in book.pages if page.executes and cached(book, page) is None]


def edit(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_changed_module_makes_exactly_its_dependants_stale(built):
    assert stale(built) == []
    edit(built / "code/worked/graphs/base.py", "UNIT = 1.0", "UNIT = 1.0  # as ever")
    assert stale(built) == ["graphs/two"]
    with (built / "code/worked/claims.py").open("a") as file:
        file.write("# changed\n")
    assert stale(built) == ["graphs/one", "graphs/two"]


def test_changed_prose_makes_nothing_stale(built):
    edit(built / "book/graphs/one.md", "Prose about", "Other prose about")
    assert stale(built) == []


def test_changed_cell_pins_and_profile_make_stale(built):
    assert {page.path for page in Book(built, "full").pages if cached(Book(built, "full"), page)} == set()
    edit(built / "book/graphs/one.md", "2 * value()", "3 * value()")
    assert stale(built) == ["graphs/one"]
    (built / "requirements.txt").write_text("torch==9\n")
    assert stale(built) == ["graphs/one", "graphs/two"]


def test_weights_and_runs_that_the_code_names_are_dependencies(sample):
    edit(sample / "book/graphs/one.md", "2 * value()", '"small-net"')
    weights = sample / "code/worked/weights"
    weights.mkdir()
    for name in ("small-net", "other-net"):
        (weights / f"{name}.safetensors").write_bytes(b"")
    book = Book(sample)
    names = {file.name for file in dependencies(book, book.page("graphs/one"))}
    assert "small-net.safetensors" in names
    assert "other-net.safetensors" not in names


def test_the_ledger_says_what_ran(built):
    chapters = {chapter["path"]: chapter for chapter in ledger.write(Book(built))["chapters"]}
    one = chapters["graphs/one"]
    assert one["problems"] == {"SSL-4": "thm-one"}
    assert one["theorems"] == [claim["id"] for claim in one["claims"]] == ["thm-one"]
    assert one["claims"][0]["holds"] == [{"what": "as computed", "error": 0.0, "below": 1e-9}]
    assert one["claims"][0]["refutes"][0]["error"] == 1.0
    assert one["exercises"] == one["solutions"] == ["ex-one"]
    assert 0 < one["seconds"] < 60
    assert 10 < one["peak_mb"] < 1500


def test_the_ledger_refuses_a_claim_that_did_not_run(built):
    edit(built / "book/graphs/one.md", 'with claim("thm-one"', 'for c in ():\n  with claim("thm-one"')
    edit(built / "book/graphs/one.md", "    c.", "        c.")
    execute(Book(built), Book(built).pages, jobs=1)
    with pytest.raises(BookError, match="claims that ran are"):
        ledger.write(Book(built))


def test_a_failing_claim_is_named_and_the_neighbour_kept(sample):
    edit(sample / "code/worked/graphs/base.py", "1.0", "1.5")
    with pytest.raises(ExecutionFailed) as error:
        execute(Book(sample), Book(sample).pages, jobs=2)
    (failure,) = error.value.failures
    assert (failure.path, failure.cell, failure.claim) == ("graphs/two", 2, "thm-two")
    assert "book/graphs/two.md" in str(failure)
    assert "claim thm-two" in str(failure)
    assert stale(sample) == ["graphs/two"]


def test_a_cell_that_raises_is_named(sample):
    edit(sample / "book/graphs/one.md", "2 * value()", "1 / 0")
    with pytest.raises(ExecutionFailed) as error:
        execute(Book(sample), [Book(sample).page("graphs/one")], jobs=1)
    (failure,) = error.value.failures
    assert (failure.cell, failure.claim) == (3, None)
    assert "ZeroDivisionError" in failure.message
    line = (sample / "book/graphs/one.md").read_text().splitlines()[failure.line - 1]
    assert line.startswith("```{code-cell}")


def test_ctrl_c_keeps_finished_pages_and_leaves_no_kernel(sample):
    edit(sample / "book/graphs/two.md", "2 * value()", "import time; time.sleep(600)")
    command = ["-m", "press", "--root", sample, "--jobs", "2", "execute", "graphs/one", "graphs/two"]
    with subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": str(CODE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # a shell that runs the tests in the background lets them ignore Ctrl-C, and the child inherits it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as press:
        for line in press.stdout:
            if "graphs/one" in line and "s," in line:
                break
        time.sleep(0.5)
        press.send_signal(signal.SIGINT)
        try:
            rest, _ = press.communicate(timeout=60)
        finally:
            press.kill()
    assert press.returncode == 130
    assert "1 finished pages are kept" in rest
    assert stale(sample) == ["graphs/two"]
