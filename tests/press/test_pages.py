"""Figures for both themes, prose as plain Markdown, the skeleton of a chapter."""

import pytest
from docutils.core import publish_doctree
from press import figures, ledger
from press.book import Book, BookError
from press.execution import execute
from press.markdown import Writer, escape
from press.skeleton import begin_chapter

SVG = (
    '<svg width="72pt" height="36pt"><path style="fill: #ffffff"/><path style="stroke: #1f2933"/>'
    '<image xlink:href="data:image/png;base64,aaaa"/></svg>'
)


def test_a_dark_figure_has_no_paper_and_the_dark_palette():
    dark = figures.dark(SVG)
    assert "#ffffff" not in dark
    assert "#1f2933" not in dark
    assert "stroke: #e4e9ef" in dark
    assert "base64,aaaa" in dark
    assert "stroke: #1f2933" in figures.light(SVG)


def test_every_colour_of_the_palette_has_a_dark_counterpart():
    from worked import figures as drawn

    palette = {
        getattr(drawn, name).lower() for name in dir(drawn) if name.isupper() and is_colour(drawn, name)
    }
    assert palette - {figures.PAPER} <= set(figures.DARK)


def is_colour(module, name) -> bool:
    value = getattr(module, name)
    return isinstance(value, str) and value.startswith("#")


def test_size_in_css_pixels():
    assert figures.size(SVG) == (96, 48)
    assert figures.size("<svg>") == (0, 0)


def markdown(text: str) -> str:
    doctree = publish_doctree(text, settings_overrides={"report_level": 5})
    return "\n\n".join(str(piece) for piece in Writer("https://x.org/a/b.html", {}).page(doctree))


def test_prose_becomes_plain_markdown():
    assert markdown("A *b* **c** ``d`` and `e <../f.html>`_.") == (
        "A *b* **c** `d` and [e](https://x.org/f.html)."
    )
    assert markdown("- one\n- two\n\n  more") == "- one\n- two\n  \n  more"
    assert markdown(".. math:: a^2 + b^2") == "$$\na^2 + b^2\n$$"


def test_a_node_without_markdown_is_named():
    with pytest.raises(BookError, match="no Markdown for a line_block"):
        markdown("| a line\n| of verse")


def test_characters_that_markdown_would_take_are_escaped():
    assert escape("a_b * c < d $1 [x]") == r"a\_b \* c \< d \$1 \[x\]"


def test_a_begun_chapter_is_listed_and_sound(sample):
    (sample / "book/graphs/index.md").write_text("# Graphs\n")
    toc = sample / "_toc.yml"
    toc.write_text(
        "format: jb-book\nroot: index\nparts:\n  - caption: Parts\n    chapters:\n"
        "      - file: graphs/index\n        sections:\n"
        "          - file: graphs/one\n          - file: graphs/two\n"
        "      - file: selfsup/index\n"
    )
    (sample / "book/selfsup").mkdir()
    (sample / "book/selfsup/index.md").write_text("# Self-supervision\n")
    begin_chapter(Book(sample), "graphs", "my-chapter")
    begin_chapter(Book(sample), "selfsup", "first")
    book = Book(sample)
    assert book.paths == [
        *("index", "graphs/index", "graphs/one", "graphs/two", "graphs/my-chapter"),
        *("selfsup/index", "selfsup/first"),
    ]
    book.check()
    execute(book, [book.page("graphs/my-chapter")], jobs=1)
    assert ledger.entry(book, book.page("graphs/my-chapter"))["claims"][0]["id"] == "thm-my-chapter"
    for part, name, said in [("biology", "x", "the parts are"), ("graphs", "My Chapter", "lower-case")]:
        with pytest.raises(BookError, match=said):
            begin_chapter(Book(sample), part, name)
    with pytest.raises(BookError, match="there already"):
        begin_chapter(book, "graphs", "my-chapter")
