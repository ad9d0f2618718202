"""Every link inside the site leads to a page that exists, and to a place on it that exists."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .conftest import site_pages


class Reader(HTMLParser):
    """Collects the ids of a page, and what it links to or loads."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.ids.add(value)
            if name in ("href", "src") and value and tag != "base":
                self.links.append(value)


def read(file: Path) -> Reader:
    reader = Reader()
    reader.feed(file.read_text(encoding="utf-8"))
    return reader


def test_every_link_inside_the_site_resolves(site: Path) -> None:
    pages = {site / path: read(site / path) for path in site_pages()}
    wrong = []
    for file, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                wrong.append(f"{file.relative_to(site)}: {link} is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                wrong.append(f"{file.relative_to(site)}: {link}: no such place on that page")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    """Links may lead elsewhere; styles, scripts, pictures and fonts may not come from there."""
    wrong = []
    for path in site_pages():
        reader = LoadedFrom()
        reader.feed((site / path).read_text(encoding="utf-8"))
        wrong += [f"{path}: {what}" for what in reader.outside]
    for file in (site / "_static").rglob("*.css"):
        text = file.read_text(encoding="utf-8")
        wrong += [f"{file.name}: {sign}" for sign in ("url(http", "url(//", "@import") if sign in text]
    assert not wrong, "\n".join(wrong)


class LoadedFrom(HTMLParser):
    """Collects what a page would load from another host."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        loads = given.get("src") or (tag == "link" and given.get("rel") != "canonical" and given.get("href"))
        if loads and urlsplit(loads).netloc:
            self.outside.append(f"<{tag}> {loads}")
