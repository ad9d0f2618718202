"""Every page in a real browser, no other host in reach: light and dark, on a phone and on a desk.

A page is loaded once; its colours and its width are then changed in place, as a reader would.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from .conftest import site_pages

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
WIDTHS = {"phone": 375, "desk": 1440}
BUDGET = 1_500_000  # bytes that a page loads, as they lie on the disk, pictures that load later left out
VIEWS = (("desk", "light"), ("desk", "dark"), ("phone", "dark"), ("phone", "light"))
# No rule of axe is excused: the templates are the book's own. Contrast depends on the colours alone, all
# other rules on the width alone, so three runs see what all four views would show.
CONTRAST = "color-contrast"
AXE_RULES = {
    ("phone", "light"): {"rules": {CONTRAST: {"enabled": False}}},
    ("desk", "light"): {},
    ("desk", "dark"): {"runOnly": {"type": "rule", "values": [CONTRAST]}},
}

MATH_DONE = """() => !document.querySelector('script[src*="mathjax/startup"]')
                     || document.documentElement.dataset.math === "done" """
MATH_LEFT = r"""() => {
  const bare = [...document.querySelectorAll(".math")].filter(e => !e.querySelector("mjx-container"));
  const wrong = [...document.querySelectorAll("mjx-merror")];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const raw = [];
  while (walk.nextNode()) {
    const { data, parentElement } = walk.currentNode;
    const code = parentElement.closest("pre, code, script, style, mjx-container");
    if (!code && /\\[(\[]|\\begin\{|\$\$/.test(data)) raw.push(data.trim().slice(0, 80));
  }
  return [...bare.map(e => "not typeset: " + e.textContent.slice(0, 80)),
          ...wrong.map(e => "MathJax: " + (e.getAttribute("title") || e.textContent)),
          ...raw.map(t => "raw TeX: " + t)];
}"""
SIDEWAYS = """() => {
  const page = document.documentElement;
  if (page.scrollWidth <= page.clientWidth) return [];
  const scrolls = e => getComputedStyle(e).overflowX !== "visible";
  const inside = e => { for (let p = e.parentElement; p; p = p.parentElement) if (scrolls(p)) return true; };
  const wide = [...document.body.querySelectorAll("*")]
    .filter(e => e.getBoundingClientRect().right > page.clientWidth + 1 && !inside(e))
    .slice(0, 5).map(e => e.tagName.toLowerCase() + "." + e.className);
  return [`scrolls sideways: ${page.scrollWidth} > ${page.clientWidth}, because of ${wide.join(", ")}`];
}"""
PICTURES = """async () => {
  const pictures = [...document.images], shown = pictures.filter(i => i.getClientRects().length);
  shown.forEach(i => { i.loading = "eager"; });
  await Promise.allSettled(shown.map(i => i.decode()));
  return [...shown.filter(i => !i.complete || !i.naturalWidth).map(i => "does not load: " + i.src),
          ...pictures.filter(i => !i.hasAttribute("alt")).map(i => "no alt text: " + i.src),
          ...pictures.filter(i => /[/].*[.](svg|png|jpg)$/.test(i.alt)).map(i => "alt is a path: " + i.alt)];
}"""
COLOURS = "theme => { document.documentElement.dataset.theme = theme; }"
# What is inside a formula is MathJax's, and most of the elements of a page: axe sees the formulas empty.
EMPTIED = "() => document.querySelectorAll('mjx-container').forEach(formula => formula.replaceChildren())"
FAULTS = """async (rules) => {
  const found = await axe.run(document, { ...rules, resultTypes: ["violations"] });
  const where = fault => fault.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(" | ");
  return found.violations.map(fault => `${fault.id}: ${fault.help}: ${where(fault)}`);
}"""
STILL = "*, *::before, *::after { transition: none !important; animation: none !important }"


def weight(site: Path, requests: list) -> int:
    """Bytes of the files that these requests fetched, each once, lazy pictures left out."""
    files = {urlsplit(r.url).path for r in requests if r.resource_type != "image"}
    return sum((site / unquote(path).lstrip("/")).stat().st_size for path in files)


@pytest.mark.parametrize("path", site_pages() or ["index.html"])
def test_page(path: str, site: Path, address: str, chromium) -> None:
    context = chromium.new_context(viewport={"width": WIDTHS["desk"], "height": 900}, color_scheme="light")
    page, requests, wrong = context.new_page(), [], []
    page.on("request", lambda r: requests.append(r))
    page.on("requestfailed", lambda r: wrong.append(f"request failed: {r.url}"))
    page.on("response", lambda r: r.status >= 400 and wrong.append(f"{r.status}: {r.url}"))
    page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(f"console: {m.text}"))
    page.on("pageerror", lambda e: wrong.append(f"script: {e}"))
    try:
        page.goto(address + path)
        page.wait_for_function(MATH_DONE, timeout=60_000)
        wrong += page.evaluate(MATH_LEFT)
        loaded = weight(site, requests)
        if loaded > BUDGET:
            wrong.append(f"the page loads {loaded:,} bytes, the budget is {BUDGET:,}")
        page.add_style_tag(content=STILL)
        for size, theme in VIEWS:
            look(page, size, theme)
            found = page.evaluate(SIDEWAYS) + page.evaluate(PICTURES)
            wrong += [f"{size}, {theme}: {fault}" for fault in found]
        page.evaluate(EMPTIED)
        page.add_script_tag(path=AXE)
        for (size, theme), rules in AXE_RULES.items():
            look(page, size, theme)
            wrong += [f"{size}, {theme}: {fault}" for fault in page.evaluate(FAULTS, rules)]
        outside = {urlsplit(r.url).netloc for r in requests if not r.url.startswith((address, "data:"))}
        wrong += [f"asks another host: {host}" for host in sorted(outside)]
    finally:
        context.close()
    assert not wrong, f"{path}:\n  " + "\n  ".join(dict.fromkeys(wrong))


def look(page, size: str, theme: str) -> None:
    """Show the page in this width and these colours."""
    page.evaluate(COLOURS, theme)
    if page.viewport_size["width"] != WIDTHS[size]:
        page.set_viewport_size({"width": WIDTHS[size], "height": 900})
        page.wait_for_timeout(300)  # the page's script settles what scrolls 150 ms after a change of width


def test_the_site_has_its_pages(site: Path) -> None:
    parts = ("convolution", "attention", "graphs", "robustness", "selfsup", "multimodal", "generative")
    expected = {"index.html", "how-to-read.html", "notation.html", "search.html"}
    assert expected | {f"{part}/index.html" for part in parts} <= set(site_pages())


def test_chapters_open_as_notebooks(site: Path) -> None:
    """Colab and Binder get the .ipynb on the branch `notebooks`; the download lies in the site."""
    checked = 0
    for path in site_pages():
        text = (site / path).read_text(encoding="utf-8")
        links = dict(re.findall(r'<li><a href="([^"]+)"[^>]*>(Colab|Binder|\.ipynb)</a></li>', text))
        if not links:
            continue
        checked += 1
        assert set(links.values()) == {"Colab", "Binder", ".ipynb"}, f"{path}: {links}"
        name = path.removesuffix(".html") + ".ipynb"
        for link, label in links.items():
            assert unquote(link).endswith(name), f"{path}: {label} opens {link}"
            if label == ".ipynb":
                assert (site / path).parent.joinpath(link).resolve().is_file(), f"{path}: no file {link}"
            else:
                assert "/notebooks" in link, f"{path}: {label} opens {link}, not the branch notebooks"
    assert checked >= 1, "no page offers its notebook"
