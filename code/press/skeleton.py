"""`make chapter PART=… NAME=…`: a new chapter that already builds, with one of everything a chapter needs."""

import re

from press.book import PARTS, Book, BookError

SKELETON = """---
jupytext: {{text_representation: {{extension: .md, format_name: myst}}}}
kernelspec: {{display_name: Python 3, language: python, name: python3}}
worked:
  problems: {{}}  # id of book/problems.yml: label of the section that answers it
  requires: []  # earlier chapters, as part/name
  minutes: 20
  objectives: ["say what the reader will be able to do"]
---

(ch-{name})=
# {title}

The question, in our words, and why a sharp reader may doubt the usual answer.

| symbol | code | shape | meaning |
|---|---|---|---|
| $n$ | `n` | | number of terms |

```{{code-cell}} ipython3
import torch

from worked.claims import claim

rng = torch.Generator().manual_seed(0)  # the only source of randomness on this page
```

(sec-{name})=
## The answer

```{{prf:theorem}} The first odd numbers
:label: thm-{name}
The sum of the first $n$ odd numbers is $n^2$.
```

```{{prf:proof}}
True for $n = 1$. If it holds for $n$, adding $2n + 1$ gives $n^2 + 2n + 1 = (n + 1)^2$.
```

Check every $n$ up to 100; the integers are exact, so any bound below one half would do.

```{{code-cell}} ipython3
n = torch.arange(1, 101, dtype=torch.float64)
sums = (2 * n - 1).cumsum(0)
with claim("thm-{name}", "the first n odd numbers sum to n squared") as c:
    c.holds("n = 1..100", error=(sums - n**2).abs().max(), below=0.5)
    c.refutes("n (n + 1), the sum of the even ones", error=(sums - n * (n + 1)).abs().max())
```

## What the evidence says, and where it stops

Which range was covered, how many seeds, what was not tested.

## Exercises

```{{exercise}} Pencil
:label: ex-{name}-pencil
Which picture of dots proves the theorem without algebra?
```

```{{solution-start}} ex-{name}-pencil
:class: dropdown
```

A square of $n \\times n$ dots, peeled in L-shaped layers of $1, 3, 5, \\dots$ dots.

```{{solution-end}}
```

```{{exercise}} Code
:label: ex-{name}-code
What do the first $n$ even numbers sum to? Predict, then compute for $n = 10$.
```

```{{solution-start}} ex-{name}-code
:class: dropdown
```

```{{code-cell}} ipython3
assert sum(range(2, 21, 2)) == 10 * 11
```

```{{solution-end}}
```

```{{exercise}} Find the planted error
:label: ex-{name}-error
`sum(range(1, 2 * n, 2))` and `sum(range(1, 2 * n + 1, 1))`: which one is wrong, and for which $n$?
```

```{{solution-start}} ex-{name}-error
:class: dropdown
```

The second adds the even numbers too. It is wrong from $n = 1$ on:

```{{code-cell}} ipython3
assert all(sum(range(1, 2 * k, 2)) == k**2 for k in range(1, 50))
assert sum(range(1, 3, 1)) != 1
```

```{{solution-end}}
```

## Sources

What was taken from where, each cited with its DOI or arXiv id.
"""


def begin_chapter(book: Book, part: str, name: str) -> None:
    """Write book/<part>/<name>.md and list it in _toc.yml under the part's opening page."""
    if part not in PARTS:
        raise BookError(f"PART is {part!r}: the parts are {', '.join(PARTS)}")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise BookError(f"NAME is {name!r}: use lower-case words joined by hyphens, like closed-form")
    file = book.source / part / f"{name}.md"
    if file.exists():
        raise BookError(f"{file.relative_to(book.root)} is there already")
    toc = book.root / "_toc.yml"
    text = toc.read_text(encoding="utf-8")
    opening = re.search(rf"(?m)^( *)- file: {part}/index\n", text)
    if opening is None:
        raise BookError(f"_toc.yml does not list {part}/index")
    indent = opening[1]
    rest = text[opening.end() :]
    entry = f"{indent}      - file: {part}/{name}\n"
    sections = re.match(rf"{indent}  sections:\n(?:{indent}    .*\n)*", rest)
    added = sections[0] + entry[2:] if sections else f"{indent}  sections:\n{entry[2:]}"
    toc.write_text(
        text[: opening.end()] + added + rest[sections.end() if sections else 0 :], encoding="utf-8"
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    title = name.replace("-", " ").capitalize()
    file.write_text(SKELETON.format(name=name, title=title), encoding="utf-8")
    print(f"begun: {file.relative_to(book.root)}, listed in _toc.yml. Build it with `make book`.")
