"""What the press writes into pages: plain MyST text, put in before Sphinx parses them.

A page asks for it with a block that looks like a directive:

    ```{ledger} claims      the claims of all chapters; likewise problems, errata, runs, data
    ```
    ```{chapter-list}       the chapters of the part that this page opens
    ```
    ```{part-cards}         the seven parts, each with the picture that its opening page drew
    ```
    ```{claim-box} thm-x    the box of a claim as it ran, with a link to its proof
    ```

A chapter gets its head (objectives, minutes, problems) under its title and its citation at the end unasked.
"""

import html
import re
from pathlib import Path

from press import reference
from press.book import PARTS, Book, BookError, Page
from press.execution import CLAIM, cached
from press.figures import pair, write_pair
from press.reference import problem_anchor, title_html

BLOCK = re.compile(
    r"(?m)^```\{(ledger|chapter-list|part-cards|claim-box|cite-book)\} *(\S*) *\n(?:.*\n)*?```$"
)


def expand(book: Book, page: Page, text: str) -> tuple[str, list[Path]]:
    """The page's text with all that the press adds, and the files that these additions came from."""
    used: list[Path] = []

    def block(match: re.Match) -> str:
        addition, files = ADDITIONS[match[1]](book, page, match[2])
        used.extend(files)
        return addition

    text = BLOCK.sub(block, text)
    if page.is_chapter:
        text = re.sub(r"(?m)^(# .+)$", lambda m: f"{m[1]}\n\n{chapter_head(page, book)}", text, count=1)
        text = f"{text.rstrip()}\n\n{citation(book, page)}\n"
    return text, used


def chapter_head(page: Page, book: Book) -> str:
    about = page.meta["worked"]
    meta = [f"{about['minutes']} min"]
    if about["problems"]:
        meta.append("answers " + ", ".join(f"[{p}](#{problem_anchor(p)})" for p in about["problems"]))
    if about["requires"]:
        meta.append("after " + ", ".join(f"[{book.page(r).title}](/{r}.md)" for r in about["requires"]))
    objectives = "\n".join(f"- {objective}" for objective in about["objectives"])
    return f"::::{{chapter-head}}\n{' · '.join(meta)}\n\nYou will be able to\n\n{objectives}\n::::\n"


def bibtex(book: Book, page: Page | None = None) -> str:
    """A BibTeX entry for the book or one chapter of it, with version and address."""
    year = book.config["copyright"]
    if page is None:
        return (
            "@book{worked-deep-learning,\n"
            f"  title     = {{{book.config['title']}: Answers you can prove and run}},\n"
            f"  author    = {{{{{book.config['author']}}}}},\n  year      = {{{year}}},\n"
            f"  edition   = {{Version {book.version}}},\n  url       = {{{book.address}/}}\n}}"
        )
    return (
        f"@incollection{{worked-{page.path.replace('/', '-')},\n  title     = {{{plain(page.title)}}},\n"
        f"  author    = {{{{{book.config['author']}}}}},\n  booktitle = {{{book.config['title']}}},\n"
        f"  year      = {{{year}}},\n  edition   = {{Version {book.version}}},\n"
        f"  url       = {{{book.address}/{page.path}.html}}\n}}"
    )


def plain(title: str) -> str:
    """A title in MyST as LaTeX would set it: inline code and emphasis lose their marks."""
    return re.sub(r"[`*]", "", title)


def citation(book: Book, page: Page) -> str:
    return f"````{{cite-this}} {plain(page.title)}\n{bibtex(book, page)}\n````"


def cite_book(book: Book, page: Page, argument: str) -> tuple[str, list[Path]]:
    return f"```bibtex\n{bibtex(book)}\n```", [book.root / "_config.yml", book.root / "pyproject.toml"]


def chapter_list(book: Book, page: Page, argument: str) -> tuple[str, list[Path]]:
    chapters = [c for c in book.chapters if c.part == page.part]
    items = []
    for chapter in chapters:
        about = chapter.meta["worked"]
        objectives = "".join(f"<li>{html.escape(o)}</li>" for o in about["objectives"])
        meta = " · ".join(filter(None, [f"{about['minutes']} min", ", ".join(about["problems"])]))
        items.append(
            f'<li><a class="chapter-list__title" href="{chapter.file.stem}.html">{title_html(chapter)}</a>'
            f'<span class="chapter-list__meta">{meta}</span>'
            f'<ul class="chapter-list__objectives">{objectives}</ul></li>'
        )
    if not items:
        return "None is written yet. The questions below say what the part will answer.", []
    return f'```{{raw}} html\n<ol class="chapter-list">{"".join(items)}</ol>\n```', [c.file for c in chapters]


def part_cards(book: Book, page: Page, argument: str) -> tuple[str, list[Path]]:
    cards, used = [], []
    for part in PARTS:
        opening = book.page(f"{part}/index")
        chapters = [c for c in book.chapters if c.part == part]
        used += [opening.file, *(c.file for c in chapters)]
        write_pair(part_picture(book, opening), book.site / "_images", f"part-{part}")
        about = opening.meta["part"]
        if chapters:
            number = f"{len(chapters)} chapter{'s' * (len(chapters) > 1)}"
            below = f"{number}: {' · '.join(title_html(c) for c in chapters)}"
        else:
            below = f"{sum(p['part'] == part for p in book.problems.values())} questions to come"
        cards.append(
            f'<a class="part-card" href="{part}/index.html"><span class="part-card__picture">'
            f"{pair('_images', f'part-{part}', '', 200, 200)}</span>"
            f'<span class="part-card__title">{html.escape(about["title"])}</span>'
            f'<span class="part-card__tagline">{html.escape(about["tagline"])}</span>'
            f'<span class="part-card__count">{below}</span></a>'
        )
    return f'```{{raw}} html\n<div class="part-cards">{"".join(cards)}</div>\n```', used


def part_picture(book: Book, opening: Page) -> str:
    """The SVG that the part's opening page glued under the name `part_picture`."""
    result = cached(book, opening)
    for cell in result[0].cells if result else []:
        for output in cell.get("outputs", []):
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == "part_picture":
                data = {kind.split("record/")[-1]: value for kind, value in output["data"].items()}
                if "image/svg+xml" in data:
                    return data["image/svg+xml"]
    raise BookError(f"{opening.path} glues no figure named part_picture (as SVG) for the landing page")


def claim_box(book: Book, page: Page, argument: str) -> tuple[str, list[Path]]:
    for chapter in book.chapters:
        result = cached(book, chapter)
        for cell in result[0].cells if result else []:
            for output in cell.get("outputs", []):
                if output.get("data", {}).get(CLAIM, {}).get("id") == argument:
                    link = f'<a href="{chapter.path}.html#{argument}">Read the theorem and its proof</a>'
                    box = (
                        f'<figure class="claim-box">{output["data"]["text/html"]}'
                        f"<figcaption>{link}</figcaption></figure>"
                    )
                    return f"```{{raw}} html\n{box}\n```", [book.ledger, chapter.file]
    raise BookError(f"{page.path}: there is no claim {argument} to show")


def ledger_view(book: Book, page: Page, argument: str) -> tuple[str, list[Path]]:
    if argument not in reference.VIEWS:
        raise BookError(
            f"{page.path}: no view {argument!r} of the ledger; there are {', '.join(reference.VIEWS)}"
        )
    return reference.VIEWS[argument](book), [book.ledger, book.source / "problems.yml", *book.runs]


ADDITIONS = {
    "ledger": ledger_view,
    "chapter-list": chapter_list,
    "part-cards": part_cards,
    "claim-box": claim_box,
    "cite-book": cite_book,
}
