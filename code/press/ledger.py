"""The ledger: what every chapter states, claims, asks and cost, as the last execution saw it."""

import importlib.metadata
import json
import platform

from press.book import NEEDS_CLAIM, Book, BookError, Page
from press.execution import CLAIM, cached

VERSIONS = ("torch", "torchvision", "numpy", "matplotlib", "scikit-learn", "scikit-image", "networkx")


def entry(book: Book, page: Page) -> dict:
    """One chapter's part of the ledger. Raises BookError if its claims are not those of its theorems."""
    result = cached(book, page)
    if result is None:
        raise BookError(f"{page.path} has not been executed: run `python -m press execute {page.path}`")
    notebook, measured = result
    claims = [
        output["data"][CLAIM]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if CLAIM in output.get("data", {})
    ]
    theorems = [d.label for d in page.labelled(*NEEDS_CLAIM)]
    ids = [claim["id"] for claim in claims]
    if sorted(ids) != sorted(theorems):
        raise BookError(
            f"{page.path}: the theorems are {sorted(theorems)}, the claims that ran are {sorted(ids)}; "
            "each theorem needs one claim of the same id"
        )
    about = page.meta["worked"]
    return {
        "path": page.path,
        "title": page.title,
        "problems": about["problems"],
        "requires": about["requires"],
        "theorems": theorems,
        "claims": claims,
        "exercises": [d.label for d in page.labelled("exercise", "exercise-start")],
        "solutions": [d.argument for d in page.labelled("solution", "solution-start")],
        "errata": [
            {"label": d.label, "title": d.argument, "problem": d.options["problem"]}
            for d in page.labelled("erratum")
        ],
        "seconds": measured["seconds"],
        "peak_mb": measured["peak_mb"],
    }


def write(book: Book) -> dict:
    """Gather the ledger of all chapters and write `_build/ledger.json`; unchanged content keeps the file."""
    ledger = {
        "profile": book.profile,
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in VERSIONS},
        "chapters": [entry(book, page) for page in book.chapters],
        "runs": [file.name for file in book.runs],
    }
    text = json.dumps(ledger, indent=1, ensure_ascii=False) + "\n"
    if not book.ledger.exists() or book.ledger.read_text(encoding="utf-8") != text:
        book.build.mkdir(exist_ok=True)
        book.ledger.write_text(text, encoding="utf-8")
    return ledger


def read(book: Book) -> dict:
    return json.loads(book.ledger.read_text(encoding="utf-8"))
