"""The pages that the press writes say what the ledger says, and each chapter can be cited."""

import html
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SITE = ROOT / "_build" / "html"
LEDGER = ROOT / "_build" / "ledger.json"

pytestmark = pytest.mark.skipif(not LEDGER.exists(), reason="the book is not built: run `make book`")


@pytest.fixture(scope="module")
def chapters() -> list[dict]:
    return json.loads(LEDGER.read_text())["chapters"]


def page(path: str) -> str:
    return (SITE / f"{path}.html").read_text(encoding="utf-8")


def test_every_problem_is_listed_and_the_answered_ones_lead_to_their_answer(chapters):
    text = page("reference/problems")
    for problem in yaml.safe_load((ROOT / "book/problems.yml").read_text())["problems"]:
        assert f'id="problem-{problem.lower()}"' in text, problem
    for chapter in chapters:
        for label in chapter["problems"].values():
            assert f'href="../{chapter["path"]}.html#{label}"' in text
            assert f'id="{label}"' in page(chapter["path"])


def test_every_claim_is_listed_with_its_numbers(chapters):
    text = page("reference/claims")
    for chapter in chapters:
        assert chapter["claims"]
        for claim in chapter["claims"]:
            assert claim["passed"]
            assert f'<span class="pre">{claim["id"]}</span>' in text
            for check in claim["holds"]:
                assert check["error"] < check["below"]
            for check in claim["refutes"]:
                assert check["error"] > check["above"] >= 3 * min(c["below"] for c in claim["holds"])


def test_every_erratum_is_listed(chapters):
    text = page("reference/errata")
    errata = [(chapter["path"], erratum["label"]) for chapter in chapters for erratum in chapter["errata"]]
    assert errata
    for path, label in errata:
        assert f'href="../{path}.html#{label}"' in text
        assert f'id="{label}"' in page(path)


def test_a_chapter_has_three_solved_exercises_and_a_citation(chapters):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for chapter in chapters:
        assert len(chapter["exercises"]) >= 3
        assert sorted(chapter["solutions"]) == sorted(chapter["exercises"])
        text = html.unescape(page(chapter["path"]))
        cited = re.search(r'<details class="cite-this">.*?</details>', text, re.S)[0]
        assert f"Version {project['version']}" in cited
        assert f"/{chapter['path']}.html" in cited


def test_recorded_runs_show_where_they_come_from():
    text = page("reference/runs")
    records = sorted((ROOT / "book" / "runs").glob("*.json"))
    for file in records:
        assert file.stem in text


def test_every_page_leads_to_its_source_and_to_the_issues():
    for path in ("index", "graphs/equivariance", "reference/errata"):
        assert f"/edit/main/book/{path}.md" in page(path)
        assert "/issues/new?" in page(path)
