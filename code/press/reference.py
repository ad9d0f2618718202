"""What the pages of reference/ list: views of the ledger and of the recorded runs, as MyST text."""

import html
import json
import re
from collections.abc import Iterator

from press import ledger
from press.book import Book, Page


def problem_anchor(problem: str) -> str:
    return f"problem-{problem.lower()}"


def title_html(page: Page) -> str:
    """A title with its inline mathematics as MathJax finds it."""
    return re.sub(
        r"\$(.+?)\$", r'<span class="math notranslate nohighlight">\\(\1\\)</span>', html.escape(page.title)
    )


def link(chapter: Page, label: str, title: str = "") -> str:
    """A link from a page of reference/ to a label, which may be a theorem's (MyST links only to headings)."""
    shown = html.escape(title) or title_html(chapter).replace(
        "\\", "\\\\"
    )  # Markdown takes one backslash away
    return f'<a class="reference internal" href="../{chapter.path}.html#{label}">{shown}</a>'


def problems(book: Book) -> str:
    """Every problem, set by set, with where it is answered."""
    sets = book.problem_sets["sets"]
    answered: dict[str, list[str]] = {}
    for chapter in ledger.read(book)["chapters"]:
        for problem, label in chapter["problems"].items():
            answered.setdefault(problem, []).append(link(book.page(chapter["path"]), label))
    lines = [f"{len(answered)} of {len(book.problems)} problems are answered so far.\n"]
    for name, about in sets.items():
        lines.append(f"## {name}: {about['title']}\n\nFrom: {about['source']}.\n")
        for problem, about in book.problems.items():
            if problem.split("-")[0] != name:
                continue
            where = (
                "**Answered in** " + ", ".join(answered[problem])
                if problem in answered
                else f"To be answered in [the part on {about['part']}](/{about['part']}/index.md)."
            )
            heading = f"({problem_anchor(problem)})=\n### {problem}: {about['title']}"
            lines.append(f"{heading}\n\n{about['question']}\n\n{where}\n")
    return "\n".join(lines)


def number(value: object) -> object:
    """Three digits of a measured number, all digits of one in the thousands; anything else as it is."""
    if not isinstance(value, float):
        return value
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"


def cell(text: str) -> str:
    """Text as it may stand in a cell of a Markdown table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def claims(book: Book) -> str:
    lines = []
    chapters = ledger.read(book)["chapters"]
    held = sum(len(c["holds"]) for chapter in chapters for c in chapter["claims"])
    refuted = sum(len(c["refutes"]) for chapter in chapters for c in chapter["claims"])
    total = sum(len(chapter["claims"]) for chapter in chapters)
    lines.append(f"{total} claims: {held} checks hold, {refuted} wrong variants are refuted.\n")
    for chapter in chapters:
        lines.append(f"## {chapter['title']}\n")
        for claim in chapter["claims"]:
            lines.append(f"{{prf:ref}}`{claim['id']}` · `{claim['id']}` · {claim['statement']}\n")
            lines.append("| what | error | bound | verdict |\n|---|---|---|---|")
            rows = [(c["what"], c["error"], f"< {number(c['below'])}", "holds") for c in claim["holds"]]
            rows += [
                (f"wrong: {c['what']}", c["error"], f"> {number(c['above'])}", "refuted")
                for c in claim["refutes"]
            ]
            for what, error, bound, verdict in rows:
                lines.append(f"| {cell(what)} | {number(error)} | {bound} | {verdict} |")
            lines.append("")
    return "\n".join(lines)


def costs(book: Book) -> str:
    """Seconds and memory that each chapter took when this site was built."""
    lines = ["| chapter | seconds | peak memory (MB) |", "|---|---|---|"]
    for chapter in ledger.read(book)["chapters"]:
        spent = f"{chapter['seconds']:.1f} | {chapter['peak_mb']:.0f}"
        lines.append(f"| [{chapter['title']}](/{chapter['path']}.md) | {spent} |")
    return "\n".join(lines)


def errata(book: Book) -> str:
    lines = []
    for chapter in ledger.read(book)["chapters"]:
        for erratum in chapter["errata"]:
            problem = erratum["problem"]
            lines.append(
                f"- [{problem}](#{problem_anchor(problem)}) · "
                f"{link(book.page(chapter['path']), erratum['label'], erratum['title'])} "
                f"(in [{chapter['title']}](/{chapter['path']}.md))"
            )
    return "\n".join(lines) or "None so far."


def runs(book: Book) -> str:
    """Every recorded run: where its numbers come from, and what they are."""
    lines = []
    for file in book.runs:
        record = json.loads(file.read_text(encoding="utf-8"))
        metrics, pictures = dict(rows(record.pop("metrics"))), record.pop("figures")
        for title, table in ((record.pop("name"), dict(rows(record))), ("Measured", metrics)):
            heading = f"## {title}" if title != "Measured" else "**Measured**"
            lines.append(f"{heading}\n\n| what | value |\n|---|---|")
            lines += [f"| {cell(key)} | {cell(value)} |" for key, value in table.items()]
            lines.append("")
        lines += [f"![{key} of the run {file.stem}](/runs/{picture})\n" for key, picture in pictures.items()]
    return "\n".join(lines) or "None so far."


def rows(record: dict, above: str = "") -> Iterator[tuple[str, str]]:
    """A nested record as (name, value) in words; a long series by its length and ends."""
    for key, value in record.items():
        name = f"{above}{key}".replace("_", " ")
        if isinstance(value, dict):
            yield from rows(value, f"{name}, ")
        elif isinstance(value, list) and len(value) > 12:
            yield name, f"{len(value)} values, from {number(value[0])} to {number(value[-1])}"
        elif isinstance(value, list):
            yield name, ", ".join(str(number(item)) for item in value)
        else:
            yield name, str(number(value))


VIEWS = {"problems": problems, "claims": claims, "errata": errata, "runs": runs, "costs": costs}
