"""Claims: statements that run, pass for the right formula, and refute a wrong one.

``with claim("thm-closed-form", "T steps have the law of one jump") as c:`` collects checks; leaving the block
shows them as one box and raises ClaimError if any of them failed. See the page "How to read this book".
"""

import html
import math
import re
import textwrap
from dataclasses import dataclass
from types import TracebackType
from typing import SupportsFloat

from IPython import get_ipython
from IPython.display import display

RECORD = (
    "application/vnd.worked.claim+json"  # the mime type under which the record travels in a cell's output
)
MARGIN = 3.0  # a wrong variant must miss the bound this many times over, or the check cannot tell it apart

# Specificity zero (:where), so that any stylesheet wins; without one, borders in the colour of the text.
_STYLE = (
    "<style>:where(.claim){border:1px solid currentColor;border-radius:4px;padding:.5em .8em;margin:.5em 0}"
    ":where(.claim p){margin:.2em 0}:where(.claim table){border-collapse:collapse;background:transparent}"
    ":where(.claim th,.claim td){text-align:left;padding:.15em .8em .15em 0;background:transparent}</style>"
)


class ClaimError(AssertionError):
    """A claim did not pass, or could not have failed."""


@dataclass(frozen=True)
class _Check:
    what: str
    error: float
    bound: float
    wrong: bool  # a wrong variant, whose error must exceed the bound

    @property
    def passed(self) -> bool:
        beyond = self.error > self.bound if self.wrong else self.error < self.bound
        return math.isfinite(self.error) and beyond

    def cells(self) -> tuple[str, str, str, str]:
        """What, error, bound and verdict, as they stand in the page and in the terminal."""
        error, bound = _numbers(self.error, self.bound)
        verdict = ("refuted" if self.wrong else "holds") if self.passed else "FAILED"
        what = f"wrong: {self.what}" if self.wrong else self.what
        return what, error, f"{'>' if self.wrong else '<'} {bound}", verdict

    def complaint(self) -> str:
        error, bound = _numbers(self.error, self.bound)
        if not math.isfinite(self.error):
            why = f"error is {error}, and a non-finite error never passes"
        elif self.wrong:
            why = f"error {error} does not exceed {bound}: the measure cannot tell the wrong variant apart"
        else:
            why = f"error {error} is not below {bound}"
        return f"{'refutes' if self.wrong else 'holds'} {self.what!r}: {why}"


class claim:  # lower case: it reads as a keyword
    """A statement with the checks that show it, and the wrong variants that it must tell apart.

    >>> with claim("thm-square", "(a + b)^2 = a^2 + 2ab + b^2") as c:
    ...     c.holds("a = 2, b = 3", error=abs(25 - (4 + 12 + 9)), below=1e-9)
    ...     c.refutes("the middle term dropped", error=abs(25 - (4 + 9)))

    Here the errors are 0 < 1e-9 and 12 > 3e-9. Raises ClaimError on leaving the block if a check failed or if
    there was no ``holds`` or no ``refutes``; ValueError if the id is not of the form ``thm-some-name``.
    """

    def __init__(self, id: str, statement: str) -> None:
        if not re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", id):
            raise ValueError(f"a claim's id is a kind and a name, like thm-closed-form; got {id!r}")
        if not statement.strip():
            raise ValueError(f"claim {id} states nothing")
        self.id, self.statement = id, statement
        self._checks: list[_Check] = []

    def holds(self, what: str, *, error: SupportsFloat, below: SupportsFloat) -> None:
        """The right formula: its error, at least 0, must be below the bound. Derive the bound in the text."""
        bound = _number(below, "below")
        if not (math.isfinite(bound) and bound > 0):
            raise ValueError(
                f"claim {self.id}, {what!r}: the bound must be finite and > 0, got below={bound}"
            )
        self._checks.append(_Check(what, self._error(what, error), bound, wrong=False))

    def refutes(self, what: str, *, error: SupportsFloat) -> None:
        """A wrong variant in the same measure: its error must exceed 3 x the bound of the holds before it."""
        bounds = [check.bound for check in self._checks if not check.wrong]
        if not bounds:
            raise ValueError(
                f"claim {self.id}, {what!r}: refutes needs a holds before it, whose bound it uses"
            )
        self._checks.append(_Check(what, self._error(what, error), MARGIN * bounds[-1], wrong=True))

    def __enter__(self) -> "claim":
        self._checks = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if error is not None:  # the body raised: that is the news, and no verdict can be given
            error.add_note(f"(raised inside the claim {self.id})")
            return
        self._show()
        if complaints := self._complaints():
            raise ClaimError("\n  - ".join([f"claim {self.id} FAILED", *complaints]))

    @property
    def record(self) -> dict:
        """The claim as data. Non-finite errors are written as strings: JSON has no NaN."""

        def part(wrong: bool, limit: str) -> list[dict]:
            chosen = [check for check in self._checks if check.wrong == wrong]
            return [{"what": k.what, "error": _json(k.error), limit: k.bound} for k in chosen]

        return {
            "id": self.id,
            "statement": self.statement,
            "holds": part(False, "below"),
            "refutes": part(True, "above"),
            "passed": not self._complaints(),
        }

    def _error(self, what: str, error: SupportsFloat) -> float:
        value = _number(error, "error")
        if value < 0:
            raise ValueError(f"claim {self.id}, {what!r}: an error is a distance, at least 0; got {value}")
        return value

    def _complaints(self) -> list[str]:
        complaints = [check.complaint() for check in self._checks if not check.passed]
        if all(check.wrong for check in self._checks):
            complaints.append("no holds: nothing was checked")
        if not any(check.wrong for check in self._checks):
            complaints.append("no refutes: a check that no wrong variant fails is no check")
        return complaints

    def _show(self) -> None:
        if get_ipython() is None:
            print(self._text())
            return
        bundle = {"text/html": self._html(), "text/plain": self._text(), RECORD: self.record}
        display(bundle, raw=True)

    def _summary(self) -> str:
        if complaints := self._complaints():
            return f"FAILED ({len(complaints)})"
        refuted = sum(check.wrong for check in self._checks)
        return f"holds: {len(self._checks) - refuted} within bounds, {refuted} wrong refuted"

    def _text(self) -> str:
        width = 46
        table = [("what", "error", "bound", "verdict"), *(check.cells() for check in self._checks)]
        sizes = [max(len(row[column]) for row in table) for column in range(4)]
        sizes[0] = min(sizes[0], width)
        lines = [*textwrap.wrap(self.statement, 78), ""]
        for what, *rest in table:
            first, *more = textwrap.wrap(what, width) or [""]
            cells = zip([first, *rest], sizes, strict=True)
            lines.append("  ".join(cell.ljust(size) for cell, size in cells).rstrip())
            lines += [f"  {line}" for line in more]
        body = "\n".join(f"│ {line}".rstrip() for line in lines)
        return f"┌─ claim {self.id}\n{body}\n└─ {self._summary()}"

    def _html(self) -> str:
        verdict = "failed" if self._complaints() else "holds"
        rows = []
        for check in self._checks:
            what, error, bound, said = map(html.escape, check.cells())
            names = f"claim-{'refutes' if check.wrong else 'holds'}{'' if check.passed else ' claim-failed'}"
            rows.append(
                f'<tr class="{names}"><th scope="row">{what}</th><td class="claim-number">{error}</td>'
                f'<td class="claim-number">{bound}</td><td class="claim-verdict">{said}</td></tr>'
            )
        heads = "".join(f'<th scope="col">{head}</th>' for head in ("what", "error", "bound", "verdict"))
        return (
            f'<section class="claim claim-{verdict}" id="claim-{self.id}">{_STYLE}\n'
            f'<p class="claim-statement"><span class="claim-label">Claim</span> <code>{self.id}</code> '
            f"{html.escape(self.statement)}</p>\n"
            f'<table class="claim-checks">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n'
            + "\n".join(rows)
            + f'\n</tbody>\n</table>\n<p class="claim-summary">{html.escape(self._summary())}</p>\n</section>'
        )


def _number(value: SupportsFloat, name: str) -> float:
    """One real number out of a float, a numpy scalar or a 0-d tensor on any device."""
    if isinstance(value, bool | str) or str(getattr(value, "dtype", "")).endswith("bool"):
        raise ValueError(f"{name} must be a number that measures something, got {value!r}")
    if getattr(value, "ndim", 0) != 0:
        raise ValueError(
            f"{name} must be one number, got shape {tuple(value.shape)}: reduce it, say with max_abs"
        )
    return float(value.detach() if hasattr(value, "detach") else value)


def _json(x: float) -> float | str:
    return x if math.isfinite(x) else str(x)


def _digits(x: float, digits: int) -> str:
    return re.sub(r"e([+-])0*(\d)", lambda m: f"e{'-' if m[1] == '-' else ''}{m[2]}", f"{x:.{digits}g}")


def _numbers(error: float, bound: float) -> tuple[str, str]:
    """Both numbers with three digits; with more where fewer would print two different numbers alike."""
    for digits in range(3, 18):
        pair = _digits(error, digits), _digits(bound, digits)
        if pair[0] != pair[1] or error == bound:
            break
    return pair
