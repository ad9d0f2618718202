import pytest
import torch
from torch.testing import assert_close
from worked.data import scenes
from worked.multimodal.captions import Vocabulary


def test_hand_value():
    vocabulary = Vocabulary.of(["a red disc", "a ring"])
    assert vocabulary.words == ("a", "disc", "red", "ring")
    assert len(vocabulary) == 5
    assert_close(vocabulary.encode(["a red disc", "a ring"]), torch.tensor([[1, 3, 2], [1, 4, 0]]))


def test_equal_captions_have_equal_rows_and_others_differ(rng):
    captions = scenes(60, rng=rng, size=12).captions()
    rows = Vocabulary.of(captions).encode(captions)
    same = torch.tensor([[a == b for b in captions] for a in captions])
    assert torch.equal((rows[:, None] == rows[None]).all(2), same)


def test_no_captions_give_no_rows():
    assert Vocabulary.of(["a"]).encode([]).shape == (0, 0)


def test_rejects_an_unknown_word():
    with pytest.raises(ValueError, match="lacks blue, disc; it has a, red"):
        Vocabulary.of(["a red"]).encode(["a blue disc"])
