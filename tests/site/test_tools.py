"""What a reader operates: contents on a phone, colours, search, folded solutions, the keyboard."""

import pytest

from .conftest import site_pages


@pytest.fixture
def reader(chromium, address):
    """Opens pages: reader(path, width=..., scheme=...)."""
    contexts = []

    def open_page(path: str, width: int = 1440, scheme: str = "light"):
        contexts.append(chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.goto(address + path)
        return page

    yield open_page
    for context in contexts:
        context.close()


def theme(page) -> str:
    return page.evaluate("document.documentElement.dataset.theme")


def test_colours_follow_the_system_until_the_reader_chooses(reader):
    page = reader("how-to-read.html", scheme="dark")
    assert theme(page) == "dark"
    page.locator(".book-nav .theme-switch").click()
    assert theme(page) == "light"
    page.reload()
    assert theme(page) == "light"  # the choice is kept
    page.locator(".book-nav .theme-switch").click()
    page.locator(".book-nav .theme-switch").click()
    assert page.evaluate("document.documentElement.dataset.choice") == "auto"


def test_contents_open_and_close_on_a_phone(reader):
    page = reader("how-to-read.html", width=375)
    button, contents = page.locator(".nav-switch"), page.locator("#book-nav")
    assert not contents.is_visible()
    button.click()
    contents.wait_for(state="visible", timeout=5000)
    assert button.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    contents.wait_for(state="hidden", timeout=5000)
    assert page.evaluate("document.activeElement.className") == "nav-switch"


def test_the_first_stop_of_the_keyboard_leads_to_the_text(reader):
    page = reader("how-to-read.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#main-content"


@pytest.mark.parametrize("word", ["GEN-7", "refuted"])
def test_search_finds(reader, word):
    page = reader("how-to-read.html")
    page.keyboard.press("/")
    page.keyboard.type(word)
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=*")
    page.locator("#search-results li a").first.wait_for(timeout=15_000)


def test_a_link_into_a_folded_solution_opens_it(reader, site):
    chapter = next(
        (p for p in site_pages() if 'class="solution dropdown' in (site / p).read_text("utf-8")), None
    )
    if chapter is None:
        pytest.skip("no chapter with a folded solution is built")
    page = reader(chapter)
    folded = page.locator("details.solution").first
    assert not folded.evaluate("d => d.open")
    page.evaluate("id => { location.hash = id }", folded.get_attribute("id"))
    page.wait_for_timeout(200)
    assert folded.evaluate("d => d.open")


def test_copying_takes_the_code_and_nothing_else(reader, site):
    page = reader("how-to-read.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    block = page.locator("div.highlight").first
    block.hover()
    block.locator(".copy").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == block.locator("pre").inner_text().strip()
