"""The book as files: where things lie, what the table of contents lists, what a chapter declares."""

import ast
import os
import re
import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml
from myst_nb.core.read import is_myst_markdown_notebook, read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig
from nbformat import NotebookNode

PARTS = ("convolution", "attention", "graphs", "robustness", "selfsup", "multimodal", "generative")
NEEDS_CLAIM = ("theorem", "proposition", "lemma", "corollary", "observation")


class BookError(Exception):
    """Something in the book's files is wrong; the message says what, where and what to do."""


@dataclass(frozen=True)
class Directive:
    """One top-level MyST directive as it stands in a page's text."""

    name: str
    argument: str
    options: dict[str, str]
    line: int

    @property
    def label(self) -> str | None:
        return self.options.get("label")


def directives(text: str) -> list[Directive]:
    """The fenced directives of a page, code cells left out. Nested ones count as well."""
    found, lines, in_code = [], text.splitlines(), None
    for number, line in enumerate(lines):
        fence = re.match(r"\s*(`{3,}|:{3,})\s*(?:\{([\w:+-]+)\})?\s*(.*)$", line)
        if in_code:
            if fence and fence[1].startswith(in_code) and not fence[2] and not fence[3]:
                in_code = None
            continue
        if not fence:
            continue
        if fence[2] is None:
            if fence[3]:  # a plain block of code with its language
                in_code = fence[1]
            continue
        if fence[2] in ("code-cell", "raw-cell", "code-block", "code", "math"):
            in_code = fence[1]
            continue
        options = {}
        for option in lines[number + 1 :]:
            pair = re.match(r"\s*:([\w-]+):\s*(.*)$", option)
            if not pair:
                break
            options[pair[1]] = pair[2].strip()
        found.append(Directive(fence[2], fence[3].strip(), options, number + 1))
    return found


@dataclass(frozen=True)
class Page:
    """One page of the book. `path` is relative to book/, without its ending: `generative/ddpm`."""

    path: str
    file: Path
    text: str
    meta: dict

    @classmethod
    def read(cls, source: Path, path: str) -> "Page":
        file = source / f"{path}.md"
        if not file.is_file():
            raise BookError(f"_toc.yml lists {path}, but there is no {file.name} in book/{Path(path).parent}")
        text = file.read_text(encoding="utf-8")
        front = re.match(r"---\n(.*?)\n---\n", text, re.S)
        try:
            meta = yaml.safe_load(front[1]) if front else {}
        except yaml.YAMLError as error:
            raise BookError(f"{path}: the front matter is not YAML: {error}") from error
        return cls(path, file, text, meta or {})

    @property
    def executes(self) -> bool:
        return is_myst_markdown_notebook(self.text)

    @property
    def is_chapter(self) -> bool:
        return "worked" in self.meta

    @property
    def part(self) -> str:
        return self.path.split("/")[0]

    @property
    def title(self) -> str:
        heading = re.search(r"^# (.+)$", self.text, re.M)
        return heading[1].strip() if heading else self.path

    @cached_property
    def directives(self) -> list[Directive]:
        return directives(self.text)

    def labelled(self, *kinds: str) -> list[Directive]:
        """Directives of these kinds, in order; `theorem` stands for `prf:theorem`."""
        return [d for d in self.directives if d.name.removeprefix("prf:") in kinds]

    @cached_property
    def labels(self) -> set[str]:
        """Every label that a reference in this page or another may point to."""
        targets = set(re.findall(r"^\(([\w:-]+)\)=\s*$", self.text, re.M))
        named = {d.options.get("name") for d in self.directives} | {d.label for d in self.directives}
        return targets | (named - {None})

    def notebook(self, stamp: str = "") -> NotebookNode:
        """The page as MyST-NB reads it, its first code cell stamped with what it depends on."""
        return read_myst_markdown_notebook(
            stamped(self.text, stamp), config=MdParserConfig(), add_source_map=True, path=self.file
        )

    @cached_property
    def code(self) -> str:
        """All code of the page's cells, IPython's magics and shell lines left out."""
        cells = [c.source for c in self.notebook().cells if c.cell_type == "code"]
        return "\n".join(re.sub(r"(?m)^\s*[%!].*$", "", source) for source in cells)

    def check(self, problems: dict[str, dict], book: "Book") -> list[str]:
        """What is wrong with the chapter as written, one line each; empty when all is well."""
        if not self.is_chapter:
            return []
        wrong, about = [], self.meta["worked"]
        where = f"{self.path}:"
        for key, kind in (("problems", dict), ("requires", list), ("minutes", int), ("objectives", list)):
            if not isinstance(about.get(key), kind):
                wrong.append(f"{where} front matter: worked.{key} is missing or not a {kind.__name__}")
        if wrong:
            return wrong
        for problem, label in about["problems"].items():
            if problem not in problems:
                wrong.append(
                    f"{where} front matter names the problem {problem}, which book/problems.yml lacks"
                )
            if label not in self.labels:
                wrong.append(f"{where} front matter: {problem} is answered at ({label})=, which is not there")
        for required in about["requires"]:
            if required not in book.paths:
                wrong.append(f"{where} front matter requires {required}, which _toc.yml does not list")
        stated, claimed = self.labelled(*NEEDS_CLAIM), claim_ids(self.code, where)
        for theorem in stated:
            if theorem.label is None:
                wrong.append(f"{where}{theorem.line}: a {theorem.name} without a :label:")
            elif theorem.label not in claimed:
                wrong.append(f"{where}{theorem.line}: {theorem.name} {theorem.label} has no claim of this id")
        for claim in claimed - {d.label for d in stated}:
            wrong.append(f"{where} claim {claim} has no theorem, lemma or observation of this label")
        solved = {d.argument for d in self.labelled("solution-start", "solution")}
        exercises = {d.label for d in self.labelled("exercise", "exercise-start")}
        for label in exercises - solved:
            wrong.append(f"{where} exercise {label} has no solution")
        for label in solved - exercises:
            wrong.append(f"{where} a solution to {label}, which is no exercise of this chapter")
        for erratum in self.labelled("erratum"):
            if erratum.options.get("problem") not in problems:
                wrong.append(f"{where}{erratum.line}: an erratum needs a :problem: of book/problems.yml")
        return wrong


def claim_ids(code: str, where: str) -> set[str]:
    """Ids of the claims that the code makes: the first argument of every `claim(...)`."""
    ids = set()
    try:
        tree = ast.parse(code, where)
    except SyntaxError as error:
        raise BookError(f"{where} a cell is not Python: {error.msg}: {(error.text or '').strip()}") from error
    for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
        if getattr(call.func, "id", None) == "claim":
            if not (call.args and isinstance(call.args[0], ast.Constant)):
                raise BookError(f"{where} the id of a claim must be written out as a string")
            ids.add(call.args[0].value)
    return ids


def stamped(text: str, stamp: str) -> str:
    """The text with `:depends: stamp` as first option of its first code cell.

    The cache compares code cells and their metadata, not the modules that they import; with the
    stamp in the metadata it compares these too.
    """
    if not stamp:
        return text
    return re.sub(r"(?m)^(`{3,}\{code-cell\}.*)$", rf"\1\n:depends: {stamp}", text, count=1)


@dataclass(frozen=True)
class Book:
    """A checkout of the book, as its files are when it is first asked for them."""

    root: Path
    profile: str = field(default_factory=lambda: os.environ.get("WORKED_PROFILE", "small"))
    executed: dict[str, tuple[NotebookNode, dict]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not (self.root / "_toc.yml").is_file():
            raise BookError(f"there is no _toc.yml in {self.root}: run the press in the book's root folder")
        if self.profile not in ("small", "full"):
            raise BookError(f"WORKED_PROFILE is {self.profile!r}: the profiles are small and full")

    @property
    def source(self) -> Path:
        return self.root / "book"

    @property
    def code(self) -> Path:
        return self.root / "code"

    @property
    def build(self) -> Path:
        return self.root / "_build"

    @property
    def site(self) -> Path:
        return self.build / "html"

    @property
    def ledger(self) -> Path:
        return self.build / "ledger.json"

    @cached_property
    def paths(self) -> list[str]:
        """Pages in reading order."""

        def walk(entry: dict) -> list[str]:
            below = [
                p for key in ("chapters", "sections", "parts") for e in entry.get(key, []) for p in walk(e)
            ]
            return ([entry["file"]] if "file" in entry else []) + below

        toc = yaml.safe_load((self.root / "_toc.yml").read_text())
        return [toc["root"], *walk({k: v for k, v in toc.items() if k != "root"})]

    @cached_property
    def pages(self) -> list[Page]:
        return [Page.read(self.source, path) for path in self.paths]

    @property
    def chapters(self) -> list[Page]:
        return [page for page in self.pages if page.is_chapter]

    def page(self, path: str) -> Page:
        known = {page.path: page for page in self.pages}
        if path not in known:
            raise BookError(f"no page {path}; there are: {', '.join(p for p in known if known[p].executes)}")
        return known[path]

    @cached_property
    def problem_sets(self) -> dict[str, dict]:
        """book/problems.yml: {"sets": name -> {title, source}, "problems": id -> {part, title, question}}."""
        return yaml.safe_load((self.source / "problems.yml").read_text(encoding="utf-8"))

    @property
    def problems(self) -> dict[str, dict]:
        return self.problem_sets["problems"]

    @property
    def runs(self) -> list[Path]:
        """The records of full-size runs."""
        return sorted((self.source / "runs").glob("*.json"))

    @cached_property
    def config(self) -> dict:
        return yaml.safe_load((self.root / "_config.yml").read_text())

    @cached_property
    def version(self) -> str:
        return tomllib.loads((self.root / "pyproject.toml").read_text())["project"]["version"]

    @property
    def repository(self) -> str:
        """Address of the repository: of the fork that CI runs in, else the one of _config.yml."""
        if "GITHUB_REPOSITORY" in os.environ:
            return f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}"
        return self.config["repository"]["url"].rstrip("/")

    @property
    def slug(self) -> str:
        """`owner/name` of the repository."""
        return "/".join(self.repository.split("/")[-2:])

    @property
    def address(self) -> str:
        """Where the published site stands (GitHub Pages of the repository)."""
        owner, name = self.slug.split("/")
        return f"https://{owner.lower()}.github.io/{name}"

    def check(self) -> None:
        """Raise BookError with everything that is wrong in the chapters as written."""
        wrong = [line for page in self.pages for line in page.check(self.problems, self)]
        owner: dict[str, str] = {}
        for page in self.pages:
            for label in sorted(page.labels):
                if label in owner:
                    wrong.append(f"{page.path}: the label {label} is taken: {owner[label]} has it")
                owner[label] = page.path
        if wrong:
            raise BookError("\n".join(wrong))
