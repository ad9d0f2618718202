"""The Sphinx side of the press: stamps and additions on the way in, buttons and figures on the way out."""

import ast
import html
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from press import figures
from press.book import Book, BookError, stamped
from press.expansion import expand
from press.notebooks import BRANCH, write_notebook
from press.stamps import dependencies, module_file, stamp
from press.theme import setup_theme

logger = logging.getLogger(__name__)


def book_of(app: Sphinx) -> Book:
    if not hasattr(app, "press_book"):
        app.press_book = Book(Path(app.srcdir).parent)
    return app.press_book


def set_repository(app: Sphinx, config: Config) -> None:
    """On a fork the buttons lead to the fork."""
    config.html_theme_options["repository_url"] = book_of(app).repository


def read_source(app: Sphinx, docname: str, content: list[str]) -> None:
    """Put the stamp and the press's own text into the page before it is parsed."""
    book = book_of(app)
    if docname not in book.paths:
        return
    page = book.page(docname)
    text, used = expand(book, page, content[0])
    if page.executes:
        text = stamped(text, stamp(book, page))
        used = [*used, *dependencies(book, page)]
    for file in used:
        app.env.note_dependency(str(file))
    content[0] = text


def rewrite_navigation(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """All pages, when a title has changed since the last build: each page shows the titles of all."""
    titles = {doc: title.astext() for doc, title in env.titles.items()}
    known, env.press_titles = getattr(env, "press_titles", titles), titles
    return [] if known == titles else sorted(titles)


class ChapterHead(SphinxDirective):
    """The box under a chapter's title; the press writes it from the front matter."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        box = nodes.container(classes=["chapter-head"])
        self.state.nested_parse(self.content, self.content_offset, box)
        paragraphs = [child for child in box.children if isinstance(child, nodes.paragraph)]
        for paragraph, name in zip(paragraphs, ("chapter-head__meta", "chapter-head__lead"), strict=True):
            paragraph["classes"].append(name)
        return [box]


class CiteThis(SphinxDirective):
    """A folded BibTeX entry."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        entry = html.escape("\n".join(self.content))
        text = f'<details class="cite-this"><summary>Cite this chapter</summary><pre>{entry}</pre></details>'
        return [nodes.raw("", text, format="html")]


class Erratum(SphinxDirective):
    """Where a circulating solution is wrong, what is right, and what shows it. Listed on reference/errata."""

    has_content = True
    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar[dict] = {
        "label": directives.unchanged_required,
        "problem": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        label, title = self.options["label"], self.arguments[0]
        box = nodes.admonition(ids=[label], classes=["erratum"])
        parsed, _ = self.state.inline_text(f"{self.options['problem']}: {title}", self.lineno)
        box += nodes.title("", "", *parsed)
        self.state.nested_parse(self.content, self.content_offset, box)
        self.env.get_domain("std").note_hyperlink_target(label, self.env.docname, label, title)
        return [box]


class Source(SphinxDirective):
    """The real source of `module:name` of the package, with a link to its lines in the repository."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module, _, name = self.arguments[0].partition(":")
        book = book_of(self.env.app)
        file = module_file(book.code, module)
        if file is None:
            raise self.error(f"there is no module {module}")
        self.env.note_dependency(str(file))
        text, first, last = source_of(file, name)
        at = f"{file.relative_to(book.root).as_posix()}#L{first}-L{last}"
        box = nodes.container(classes=["source-listing"], source=self.arguments[0])
        head = nodes.paragraph(classes=["source-listing__head"])
        head += nodes.literal("", f"{module}.{name}")
        head += nodes.Text(" ")
        head += nodes.reference("", "source", refuri=f"{book.repository}/blob/main/{at}")
        box += head
        box += nodes.literal_block(text, text, language="python")
        return [box]


def source_of(file: Path, name: str) -> tuple[str, int, int]:
    """Text and first and last line of a function, class or method (`Class.method`) in a module."""
    text = file.read_text(encoding="utf-8")
    body = ast.parse(text).body
    for part in name.split("."):
        match = [n for n in body if getattr(n, "name", None) == part]
        if not match:
            raise BookError(f"{file.name} defines no {name}")
        found = match[-1]
        body = getattr(found, "body", [])
    first = min([found.lineno, *(d.lineno for d in getattr(found, "decorator_list", []))])
    lines = text.splitlines()[first - 1 : found.end_lineno]
    indent = len(lines[0]) - len(lines[0].lstrip())
    return "\n".join(line[indent:] for line in lines), first, found.end_lineno


def launch_buttons(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document
) -> None:
    """Colab, Binder and download open the notebook that the press wrote, never the .md source."""
    book = book_of(app)
    theirs = ("launch-buttons", "download-buttons")
    buttons = [b for b in context.get("header_buttons", []) if b.get("label") not in theirs]
    if doctree is not None and pagename in book.paths and book.page(pagename).executes:
        write_notebook(app, book, book.page(pagename), doctree)
        file = f"{pagename}.ipynb"
        colab = f"https://colab.research.google.com/github/{book.slug}/blob/{BRANCH}/{file}"
        binder = f"https://mybinder.org/v2/gh/{book.slug}/{BRANCH}?urlpath=lab%2Ftree%2F{file}"
        links = [
            ("Colab", colab, "Run on Google Colab"),
            ("Binder", binder, "Run on Binder"),
            (".ipynb", context["pathto"](f"notebooks/{file}", 1), "Download the notebook, with its outputs"),
        ]
        group = {
            "type": "group",
            "label": "launch-buttons",
            "tooltip": "Run this page",
            "buttons": [
                {"type": "link", "text": text, "url": url, "tooltip": tip, "label": "launch"}
                for text, url, tip in links
            ],
        }
        buttons = [group, *buttons]
    context["header_buttons"] = buttons


def visit_image(translator: nodes.NodeVisitor, node: nodes.image) -> None:
    """An SVG that a cell or a recorded run drew becomes a light and a dark picture; others stay."""
    builder = translator.builder
    source = Path(builder.srcdir) / node["uri"]
    if source.suffix != ".svg" or not {"jupyter_execute", "runs"} & set(source.parts):
        if "alt" not in node:
            node["alt"] = ""
        type(translator).visit_image(translator, node)
        return
    alt = node.get("alt", "")
    if not alt or alt.endswith(".svg"):  # MyST-NB falls back on the file's path
        logger.warning("a figure without alt text: say in `mystnb: image: alt` what it shows", location=node)
    svg = source.read_text(encoding="utf-8")
    figures.write_pair(svg, Path(builder.outdir) / builder.imagedir, figures.name_of(svg))
    builder.images.pop(node["uri"], None)  # nobody shows the original
    width, height = figures.size(svg)
    translator.body.append(figures.pair(builder.imgpath, figures.name_of(svg), alt, width, height))


def depart_image(translator: nodes.NodeVisitor, node: nodes.image) -> None:
    pass


def setup(app: Sphinx) -> dict:
    app.add_directive("chapter-head", ChapterHead)
    app.add_directive("cite-this", CiteThis)
    app.add_directive("erratum", Erratum)
    app.add_directive("source", Source)
    app.connect("config-inited", set_repository)
    app.connect("source-read", read_source)
    app.connect("env-updated", rewrite_navigation)
    app.connect("html-page-context", launch_buttons, priority=900)  # the theme makes its own at 501
    app.add_node(nodes.image, override=True, html=(visit_image, depart_image))
    setup_theme(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
