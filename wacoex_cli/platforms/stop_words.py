"""What says "no more messages": words that people write, texts of buttons that they tap.

Of a text only this answer is kept. The usual ones stand in `stop_words.toml`.
"""

from __future__ import annotations

import functools
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILE = Path(__file__).with_suffix(".toml")
_LONGEST = 80
# Turkish writes i without a dot too, and no rule of case folds the two; Arabic writes alef with or
# without its sign. Vowel points and invisible signs are left out everywhere.
_ALIKE = str.maketrans("\u0131\u0622\u0623\u0625\u0671", "i\u0627\u0627\u0627\u0627")
_LEFT_OUT = re.compile(
    "[\u00ad\u0307\u0591-\u05bd\u05bf-\u05c7\u0640\u064b-\u0652\u0670\u200b-\u200f\u202a-\u202e"
    "\u2060-\u2069\ufe00-\ufe0f\ufeff]"
)
_HYPHENS = re.compile("[\u2010-\u2015\u2212]")
_ASCII_SIGNS = re.sub("[0-9A-Za-z]", "", bytes(range(128)).decode("ascii"))
# A question is none: "Stop?" wants an answer.
_QUESTION = frozenset("?\u061f")


class StopWords(NamedTuple):
    """The words and the texts of buttons, each as `plain` gives it."""

    words: frozenset[str]
    buttons: frozenset[str]

    def is_word(self, text: object) -> bool:
        """Whether a message is such a word, and nothing else."""
        return _plain_or_none(text) in self.words

    def is_button(self, text: object) -> bool:
        """Whether a button says so: by its own list, or by a word."""
        said = _plain_or_none(text)
        return said in self.buttons or said in self.words

    def changed(self, add: Iterable[str], remove: Iterable[str]) -> StopWords:
        """The same with some more words, and without some words and buttons."""
        gone = frozenset(map(plain, remove))
        words = (self.words | frozenset(map(plain, add))) - gone
        return StopWords(words, self.buttons - gone)


def plain(text: str) -> str:
    """A text without its case, the signs and spaces around it, and what is written or left out.

    What holds no letter and no digit, such as an emoji alone, keeps its signs.
    """
    if text.isascii():
        return _plain_ascii(text)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    bare = unicodedata.normalize("NFC", _LEFT_OUT.sub("", folded).translate(_ALIKE))
    digits = "".join(str(unicodedata.decimal(sign, sign)) for sign in bare)
    spaced = " ".join(_HYPHENS.sub("-", digits).split())
    spoken = [n for n, sign in enumerate(spaced) if unicodedata.category(sign)[0] in "LN"]
    if not spoken:
        return spaced
    last = spoken[-1] + 1
    # Vowel signs of Hindi and Thai belong to the letter before them; a question mark stays.
    while last < len(spaced) and unicodedata.category(spaced[last])[0] == "M":
        last += 1
    asks = "?" if _QUESTION & set(spaced[last:]) else ""
    return spaced[spoken[0] : last] + asks


def _plain_ascii(text: str) -> str:
    """The same of a text in ASCII, where little can be written in two ways: ten times faster."""
    spaced = " ".join(text.lower().split())
    said = spaced.strip(_ASCII_SIGNS)
    if not said:
        return spaced
    asks = "?" if "?" in spaced[len(spaced.rstrip(_ASCII_SIGNS)) :] else ""
    return said + asks


def _plain_or_none(text: object) -> str | None:
    """A text that is compared; who writes a word twice ("STOP STOP") says it once."""
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    said = plain(text)
    first = said.partition(" ")[0]
    return (first if set(said.split()) == {first} else said) or None


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
