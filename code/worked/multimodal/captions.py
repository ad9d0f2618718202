"""Captions as rows of word numbers, over the few words that occur."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor


@dataclass(frozen=True)
class Vocabulary:
    """The words that a set of captions uses. Word k of `words` has the number k + 1; 0 fills up short rows.

    Known value: Vocabulary.of(["a red disc", "a ring"]) has the words a, disc, red, ring and encodes its two
    captions as (1, 3, 2) and (1, 4, 0).
    """

    words: tuple[str, ...]

    @classmethod
    def of(cls, captions: Sequence[str]) -> "Vocabulary":
        """All words of these captions, in alphabetical order."""
        return cls(tuple(sorted({word for caption in captions for word in caption.split()})))

    def __len__(self) -> int:
        return len(self.words) + 1  # with the filler

    def encode(self, captions: Sequence[str]) -> Int64[Tensor, "n length"]:
        """The captions' word numbers, a row each. Raises ValueError on a word that the vocabulary lacks."""
        number = {word: k for k, word in enumerate(self.words, start=1)}
        rows = [caption.split() for caption in captions]
        if unknown := sorted({word for row in rows for word in row} - set(number)):
            raise ValueError(f"the vocabulary lacks {', '.join(unknown)}; it has {', '.join(self.words)}")
        out = torch.zeros(len(rows), max(map(len, rows), default=0), dtype=torch.long)  # (n, length)
        for k, row in enumerate(rows):
            out[k, : len(row)] = torch.tensor([number[word] for word in row])
        return out
