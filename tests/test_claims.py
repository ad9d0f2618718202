import json

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config
from worked.claims import RECORD, ClaimError, claim


def square(middle, id="thm-square"):
    """(a + b)^2 at a = 2, b = 3, with a factor 2 or a planted one before ab."""
    with claim(id, "(a + b)^2 = a^2 + 2ab + b^2") as c:
        c.holds("a = 2, b = 3", error=abs(25 - (4 + middle * 6 + 9)), below=1e-9)
        c.refutes("the middle term dropped", error=abs(25 - (4 + 9)))
    return c


def test_the_record_by_hand(capsys):
    assert square(2).record == {
        "id": "thm-square",
        "statement": "(a + b)^2 = a^2 + 2ab + b^2",
        "holds": [{"what": "a = 2, b = 3", "error": 0.0, "below": 1e-9}],
        "refutes": [{"what": "the middle term dropped", "error": 12.0, "above": 3 * 1e-9}],
        "passed": True,
    }
    assert capsys.readouterr().out == (
        "┌─ claim thm-square\n"
        "│ (a + b)^2 = a^2 + 2ab + b^2\n"
        "│\n"
        "│ what                            error  bound   verdict\n"
        "│ a = 2, b = 3                    0      < 1e-9  holds\n"
        "│ wrong: the middle term dropped  12     > 3e-9  refuted\n"
        "└─ holds: 1 within bounds, 1 wrong refuted\n"
    )


def test_a_planted_error_fails_and_is_named(capsys):
    with pytest.raises(
        ClaimError, match=r"thm-square FAILED\n  - holds 'a = 2, b = 3': error 6 is not below"
    ):
        square(1)
    assert "│ a = 2, b = 3                    6      < 1e-9  FAILED" in capsys.readouterr().out


def run(*checks, into=None):
    """A claim of these checks: (error, bound) is a holds, (error,) a refutes."""
    with into or claim("thm-a", "a") as c:
        for number, (error, *bound) in enumerate(checks):
            if bound:
                c.holds(f"right {number}", error=error, below=bound[0])
            else:
                c.refutes(f"wrong {number}", error=error)
    return c


def test_all_failures_are_told_at_once():
    with pytest.raises(ClaimError) as caught:
        run((2, 1), (0.5, 1), (1,))
    message = str(caught.value)
    assert "'right 0'" in message
    assert "'right 1'" not in message
    assert "'wrong 2'" in message


@pytest.mark.parametrize("error", [0.0, 3e-6, 2.9e-6])
def test_a_wrong_variant_must_exceed_three_bounds(error):
    with pytest.raises(ClaimError, match="cannot tell the wrong variant apart"):
        run((0, 1e-6), (error,))


def test_the_margin_is_over_the_bound_of_the_holds_before():
    c = run((0, 1), (0, 1e-6), (1e-5,))
    assert c.record["refutes"][0]["above"] == pytest.approx(3e-6)
    with pytest.raises(ClaimError):
        run((0, 1e-6), (0, 1), (1e-5,))


def test_an_error_at_its_bound_fails():
    with pytest.raises(ClaimError, match="not below"):
        run((1e-3, 1e-3), (1,))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), torch.tensor(float("nan"))])
def test_non_finite_never_passes(bad):
    c = claim("thm-a", "a")
    with pytest.raises(ClaimError, match="non-finite") as caught:
        run((bad, 1), (bad,), into=c)
    assert str(caught.value).count("non-finite") == 2
    json.dumps(c.record, allow_nan=False)
    assert not c.record["passed"]


def test_a_claim_that_cannot_fail_is_none():
    with pytest.raises(ClaimError, match="no refutes"):
        run((0, 1))
    with pytest.raises(ClaimError, match=r"no holds(.|\n)*no refutes"):
        run()


def test_an_error_in_the_body_is_the_news():
    with pytest.raises(ZeroDivisionError) as caught, claim("thm-a", "a"):
        1 / 0  # noqa: B018
    assert "thm-a" in "".join(caught.value.__notes__)


def test_refutes_before_holds():
    with pytest.raises(ValueError, match="needs a holds before"):
        run((1,), (0, 1))


@pytest.mark.parametrize("below", [0, -1.0, float("inf"), float("nan")])
def test_the_bound_is_positive_and_finite(below):
    with pytest.raises(ValueError, match="bound must be finite and > 0"):
        run((0, below), (1,))


@pytest.mark.parametrize(
    ("error", "match"),
    [
        (-1e-3, "at least 0"),
        (True, "measures something"),
        (np.bool_(True), "measures something"),
        (torch.tensor(True), "measures something"),
        (torch.zeros(3), "one number"),
        (np.zeros(1), "one number"),
    ],
)
def test_what_is_no_error(error, match):
    with pytest.raises(ValueError, match=match):
        run((error, 1), (9,))


@pytest.mark.parametrize(
    "error",
    [
        0.25,
        np.float32(0.25),
        np.array(0.25),
        torch.tensor(0.25, dtype=torch.bfloat16),
        torch.tensor(0.25, dtype=torch.float64, requires_grad=True),
    ],
)
def test_numbers_of_every_kind(error):
    c = run((error, torch.tensor(0.5)), (torch.tensor(2),))
    assert c.record["holds"] == [{"what": "right 0", "error": 0.25, "below": 0.5}]


@pytest.mark.parametrize(
    "id", ["closed", "thm:closed-form", "Thm-closed", "thm-closed_form", "thm-", "", "4-a"]
)
def test_ids_have_one_form(id):
    with pytest.raises(ValueError, match="thm-closed-form"):
        claim(id, "a")


def test_a_claim_states_something():
    with pytest.raises(ValueError, match="states nothing"):
        claim("thm-a", " ")


def test_numbers_that_differ_are_printed_apart(capsys):
    with pytest.raises(ClaimError):
        run((1.00002, 1), (1234567,))
    out = capsys.readouterr().out
    assert "1.00002  < 1 " in out
    assert "1.23e6   > 3 " in out


@pytest.fixture
def shell():
    """IPython, as it runs in a notebook."""
    yield InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    InteractiveShell.clear_instance()


def shown(make):
    with capture_output() as captured:
        make()
    (output,) = captured.outputs
    return output.data


def test_in_a_notebook_one_display_carries_html_text_and_record(shell):
    bundle = shown(lambda: square(2))
    assert bundle.keys() == {"text/html", "text/plain", RECORD}
    assert json.loads(json.dumps(bundle[RECORD])) == square(2).record
    for shared in ("thm-square", "&lt; 1e-9", "12", "refuted", "holds: 1 within bounds, 1 wrong refuted"):
        assert shared in bundle["text/html"]
        assert shared.replace("&lt;", "<") in bundle["text/plain"]
    assert bundle == shown(lambda: square(2))


def test_a_failure_is_shown_before_it_is_raised(shell):
    def fail():
        with pytest.raises(ClaimError):
            square(3)

    bundle = shown(fail)
    assert 'class="claim claim-failed"' in bundle["text/html"]
    assert "FAILED (1)" in bundle["text/plain"]
    assert bundle[RECORD]["passed"] is False


def test_html_is_escaped_and_colourless(shell):
    def marked():
        with claim("thm-a", "a < b & <b>c</b>") as c:
            c.holds("<i>x</i>", error=0, below=1)
            c.refutes("'q' > 1", error=9)

    page = shown(marked)["text/html"]
    assert "a &lt; b &amp; &lt;b&gt;c" in page
    assert "<i>" not in page
    assert 'scope="col"' in page
    assert 'scope="row"' in page
    assert " style=" not in page
    assert "#" not in page.replace("&#x27;", "")
