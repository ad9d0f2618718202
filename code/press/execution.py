"""Run the pages that are out of date, in parallel, and keep what they printed.

Each page runs in a kernel of its own with one thread. Finished pages are stored at once (jupyter-cache),
so that neither a failing neighbour nor Ctrl-C loses them.
"""

import asyncio
import os
import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from copy import deepcopy
from dataclasses import dataclass

import nbformat
import psutil
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.cache.main import JupyterCacheBase
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from press.book import Book, BookError, Page
from press.stamps import stamp

CLAIM = "application/vnd.worked.claim+json"
CELL_LIMIT = {"small": 300, "full": None}  # seconds; a small chapter has 60 in all
MEASURE = """
import pathlib, re, resource
status = pathlib.Path("/proc/self/status")
if status.exists():  # Linux; getrusage there counts what the parent had before it started this process
    print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1]) * 1024)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # macOS: bytes
"""
ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
}


@dataclass(frozen=True)
class Failure:
    """A page whose cell raised: which, where in the file, and what was said."""

    path: str
    cell: int
    line: int
    claim: str | None
    message: str

    def __str__(self) -> str:
        place = f"cell {self.cell} (line {self.line} of book/{self.path}.md)"
        about = f"claim {self.claim}: " if self.claim else ""
        return f"{self.path}, {place}: {about}{self.message}"


class ExecutionFailed(BookError):
    def __init__(self, failures: Sequence[Failure], kept: int) -> None:
        self.failures = list(failures)
        lines = "\n".join(f"  {failure}" for failure in failures)
        super().__init__(f"{len(failures)} of the pages failed ({kept} others are kept):\n{lines}")


def cache(book: Book) -> JupyterCacheBase:
    return get_cache(book.build / "cache" / book.profile)


def cached(book: Book, page: Page) -> tuple[NotebookNode, dict] | None:
    """The executed page and what was measured while it ran; None if that is out of date. Do not change it."""
    if page.path not in book.executed:
        store, notebook = cache(book), page.notebook(stamp(book, page))
        try:
            record = store.match_cache_notebook(notebook)
        except KeyError:
            return None
        _, executed = store.merge_match_into_notebook(notebook)
        book.executed[page.path] = executed, record.data
    return book.executed[page.path]


def execute(book: Book, pages: Sequence[Page], jobs: int) -> None:
    """Run every page of `pages` whose stored result is out of date; raise ExecutionFailed if one fails."""
    todo = [page for page in pages if page.executes and cached(book, page) is None]
    print(
        f"executing {len(todo)} of {sum(p.executes for p in pages)} pages ({book.profile} profile)",
        flush=True,
    )
    todo.sort(key=lambda page: not page.is_chapter)  # the long ones first
    failures: list[Failure] = []
    stamps = {page.path: stamp(book, page) for page in todo}
    store, started, progress = cache(book), time.perf_counter(), Progress(len(todo))
    pool = ThreadPoolExecutor(max_workers=jobs)
    running: dict[Future, Page] = {}

    def finish(done: set[Future]) -> None:
        for future in done:
            page = running.pop(future)
            try:
                notebook, measured = future.result()
            except PageFailed as error:
                failures.append(error.failure)
                progress.done(f"FAILED {page.path}")
                continue
            store.cache_notebook_bundle(
                CacheBundleIn(notebook, str(page.file), data=measured), check_validity=False, overwrite=True
            )
            progress.done(f"{page.path}  {measured['seconds']:.1f} s, {measured['peak_mb']:.0f} MB")

    try:
        for page in todo:
            running[pool.submit(run_page, book, page, stamps[page.path], progress)] = page
        while running:
            done, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            finish(done)
            progress.show()
    except KeyboardInterrupt:
        finish({future for future in running if future.done()})
        stop(pool)
        print(f"\ninterrupted; {progress.finished - len(failures)} finished pages are kept", file=sys.stderr)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if todo:
        print(f"executed in {time.perf_counter() - started:.0f} s", flush=True)
    if failures:
        raise ExecutionFailed(failures, kept=len(todo) - len(failures))


def stop(pool: ThreadPoolExecutor) -> None:
    """End the kernels of pages that are still running; their threads then end by themselves."""
    pool.shutdown(wait=False, cancel_futures=True)
    for child in psutil.Process().children(recursive=True):
        child.kill()


class PageFailed(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


class Progress:
    """What is running and how much is done: one line rewritten in a terminal, plain lines in a log."""

    def __init__(self, total: int) -> None:
        self.total, self.finished, self.at = total, 0, {}
        self.terminal = sys.stdout.isatty()

    def cell(self, path: str, number: int, of: int) -> None:
        self.at[path] = f"{path} {number}/{of}"

    def done(self, line: str) -> None:
        self.finished += 1
        clear = "\r\x1b[2K" if self.terminal else ""
        print(f"{clear}[{self.finished}/{self.total}] {line}", flush=True)

    def show(self) -> None:
        if self.terminal and self.at:
            print(f"\r\x1b[2K{', '.join(self.at.values())}"[:120], end="", flush=True)


def run_page(book: Book, page: Page, stamp: str, progress: Progress) -> tuple[NotebookNode, dict]:
    """Execute one page in a fresh kernel; its outputs, and {"seconds", "peak_mb"}."""
    notebook = page.notebook(stamp)
    measured = deepcopy(notebook)
    measured.cells.append(nbformat.v4.new_code_cell(MEASURE))
    codes = [i for i, cell in enumerate(measured.cells) if cell.cell_type == "code"]

    def note(cell: NotebookNode, cell_index: int) -> None:
        progress.cell(page.path, codes.index(cell_index) + 1, len(codes) - 1)

    client = NotebookClient(
        measured,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # else every kernel warns that it listens on localhost
        timeout=CELL_LIMIT[book.profile],
        startup_timeout=300,  # a busy machine may need more than the usual minute to start a kernel
        record_timing=False,  # it would go into the cells' metadata, which the cache compares
        resources={"metadata": {"path": str(page.file.parent)}},
        on_cell_execute=note,
    )
    environment = (
        os.environ
        | ONE_THREAD
        | {
            "PYTHONPATH": str(book.code),
            "PYTHONHASHSEED": "0",
            "WORKED_PROFILE": book.profile,
            "WORKED_PRESS": "1",
            "SOURCE_DATE_EPOCH": "0",  # matplotlib would write the time into every figure
        }
    )
    if book.profile == "full":
        for name in ONE_THREAD:
            environment.pop(name)
    began = time.perf_counter()
    try:
        asyncio.run(client.async_execute(env=environment))
    except (CellExecutionError, CellTimeoutError, DeadKernelError, RuntimeError) as error:
        raise PageFailed(failure(page, measured, error)) from error  # RuntimeError: no kernel came up
    finally:
        progress.at.pop(page.path, None)
    seconds = time.perf_counter() - began
    peak = int(measured.cells.pop().outputs[0]["text"])
    notebook.cells = measured.cells
    return notebook, {"seconds": round(seconds, 2), "peak_mb": round(peak / 2**20, 1)}


def failure(page: Page, notebook: NotebookNode, error: Exception) -> Failure:
    """Which cell stopped the page, and the claim in it that did not hold."""
    ran = [
        (i, c)
        for i, c in enumerate(notebook.cells)
        if c.cell_type == "code" and c.execution_count is not None
    ]
    raised = [i for i, c in ran if any(o.output_type == "error" for o in c.outputs)]
    index = raised[0] if raised else (ran[-1][0] if ran else 0)
    outputs = notebook.cells[index].get("outputs", [])
    records = [o["data"][CLAIM] for o in outputs if CLAIM in o.get("data", {})]
    failed = next((record["id"] for record in records if not record["passed"]), None)
    name, value = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", str(error))
    lines = page.notebook().metadata["source_map"]  # the executed one counts the stamp's line too
    return Failure(
        page.path,
        cell=sum(c.cell_type == "code" for c in notebook.cells[: index + 1]),
        line=lines[index],
        claim=failed,
        message=re.sub(r"\x1b\[[0-9;]*m", "", f"{name}: {value}").strip(),
    )
