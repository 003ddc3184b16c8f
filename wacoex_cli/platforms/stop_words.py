"""What says "no more messages": words that people write, texts of buttons that they tap.

Of a text only this answer is kept. The usual ones stand in `stop_words.toml`.
"""

from __future__ import annotations

import functools
import tomllib
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILE = Path(__file__).with_suffix(".toml")
_LONGEST = 80
_OUTER = " \t\r\n\u00a0\u200b\u200e\u200f\ufeff.!\u3002\uff01\u061f\"'`*_~"


class StopWords(NamedTuple):
    """The words and the texts of buttons, each as `plain` gives it."""

    words: frozenset[str]
    buttons: frozenset[str]

    def is_word(self, text: object) -> bool:
        """Whether a message is such a word, and nothing else."""
        return isinstance(text, str) and len(text) <= _LONGEST and plain(text) in self.words

    def is_button(self, text: object) -> bool:
        """Whether a button says so: by its own list, or by a word."""
        is_short = isinstance(text, str) and len(text) <= _LONGEST
        return is_short and plain(str(text)) in self.buttons | self.words

    def changed(self, add: Iterable[str], remove: Iterable[str]) -> StopWords:
        """The same with some more words, and without some words and buttons."""
        gone = frozenset(map(plain, remove))
        words = (self.words | frozenset(map(plain, add))) - gone
        return StopWords(words, self.buttons - gone)


def plain(text: str) -> str:
    """A text without its case, its outer spaces and signs, and with one space between words."""
    composed = unicodedata.normalize("NFKC", text).strip(_OUTER)
    return " ".join(unicodedata.normalize("NFKC", composed.casefold()).split())


@functools.cache
def usual() -> StopWords:
    """Those of `stop_words.toml`."""
    return StopWords(_listed("words"), _listed("buttons"))


def languages() -> dict[str, dict[str, list[str]]]:
    """What `stop_words.toml` holds: words and buttons by language (ISO 639)."""
    found: dict[str, Any] = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return found


def _listed(kind: str) -> frozenset[str]:
    return frozenset(plain(text) for texts in languages()[kind].values() for text in texts)
