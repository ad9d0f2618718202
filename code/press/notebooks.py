"""Each executed page as a clean .ipynb: plain Markdown, outputs kept, a first cell that installs the package.

These are what Download, Colab and Binder open. Nothing of MyST is left in them.
"""

import json
import re
from pathlib import Path

import nbformat
from docutils import nodes
from nbformat import NotebookNode
from sphinx.application import Sphinx

from press.book import Book, BookError, Page
from press.execution import CLAIM, cached
from press.markdown import CodeCell, Writer

BRANCH = "notebooks"  # of the repository: the notebooks, and the package that made them
GLUED = "application/papermill.record/"
KEPT_TAGS = {"hide-input", "hide-output", "hide-cell"}
NEEDED = "einops jaxtyping safetensors scikit-image networkx"  # what Colab may lack; never torch


def write_notebook(app: Sphinx, book: Book, page: Page, doctree: nodes.document) -> None:
    """Write `_build/html/notebooks/<path>.ipynb` for the page that Sphinx has just resolved."""
    result = cached(book, page)
    if result is None:
        raise BookError(f"{page.path} has not been executed")
    numbers = app.builder.fignumbers
    writer = Writer(f"{book.address}/{page.path}.html", numbers)
    notebook = compose(book, page, writer.page(doctree), result[0])
    file = Path(app.outdir) / "notebooks" / f"{page.path}.ipynb"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def compose(book: Book, page: Page, pieces: list[str | CodeCell], executed: NotebookNode) -> NotebookNode:
    notebook = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "colab": {"name": f"{page.path.replace('/', '-')}.ipynb"},
        }
    )
    title, _, opening = pieces[0].partition("\n\n")
    notebook.cells = [text_cell(f"{title}\n\n{where_from(book, page)}"), install_cell(book)]
    for piece in [opening, *pieces[1:]]:
        if isinstance(piece, str):
            notebook.cells.append(text_cell(piece))
        else:
            notebook.cells.append(clean(executed.cells[piece.index], folded=piece.in_solution))
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    nbformat.validate(notebook)
    return notebook


def text_cell(text: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(text)


def where_from(book: Book, page: Page) -> str:
    return (
        f"*This notebook is a page of {book.config['title']}, version {book.version}: "
        f"[{page.title}]({book.address}/{page.path}.html). Text CC BY 4.0, code MIT.*"
    )


def install_cell(book: Book) -> NotebookNode:
    """Installs the package where it is missing (Colab), and leaves the torch that is there alone."""
    source = (
        "try:\n    import worked\nexcept ModuleNotFoundError:\n"
        f"    %pip install -q {NEEDED}\n"
        f'    %pip install -q --no-deps "worked-deep-learning @ git+{book.repository}@{BRANCH}"'
    )
    return nbformat.v4.new_code_cell(source, metadata={"tags": ["nbval-ignore-output"]})


def clean(cell: NotebookNode, folded: bool) -> NotebookNode:
    """A code cell without the press's marks; what it glued is shown as an ordinary output.

    `folded`: part of a solution, shown closed in JupyterLab and as a form in Colab until it is opened.
    """
    tags = [tag for tag in cell.metadata.get("tags", []) if tag in KEPT_TAGS]
    outputs = [shown(output) for output in cell.outputs if not silent(output)]
    has_claim = any(CLAIM in output.get("data", {}) for output in outputs)
    tags.append("nbval-check-output" if has_claim else "nbval-ignore-output")
    metadata = {"tags": tags}
    if folded or "hide-input" in tags:
        metadata["jupyter"] = {"source_hidden": True} | ({"outputs_hidden": True} if folded else {})
        metadata["cellView"] = "form"
    kept = nbformat.v4.new_code_cell(cell.source, metadata=metadata, execution_count=cell.execution_count)
    kept.outputs = outputs
    return kept


def silent(output: NotebookNode) -> bool:
    """A number or text glued for the prose alone: nothing of it would show in a notebook."""
    data = output.get("data", {})
    return bool(data) and all(kind in (f"{GLUED}text/plain", f"{GLUED}text/html") for kind in data)


def shown(output: NotebookNode) -> NotebookNode:
    if "data" not in output:
        return output
    kept = nbformat.from_dict(dict(output))
    kept.data = {re.sub(f"^{re.escape(GLUED)}", "", kind): data for kind, data in output["data"].items()}
    kept.metadata = {}
    return kept
