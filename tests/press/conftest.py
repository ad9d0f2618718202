"""A small book with a package of its own, for tests that change and break things."""

from pathlib import Path

import pytest

FRONT = """---
jupytext: {{text_representation: {{extension: .md, format_name: myst}}}}
kernelspec: {{display_name: Python 3, language: python, name: python3}}
worked:
  problems: {{{problems}}}
  requires: []
  minutes: 5
  objectives: ["see a claim hold"]
---
"""

CHAPTER = (
    FRONT
    + """
(ch-{name})=
# About {name}

```{{prf:theorem}} A number
:label: thm-{name}
The value is {value}.
```

```{{prf:proof}}
By definition.
```

```{{code-cell}} ipython3
from worked.claims import claim
from worked.{module} import value
```

```{{code-cell}} ipython3
with claim("thm-{name}", "the value is {value}") as c:
    c.holds("as computed", error=abs(value() - {value}), below=1e-9)
    c.refutes("one more", error=abs(value() + 1 - {value}))
```

Prose about {{prf:ref}}`thm-{name}`.

```{{exercise}} Twice
:label: ex-{name}
What is twice the value?
```

```{{solution-start}} ex-{name}
:class: dropdown
```

```{{code-cell}} ipython3
2 * value()
```

```{{solution-end}}
```
"""
)

FILES = {
    "_config.yml": (
        "title: Sample\nauthor: Nobody\ncopyright: '2026'\nrepository: {url: https://github.com/nobody/sample}\n"
    ),
    "_toc.yml": (
        "format: jb-book\nroot: index\nparts:\n  - caption: Parts\n    chapters:\n"
        "      - file: graphs/one\n      - file: graphs/two\n"
    ),
    "pyproject.toml": '[project]\nname = "sample"\nversion = "0.1.0"\n',
    "requirements.txt": "",
    "book/problems.yml": (
        "sets: {SSL: {title: Graphs, source: a set}}\n"
        "problems: {SSL-4: {part: graphs, title: One, question: What is it}}\n"
    ),
    "book/index.md": "# Sample\n",
    "book/graphs/one.md": CHAPTER.format(problems="SSL-4: thm-one", name="one", value=1, module="graphs.one"),
    "book/graphs/two.md": CHAPTER.format(problems="SSL-4: thm-two", name="two", value=2, module="graphs.two"),
    "code/worked/__init__.py": "",
    "code/worked/graphs/__init__.py": "",
    "code/worked/graphs/base.py": "UNIT = 1.0\n",
    "code/worked/graphs/one.py": "def value():\n    return 1.0\n",
    "code/worked/graphs/two.py": (
        "def value():\n    from worked.graphs import base\n\n    return 2 * base.UNIT\n"
    ),
}


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Root of the sample book: chapters graphs/one and graphs/two; the second imports a module late."""
    claims = Path(__file__).parents[2] / "code" / "worked" / "claims.py"
    for name, text in {**FILES, "code/worked/claims.py": claims.read_text()}.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path
