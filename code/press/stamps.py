"""What a page depends on beyond its own cells, and a hash of it.

jupyter-cache knows a page by the text of its code cells. A page is also out of date when a module of
`worked` that it imports (directly or through others) has changed, or a file of weights or a recorded
run that its code names, or the pins, or the profile.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from press.book import Book, BookError, Page


def imported_names(tree: ast.AST, package: str) -> Iterator[str]:
    """Dotted names of the modules of `worked` that the code imports (some may name no module)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative: from the package that the code lies in
                base = ".".join(
                    [*package.split(".")[: len(package.split(".")) - node.level + 1], base]
                ).strip(".")
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "worked")


def module_file(code: Path, name: str) -> Path | None:
    """File of the module `worked.a.b`; None where the name is something in a module."""
    stem = code.joinpath(*name.split("."))
    for file in (stem.with_suffix(".py"), stem / "__init__.py"):
        if file.is_file():
            return file
    return None


def parse(code: str, where: str) -> ast.Module:
    try:
        return ast.parse(code, where)
    except SyntaxError as error:
        raise BookError(f"{where}, line {error.lineno}: {error.msg}: {(error.text or '').strip()}") from error


def mentions(tree: ast.AST, package: str) -> tuple[frozenset[str], frozenset[str]]:
    """Names of modules of `worked` that the code imports, and its strings, some of them names of weights."""
    strings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return frozenset(imported_names(tree, package)), frozenset(strings)


@lru_cache(maxsize=4096)
def mentioned_in(file: Path, package: str, modified: int) -> tuple[frozenset[str], frozenset[str]]:
    del modified  # part of the key: a file is read again only once it has changed
    return mentions(parse(file.read_text(encoding="utf-8"), file.name), package)


def dependencies(book: Book, page: Page) -> list[Path]:
    """Files that the outputs of the page depend on besides its own text, sorted."""
    found: set[Path] = set()
    imports, named = mentions(parse(page.code, f"a cell of {page.path}"), "")
    todo = sorted(imports)
    while todo:
        parts = todo.pop().split(".")
        for depth in range(1, len(parts) + 1):  # importing a.b.c runs a and a.b too
            file = module_file(book.code, ".".join(parts[:depth]))
            if file is None or file in found:
                continue
            found.add(file)
            inside = ".".join(parts[: depth if file.name == "__init__.py" else depth - 1])
            imports, strings = mentioned_in(file, inside, file.stat().st_mtime_ns)
            named |= strings
            todo += sorted(imports)
    for folder in (book.code / "worked" / "weights", book.source / "runs"):
        if folder.is_dir():
            found |= {
                f for f in folder.iterdir() if f.suffix in (".safetensors", ".json") and f.stem in named
            }
    return sorted(found | {book.root / "requirements.txt"})


def stamp(book: Book, page: Page) -> str:
    """Sixteen hex digits that change whenever a dependency or the profile does."""
    digest = hashlib.sha256(book.profile.encode())
    for file in dependencies(book, page):
        digest.update(b"\0" + file.relative_to(book.root).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]
