"""What a chapter declares is read as written, and each kind of slip in it is named."""

import pytest
from press.book import Book, BookError, directives, stamped


def rewrite(root, path, old, new):
    file = root / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def complaint(root) -> str:
    with pytest.raises(BookError) as error:
        Book(root).check()
    return str(error.value)


def test_the_sample_is_sound(sample):
    Book(sample).check()


def test_directives_in_code_cells_do_not_count():
    text = (
        '```{code-cell} ipython3\n"""\n```{exercise} no\n"""\n```\n\n```{exercise} yes\n:label: ex-yes\n```\n'
    )
    assert [d.name for d in directives("```{code-cell} ipython3\nx = 1\n```\n```{exercise} yes\n```\n")] == [
        "exercise"
    ]
    assert directives(text)[-1].label == "ex-yes"


def test_only_the_first_code_cell_is_stamped():
    text = "```{code-cell} ipython3\n:tags: [hide-input]\n1\n```\n\n```{code-cell} ipython3\n2\n```\n"
    assert stamped(text, "abc").count(":depends: abc") == 1
    assert stamped(text, "abc").splitlines()[1] == ":depends: abc"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("SSL-4: thm-one", "SSL-99: thm-one", "SSL-99, which book/problems.yml lacks"),
        ("SSL-4: thm-one", "SSL-4: sec-nowhere", "(sec-nowhere)=, which is not there"),
        ("requires: []", "requires: [graphs/three]", "requires graphs/three"),
        ("minutes: 5", "minutes: soon", "worked.minutes"),
        (":label: thm-one", ":label: thm-other", "thm-other has no claim"),
        (":label: thm-one\n", "", "without a :label:"),
        ('claim("thm-one"', 'claim("obs-one"', "claim obs-one has no theorem"),
        ("2 * value()", "2 * value(", "not Python"),
        ("{solution-start} ex-one", "{solution-start} ex-two", "ex-one has no solution"),
    ],
)
def test_slips_in_a_chapter_are_named(sample, old, new, said):
    rewrite(sample, "book/graphs/one.md", old, new)
    message = complaint(sample)
    assert said in message
    assert "graphs/one" in message


def test_a_label_belongs_to_one_page(sample):
    rewrite(sample, "book/graphs/two.md", "(ch-two)=", "(ch-one)=")
    assert "graphs/two: the label ch-one is taken: graphs/one has it" in complaint(sample)


def test_an_id_that_is_computed_cannot_be_checked(sample):
    rewrite(sample, "book/graphs/one.md", 'claim("thm-one"', 'claim("thm-" + "one"')
    assert "written out" in complaint(sample)


def test_a_page_of_the_contents_that_is_missing(sample):
    (sample / "book/graphs/two.md").unlink()
    assert "_toc.yml lists graphs/two" in complaint(sample)


def test_unknown_profile(sample):
    with pytest.raises(BookError, match="small and full"):
        Book(sample, profile="medium")


def test_a_folder_that_is_no_book(tmp_path):
    with pytest.raises(BookError, match=r"_toc\.yml"):
        Book(tmp_path)


def test_a_fork_has_its_own_address(sample, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    assert Book(sample).address == "https://nobody.github.io/sample"
    monkeypatch.setenv("GITHUB_REPOSITORY", "Somebody/copy")
    assert Book(sample).repository.endswith("/Somebody/copy")
    assert Book(sample).address == "https://somebody.github.io/copy"
