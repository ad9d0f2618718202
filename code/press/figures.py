"""Figures for light and dark pages.

A figure is drawn once, as SVG on white with the palette of `worked.figures`. For the site its paper becomes
transparent, and a dark variant replaces each colour of the palette by its counterpart. Pictures inside a
figure (raster) stay as they are.
"""

import hashlib
import html
import re
from pathlib import Path

PAPER = "#ffffff"
DARK = {  # colour on paper -> colour on the dark page, contrast at least 4.5
    "#1f2933": "#e4e9ef",  # ink
    "#52606d": "#a3b0bd",  # muted
    "#d9e2ec": "#2f3a46",  # rule
    "#0b6fa4": "#5db4e6",  # blue
    "#c2571a": "#f0904f",  # orange
    "#0f7b5f": "#4cc3a0",  # green
    "#8e4585": "#d08bc8",  # purple
    "#a87900": "#dcae3c",  # gold
    "#7b8794": "#8d9aa7",  # grey
}


def light(svg: str) -> str:
    """The figure without its paper."""
    return re.sub(rf"fill: {PAPER}(?=[;\"])", "fill: none", svg, flags=re.I)


def dark(svg: str) -> str:
    """The figure for a dark page: no paper, each colour of the palette exchanged."""
    swap = re.compile("|".join(DARK), re.I)
    return swap.sub(lambda match: DARK[match[0].lower()], light(svg))


def size(svg: str) -> tuple[int, int]:
    """Width and height in CSS pixels, from the root element (matplotlib gives points); else (0, 0)."""
    root = re.search(r"<svg[^>]*>", svg)
    found = (
        [re.search(rf'\b{side}="([\d.]+)(pt|px)?"', root[0]) for side in ("width", "height")] if root else []
    )
    if len(found) != 2 or None in found:
        return 0, 0
    return tuple(round(float(m[1]) * (4 / 3 if m[2] == "pt" else 1)) for m in found)


def write_pair(svg: str, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for variant, text in (("light", light(svg)), ("dark", dark(svg))):
        file = folder / f"{name}-{variant}.svg"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def pair(folder: str, name: str, alt: str, width: int, height: int) -> str:
    """The two <img> of a figure; the page shows the one of its theme and loads no other."""
    shape = f' width="{width}" height="{height}"' if width and height else ""
    return "".join(
        f'<img class="only-{variant}" src="{folder}/{name}-{variant}.svg" alt="{html.escape(alt)}"{shape} '
        'loading="lazy">'
        for variant in ("light", "dark")
    )


def name_of(svg: str) -> str:
    return "figure-" + hashlib.sha256(svg.encode()).hexdigest()[:16]
