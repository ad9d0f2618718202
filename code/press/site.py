"""Sphinx, run on the executed book: every warning is an error, and a failed build leaves nothing stale."""

import shutil
from pathlib import Path

from jupyter_book.sphinx import build_sphinx

from press.book import Book, BookError


def build_site(book: Book) -> Path:
    """Build `_build/html`; returns the path of its first page."""
    options = {
        "nb_execution_cache_path": str(book.build / "cache" / book.profile),
        "version": book.version,
        "release": book.version,
        "html_baseurl": f"{book.address}/",
        "external_toc_path": str(book.root / "_toc.yml"),
        "latex_individualpages": False,  # Jupyter Book asks for it
    }
    doctrees = book.build / "doctrees"
    outcome = build_sphinx(
        book.source,
        book.site,
        noconfig=True,
        path_config=book.root / "_config.yml",
        confoverrides=options,
        doctreedir=doctrees,
        builder="html",
        warningiserror=True,
        keep_going=True,
        quiet=True,
    )
    if outcome != 0:
        # A page with a warning would not be read again, and the next build would pass in silence.
        shutil.rmtree(doctrees, ignore_errors=True)
        if isinstance(outcome, Exception):
            raise BookError(f"Sphinx stopped: {outcome}") from outcome
        raise BookError("Sphinx warned (above); a warning is an error")
    return book.site / "index.html"
