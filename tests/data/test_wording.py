"""Nouns agree with their numbers; a moment is not announced."""

import pytest

from boldformer.data.wording import count, time_left


@pytest.mark.parametrize(
    ("n", "noun", "expected"),
    [
        (1, "run", "1 run"),
        (1200, "window", "1,200 windows"),
        (2, "class", "2 classes"),
        (2, "family", "2 families"),
        (3, "held-out family", "3 held-out families"),
    ],
)
def test_counts_agree_with_their_nouns(n, noun, expected):
    assert count(n, noun) == expected


@pytest.mark.parametrize(
    ("done", "seconds", "expected"),
    [
        (1, 60, "; about 4 min to go"),
        (1, 12, "; about 48 s to go"),
        (4, 20, ""),
        (5, 600, ""),
    ],
)
def test_what_is_left_of_five_pieces(done, seconds, expected):
    assert time_left(done, 5, seconds) == expected
