import pytest
import torch
from torch.testing import assert_close
from worked.attention.lookup import Reader, lookups


def test_every_question_has_its_answer_in_the_list(rng):
    names = torch.randn(9, 4, generator=rng)
    asked, listed, answers = lookups(50, names, pairs=6, values=3, rng=rng)
    assert asked.shape == (50, 1, 4)
    assert listed.shape == (50, 6, 7)
    same = (listed[..., :4] == asked).all(-1)
    assert same.sum(1).eq(1).all()  # the name stands in the list once
    assert_close(listed[same][:, 4:], 3**0.5 * torch.nn.functional.one_hot(answers, 3).float())
    assert answers.bincount(minlength=3).min() > 5


def test_one_pair_leaves_nothing_to_choose(rng):
    names = torch.randn(3, 2, generator=rng)
    reader = Reader(2, 4, d_k=5, scale=1.0, rng=rng)
    _, weights = reader(*lookups(7, names, pairs=1, values=4, rng=rng)[:2])
    assert_close(weights, torch.ones(7, 1))


def test_scores_are_scale_times_the_inner_product(rng):
    names = torch.randn(5, 3, generator=rng)
    asked, listed, _ = lookups(4, names, pairs=5, values=2, rng=rng)
    reader = Reader(3, 2, d_k=16, scale=0.3, shrink=2.0, rng=rng)
    logits, weights = reader(asked, listed)
    q, k, v = reader.head.q(asked), reader.head.k(listed), reader.head.v(listed)
    want = (0.3 * q @ k.mT).softmax(-1)
    assert_close(weights, want[:, 0])
    assert_close(logits, reader.head.project(want @ v)[:, 0])


def test_shrinking_the_queries_is_a_smaller_scale():
    names = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    question = lookups(4, names, pairs=5, values=2, rng=torch.Generator().manual_seed(2))[:2]
    readers = [
        Reader(3, 2, d_k=16, scale=scale, shrink=shrink, rng=torch.Generator().manual_seed(3))
        for scale, shrink in ((0.25, 1.0), (1.0, 4.0))
    ]
    for a, b in zip(*(reader(*question) for reader in readers), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("pairs", [0, 4])
def test_rejects(pairs, rng):
    with pytest.raises(ValueError, match="need 1 <= pairs <= 3"):
        lookups(2, torch.zeros(3, 2), pairs=pairs, values=2, rng=rng)
