"""The look of the site: which files a page loads, and what its navigation shows.

The templates in book/_templates replace the theme's, the styles and the script in book/_static replace all of
its assets: a page then loads no framework (about 2 MB of it), and nothing from another host.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

STYLE = "pygments.css"  # the one style sheet of the extensions that a page keeps; the template links book.css
MATHJAX = "vendor/mathjax/startup.js"  # their one script, on pages with formulas; it fetches its own parts
UNUSED = (
    "_sphinx_javascript_frameworks_compat.js",
    "images",
    "locales",
    "sbt-webpack-macros.html",
    "scripts",
    "sphinx-thebe.css",
    "sphinx-thebe.js",
    "styles",
    "vendor/fontawesome",
    "webpack-macros.html",
)
FIRST_USED = "source-serif-4-latin-wght-normal.woff2", "source-sans-3-latin-wght-normal.woff2"


def setup_theme(app: Sphinx) -> None:
    """Connect the handlers below: one before MathJax looks for formulas (500), two after the press (900)."""
    app.connect("config-inited", drop_general_indices)
    app.connect("html-page-context", note_formulas, priority=400)
    app.connect("html-page-context", mend_markup, priority=930)
    app.connect("html-page-context", add_navigation, priority=940)
    app.connect("html-page-context", keep_own_files, priority=950)
    app.connect("build-finished", remove_unused_files, priority=900)


def drop_general_indices(app: Sphinx, config) -> None:
    """No alphabetical index: the reference pages and the search do that better, and no page links to it."""
    config.html_use_index = config.html_domain_indices = False


def note_formulas(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Formulas in raw HTML (titles in a list of chapters) and in neighbours' titles need MathJax as well."""
    around = [context.get(side) or {} for side in ("prev", "next")]
    shown = [context.get("body", ""), *(page.get("title", "") for page in around)]
    if any('class="math' in part for part in shown):
        app.env.get_domain("math").data["has_equations"][pagename] = True


def mend_markup(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Three things that Sphinx, docutils and Pygments write otherwise.

    Rubrics become headings that count no section, bibliographies lose roles that ARIA has withdrawn, code
    loses the marks of what has the colour of plain text anyway (a third of the page of a chapter).
    """
    body = context.get("body", "")
    body = re.sub(r'<p class="rubric">(.*?)</p>', r'<h2 class="rubric">\1</h2>', body)
    body = re.sub(r'<span class="(?:n|nn|o|p|w)">([^<]*)</span>', r"\1", body)
    body = body.replace(' role="doc-biblioentry"', "")
    body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    if body:
        context["body"] = body


def add_navigation(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Give the templates `book_nav` (the whole book), `page_sections` (of this page) and `page_kind`."""
    context["book_nav"] = book_tree(app, pagename)
    context["page_sections"] = sections(app, pagename) if doctree is not None else []
    context["page_kind"] = "landing" if pagename == app.config.root_doc else "page"
    context["page_part"] = next(
        (entry for group in context["book_nav"] for entry in group["pages"] if entry["within"]), None
    )
    context["first_fonts"] = FIRST_USED


def book_tree(app: Sphinx, pagename: str) -> list[dict]:
    """Groups of the table of contents, each with its pages, each of these with the pages below it.

    A page is {"title", "doc", "here", "within", "pages"}: `here` if it is the present one, `within` if the
    present one is below it.
    """

    def page(doc: str, title: str | None) -> dict:
        below = [page(*entry) for _, entries in toctrees(app, doc) for entry in entries]
        here = doc == pagename
        within = here or any(entry["within"] for entry in below)
        title = title or app.env.titles[doc].astext()
        return {"title": title, "doc": doc, "here": here, "within": within, "pages": below}

    return [
        {"caption": caption, "pages": [page(*entry) for entry in entries]}
        for caption, entries in toctrees(app, app.config.root_doc)
    ]


def toctrees(app: Sphinx, doc: str) -> list[tuple[str | None, list[tuple[str, str | None]]]]:
    """The tables of contents that stand in a page: (caption, [(page, its title or None)])."""
    found = app.env.tocs[doc].findall(addnodes.toctree) if doc in app.env.tocs else []
    return [
        (tree["caption"], [(ref, title) for title, ref in tree["entries"] if ref in app.env.titles])
        for tree in found
    ]


def sections(app: Sphinx, pagename: str) -> list[dict]:
    """Second-level headings of a page: {"anchor", "title"}, the title as HTML (it may hold a formula)."""
    lists = [n for n in app.env.tocs[pagename].findall(nodes.bullet_list)]
    if len(lists) < 2:
        return []
    found = []
    for item in lists[1].children:
        link = next(item.findall(nodes.reference), None)
        if link is not None and link.get("anchorname"):
            shown = nodes.inline("", "", *(child.deepcopy() for child in link.children))
            title = app.builder.render_partial(shown)["fragment"]
            found.append({"anchor": link["anchorname"], "title": title})
    return found


def name(file) -> str:
    """The file name of an entry of css_files or script_files, whichever way Sphinx keeps it."""
    return str(getattr(file, "filename", file) or "")


def keep_own_files(app: Sphinx, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Drop the style sheets and scripts that the templates do not need; MathJax and its settings stay."""

    def mathematics(file) -> bool:
        attributes = getattr(file, "attributes", {})
        configures = "window.MathJax" in str(attributes.get("body", ""))
        return configures or (name(file).endswith(MATHJAX) and "defer" in attributes)

    context["css_files"] = [file for file in context["css_files"] if name(file).endswith(STYLE)]
    context["script_files"] = [file for file in context["script_files"] if mathematics(file)]


def remove_unused_files(app: Sphinx, failure: Exception | None) -> None:
    """Take the theme's own assets out of the finished site: no page refers to them."""
    if failure is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    for entry in UNUSED:
        for file in sorted((static / entry).rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        if (static / entry).is_dir():
            (static / entry).rmdir()
        else:
            (static / entry).unlink(missing_ok=True)
