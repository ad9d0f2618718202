"""`python -m press`: build the book, execute pages, serve the site, begin a chapter."""

import argparse
import functools
import http.server
import os
import sys
import time
from pathlib import Path

from press.book import PARTS, Book, BookError


def build(book: Book, jobs: int) -> None:
    """Execute what is out of date, gather the ledger, build site and notebooks."""
    from press import ledger
    from press.execution import execute
    from press.site import build_site

    began = time.perf_counter()
    book.check()
    execute(book, book.pages, jobs)
    written = ledger.write(book)
    first = build_site(book)
    for chapter in written["chapters"]:
        print(
            f"{chapter['path']}: {len(chapter['claims'])} claims, "
            f"{chapter['seconds']:.1f} s of 60 s, {chapter['peak_mb']:.0f} MB of 1500 MB"
        )
    print(f"the book is built in {time.perf_counter() - began:.0f} s: open {first.relative_to(book.root)}")


def execute_pages(book: Book, names: list[str], jobs: int) -> None:
    """Execute pages named as PART/NAME, all of a part named as PART, or everything when none is named."""
    from press.execution import execute

    book.check()
    pages = [page for page in book.pages if page.part in names or not names]
    execute(book, pages + [book.page(name) for name in names if name not in PARTS], jobs)


def serve(book: Book, port: int) -> None:
    if not (book.site / "index.html").exists():
        raise BookError("there is no site yet: run `make book` first")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=book.site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://localhost:{port}/ (Ctrl-C ends it)")
        server.serve_forever()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m press", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the book's root folder")
    # A CPU is mostly half a core, and a page beside another on one core takes half as long again
    cores = max(1, (os.cpu_count() or 1) // 2)
    parser.add_argument("--jobs", type=int, default=cores, help="pages executed side by side")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help=build.__doc__)
    pages = commands.add_parser("execute", help="execute these pages if they are out of date")
    pages.add_argument("pages", nargs="*", metavar="PART[/NAME]", help="a part or a page; none: all of them")
    commands.add_parser("serve", help="serve the built site").add_argument("--port", type=int, default=8000)
    begin = commands.add_parser("chapter", help="begin a chapter: a skeleton that already builds")
    begin.add_argument("part")
    begin.add_argument("name")
    given = parser.parse_args()
    try:
        book = Book(given.root.resolve())
        match given.command:
            case "build":
                build(book, given.jobs)
            case "execute":
                execute_pages(book, given.pages, given.jobs)
            case "serve":
                serve(book, given.port)
            case "chapter":
                from press.skeleton import begin_chapter

                begin_chapter(book, given.part, given.name)
    except BookError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
