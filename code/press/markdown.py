"""A page as plain Markdown, for notebooks: every reference, number and citation as Sphinx resolved it.

Walks the resolved doctree. Prose becomes Markdown that Jupyter and Colab render; a theorem becomes a quoted
block with its number; a solution a <details> that stays open for the cells in between.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin

from docutils import nodes

from press.book import BookError


@dataclass(frozen=True)
class CodeCell:
    """Here stands the page's code cell of this index (counted among all cells of the page)."""

    index: int
    in_solution: bool = False


class Writer:
    """Markdown of one page. `numbers`: kind -> id -> section numbers, as the builder assigned them."""

    def __init__(self, address: str, numbers: dict[str, dict[str, tuple[int, ...]]]) -> None:
        self.address, self.numbers = address, numbers

    def page(self, doctree: nodes.document) -> list[str | CodeCell]:
        """The page as runs of Markdown and the places of its code cells, in order."""
        merged: list[str | CodeCell] = []
        for piece in self.blocks(doctree, 0):
            if isinstance(piece, str) and merged and isinstance(merged[-1], str):
                merged[-1] = f"{merged[-1]}\n\n{piece}"
            else:
                merged.append(piece)
        return merged

    # Blocks: each yields paragraphs of Markdown and code cells

    def blocks(self, node: nodes.Node, depth: int) -> Iterator[str | CodeCell]:
        for child in node.children:
            yield from self.block(child, depth)

    def block(self, node: nodes.Node, depth: int) -> Iterator[str | CodeCell]:
        if isinstance(node, nodes.section):
            yield from self.blocks(node, depth + 1)
            return
        if isinstance(node, nodes.Element) and node.get("nb_element") == "cell_code":
            yield CodeCell(node["cell_index"])
            return
        method = getattr(self, f"block_{type(node).__name__}", None)
        if method:
            yield from method(node, depth)
        elif isinstance(node, nodes.Invisible | nodes.system_message):
            return
        elif isinstance(node, nodes.container | nodes.compound) or type(node).__name__ == "HiddenCellNode":
            yield from self.blocks(node, depth)
        elif isinstance(node, nodes.Inline | nodes.Text):
            yield self.inline(node)
        else:
            kind = type(node).__name__
            raise BookError(f"notebooks have no Markdown for a {kind}: teach it to code/press/markdown.py")

    def block_title(self, node: nodes.title, depth: int) -> Iterator[str]:
        yield f"{'#' * max(depth, 1)} {self.content(node)}"

    def block_rubric(self, node: nodes.rubric, depth: int) -> Iterator[str]:
        yield f"**{self.content(node)}**"

    def block_paragraph(self, node: nodes.paragraph, depth: int) -> Iterator[str]:
        yield self.content(node)

    def block_target(self, node: nodes.target, depth: int) -> Iterator[str]:
        return iter(())

    def block_raw(self, node: nodes.raw, depth: int) -> Iterator[str]:
        return iter(())  # HTML that the press made for the site

    def block_math_block(self, node: nodes.math_block, depth: int) -> Iterator[str]:
        number = (
            f" \\tag{{{self.number('displaymath', node) or node['number']}}}" if node.get("number") else ""
        )
        text = node.astext().strip()
        if node.get("nowrap"):
            yield text
        elif "\\\\" in text and "\\begin" not in text:  # Sphinx sets lines like these in `split`
            aligned = "aligned" if "&" in text else "gathered"
            yield f"$$\n\\begin{{{aligned}}}\n{text}\n\\end{{{aligned}}}{number}\n$$"
        else:
            yield f"$$\n{text}{number}\n$$"

    def block_literal_block(self, node: nodes.literal_block, depth: int) -> Iterator[str]:
        language = node.get("language", "")
        yield f"```{'' if language in ('none', 'default') else language}\n{node.astext().rstrip()}\n```"

    def block_bullet_list(self, node: nodes.bullet_list, depth: int) -> Iterator[str]:
        yield "\n".join(self.item(item, "- ", depth) for item in node.children)

    def block_enumerated_list(self, node: nodes.enumerated_list, depth: int) -> Iterator[str]:
        first = node.get("start", 1)
        yield "\n".join(self.item(item, f"{first + i}. ", depth) for i, item in enumerate(node.children))

    def block_definition_list(self, node: nodes.definition_list, depth: int) -> Iterator[str]:
        for item in node.children:
            term = self.content(item.children[0])
            yield f"**{term}**: " + "\n\n".join(
                b for b in self.blocks(item.children[1], depth) if isinstance(b, str)
            )

    def item(self, node: nodes.list_item, mark: str, depth: int) -> str:
        text = "\n\n".join(str(block) for block in self.blocks(node, depth))
        return mark + text.replace("\n", "\n" + " " * len(mark))

    def block_block_quote(self, node: nodes.block_quote, depth: int) -> Iterator[str]:
        yield quote("\n\n".join(str(block) for block in self.blocks(node, depth)))

    def block_transition(self, node: nodes.transition, depth: int) -> Iterator[str]:
        yield "---"

    def block_table(self, node: nodes.table, depth: int) -> Iterator[str]:
        for caption in node.findall(nodes.title):
            yield f"**{self.content(caption)}**"
        rows = [
            [
                " ".join(str(b) for b in self.blocks(entry, depth)).replace("\n", " ").replace("|", "\\|")
                for entry in row
            ]
            for row in node.findall(nodes.row)
        ]
        lines = [f"| {' | '.join(row)} |" for row in rows]
        yield "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])

    def block_figure(self, node: nodes.figure, depth: int) -> Iterator[str]:
        number = self.number("figure", node)
        for caption in node.findall(nodes.caption):
            yield f"*{f'Figure {number}. ' if number else ''}{self.content(caption).replace('*', '')}*"

    def block_image(self, node: nodes.image, depth: int) -> Iterator[str]:
        return iter(())  # the cell that drew it carries it

    def block_footnote(self, node: nodes.footnote, depth: int) -> Iterator[str]:
        label, *rest = node.children
        yield f"[{label.astext()}] " + " ".join(str(b) for child in rest for b in self.block(child, depth))

    block_citation = block_footnote

    def block_admonition(self, node: nodes.Element, depth: int) -> Iterator[str | CodeCell]:
        title, *body = node.children
        kind = "Erratum, " if "erratum" in node["classes"] else ""  # on the site the style sheet says it
        yield quote("\n\n".join([f"**{kind}{self.content(title)}**", *self.strings(body, depth)]))

    def block_sidebar(self, node: nodes.sidebar, depth: int) -> Iterator[str]:
        """A note in the margin."""
        yield quote(
            "\n\n".join(self.strings([c for c in node.children if not isinstance(c, nodes.title)], depth))
        )

    def block_note(self, node: nodes.Element, depth: int) -> Iterator[str]:
        yield quote("\n\n".join(self.strings(node, depth)))

    block_tip = block_warning = block_important = block_note

    def strings(self, children: nodes.Element | list, depth: int) -> list[str]:
        return [block for child in children for block in self.block(child, depth) if isinstance(block, str)]

    def statement(self, node: nodes.Element, depth: int) -> Iterator[str]:
        """Theorem, definition, algorithm…: kind, number, title, content."""
        number = self.number(node.get("countertype", ""), node)
        title, *body = node.children
        head = f"**{node['realtype'].title()}{f' {number}' if number else ''}** {self.content(title)}".strip()
        yield quote("\n\n".join([head, *self.strings(body, depth)]))

    block_theorem_node = block_lemma_node = block_proposition_node = block_corollary_node = statement
    block_observation_node = block_definition_node = block_algorithm_node = block_remark_node = statement
    block_example_node = block_property_node = block_axiom_node = block_conjecture_node = statement
    block_criterion_node = block_assumption_node = block_notation_node = block_unenumerable_node = statement

    def block_proof_node(self, node: nodes.Element, depth: int) -> Iterator[str]:
        texts = self.strings([child for box in node.children for child in box.children], depth)
        texts[0] = re.sub(r"^Proof\. ", "*Proof.* ", texts[0])
        texts[-1] += "\n\n∎" if texts[-1].endswith("$$") else " ∎"
        yield "\n\n".join(texts)

    def block_exercise_node(self, node: nodes.Element, depth: int) -> Iterator[str]:
        title, *body = node.children
        head = f"**Exercise {self.number('exercise', node)}** {self.content(title)}"
        yield quote("\n\n".join([head, *self.strings(body, depth)]))

    block_exercise_enumerable_node = block_exercise_node

    def block_solution_node(self, node: nodes.Element, depth: int) -> Iterator[str | CodeCell]:
        """Prose folded in <details>. A code cell cannot stand inside one: it is marked, and folds itself."""
        title, *body = node.children
        heading, prose = f"<summary><b>{html_inline(self.content(title))}</b></summary>", []
        for piece in [piece for child in body for piece in self.block(child, depth)] + [None]:
            if isinstance(piece, str):
                prose.append(piece)
                continue
            if prose:
                yield "\n\n".join(["<details>", heading, *prose, "</details>"])
                heading, prose = "<summary>…</summary>", []
            if isinstance(piece, CodeCell):
                yield CodeCell(piece.index, in_solution=True)

    # Inline

    def content(self, node: nodes.Element) -> str:
        return "".join(self.inline(child) for child in node.children).strip()

    def inline(self, node: nodes.Node) -> str:
        if isinstance(node, nodes.Text):
            return escape(node.astext())
        if isinstance(node, nodes.literal):
            return f"`{node.astext()}`"
        if isinstance(node, nodes.math):
            return f"${node.astext()}$"
        if isinstance(node, nodes.image | nodes.raw | nodes.target):
            return ""
        if isinstance(node, nodes.footnote_reference | nodes.citation_reference):
            return f"[{node.astext()}]"
        inside = "".join(self.inline(child) for child in node.children)
        if isinstance(node, nodes.emphasis):
            return f"*{inside.strip()}*"
        if isinstance(node, nodes.strong):
            return f"**{inside.strip()}**"
        if isinstance(node, nodes.reference):
            target = node.get("refuri") or (f"#{node['refid']}" if node.get("refid") else "")
            return f"[{inside}]({urljoin(self.address, target)})" if target else inside
        return inside

    def number(self, kind: str, node: nodes.Element) -> str:
        known = self.numbers.get(kind, {})
        found = next((known[i] for i in node.get("ids", []) if i in known), ())
        return ".".join(map(str, found))


def quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def escape(text: str) -> str:
    """Prose as Markdown: what would be taken for emphasis, code, mathematics or a link is escaped."""
    return re.sub(r"([\\`*_$<\[\]])", r"\\\1", text)


def html_inline(text: str) -> str:
    """A heading that stands inside HTML, where Markdown is not read."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return (
        re.sub(r"\\([\\`*_$<\[\]])", r"\1", text.replace("**", "")).replace("&", "&amp;").replace("<", "&lt;")
    )
