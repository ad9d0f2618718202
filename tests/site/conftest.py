"""The built site on a local server, and one browser that reaches nothing else."""

import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "_build" / "html"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # every other host is unreachable
)


def site_pages() -> list[str]:
    """Every page of the built site, as a path below its root; empty if there is no site."""
    kept = (p for p in SITE.rglob("*.html") if "_static" not in p.parts and "_sources" not in p.parts)
    return sorted(p.relative_to(SITE).as_posix() for p in kept)


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def site() -> Path:
    if not (SITE / "index.html").exists():
        pytest.skip("THE SITE IS NOT BUILT: run `make book` first, or its tests check nothing")
    return SITE


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Address of a server that shows the site, on a port that is free."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """One browser for the whole session: the system's if there is one, else the one of playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=found, args=list(QUIET))
        except playwright.Error as error:
            pytest.skip(f"NO BROWSER: install chromium (apt-get install chromium); {error}")
        yield browser
        browser.close()
