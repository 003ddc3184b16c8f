"""Meta's error codes: what one means for a message, for its broadcast, and for the operator.

They stand in `meta_errors.toml`; the classes are a closed list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from wacoex_cli.errors import CredentialError, RefusedError, TemporaryError, WacoexError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from wacoex_cli.platforms.answers import Refused

Scope = Literal["person", "number", "account"]


class Outcome(StrEnum):
    """What happens to a message that was answered with an error code."""

    RETRY = "retry"
    AMBIGUOUS = "ambiguous"
    STOP = "stop"
    ROW = "row"


@dataclass(frozen=True)
class ErrorCode:
    """One code of Meta, and what follows from it.

    `cause` is what has happened, whatever was asked for.
    `scope` is whom it hits: that person, the sending number, or the account as a whole.
    `wait_seconds` is the first wait of a retry. `holds_number` means that the whole number waits,
    `slows_down` that its rate is lowered, `is_credential` that the token or its rights are at
    fault, `opts_out` that the person wants no more, `cools_down` that they are to be left alone
    for 24 hours. `titles` is what Meta shows or has shown, `see_also` names articles, `finding` is
    what a person who is shown the code most likely has. `is_listed`: Meta documents the code.
    `subcode` is set where it changes the meaning, `sources` names what else says so.
    """

    code: int
    cause: str
    outcome: Outcome
    action: str
    scope: Scope
    wait_seconds: float = 0.0
    slows_down: bool = False
    holds_number: bool = False
    is_credential: bool = False
    opts_out: bool = False
    cools_down: bool = False
    titles: tuple[str, ...] = ()
    see_also: tuple[str, ...] = ()
    finding: str | None = None
    is_listed: bool = True
    subcode: int | None = None
    sources: tuple[str, ...] = ()

    @property
    def meaning(self) -> str:
        """What it means as the answer to a message."""
        is_open = self.outcome is Outcome.AMBIGUOUS
        return f"{self.cause}: the message may have gone out" if is_open else self.cause

    @property
    def hint(self) -> str:
        """What the operator does about it, as the hint of an error."""
        return self.action[:1].lower() + self.action[1:].rstrip(".")


_PERMISSIONS = range(200, 300)
# What a text calls a code, else a number by itself: no part of a date, a time, an amount or an id.
_NUMBER = re.compile(
    r"(?:http|status)\W{0,3}[0-9]+"
    r"|(?:\#|(?<!sub)(?<!sub_)\b(?:error_?)?(?:code|error|err)\W{1,4})(?P<marked>[0-9]{1,7})\b"
    r"|(?<![\w.+/-])(?<![0-9]:)(?P<bare>[0-9]{3,7})(?![\w/=-]|[.:][0-9])",
    re.IGNORECASE,
)
_SUBCODE = re.compile(r"sub_?code\W{0,4}([0-9]{1,7})\b", re.IGNORECASE)
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")
_DIGITS_OF_NO_OTHER_NUMBER = 5
_FEW_WORDS = 6
_FEW_ERRORS = 3
_WORDS_OF_A_PIECE = 3
_SHARE_OF_A_PIECE = 1 / 3
_SHARE_OF_A_CUT_TITLE = 0.6
_LETTERS_OF_A_CUT_TITLE = 12
_LETTERS_READ = 2000


_UNKNOWN = ErrorCode(
    code=-1,
    cause="unknown to this version of wacoex",
    outcome=Outcome.ROW,
    action="Look the code up in Meta's list of error codes, and read the details it gives.",
    scope="person",
)


def classify(code: int, subcode: int | None = None) -> ErrorCode:
    """What Meta's `error.code` (with `error_subcode`, where it matters) means.

    A code that is not in the list concerns its row only. Source: "Meta: error codes".
    """
    table = _table()
    listed = _PERMISSIONS.start if code in _PERMISSIONS else code
    found = table.get((listed, subcode)) or table.get((listed, None), _UNKNOWN)
    # Titles and articles of 200 are of that very code.
    return found if found.code == code else replace(found, code=code, titles=(), see_also=())


def classify_open(code: int) -> ErrorCode:
    """What a code means that left its row to be sent again, where the subcode is not kept.

    Code 100 rejects its row, and with subcode 33 it stops the broadcast instead.
    """
    known = classify(code)
    if known.outcome is not Outcome.ROW:
        return known
    return next((it for it in with_subcodes(code) if it.outcome is Outcome.STOP), known)


def error_of(refused: Refused) -> WacoexError:
    """The failure that a refusal of Meta is reported as."""
    known = classify(refused.code, refused.subcode)
    facts = {
        "code": refused.code,
        "subcode": refused.subcode,
        "fbtrace_id": refused.fbtrace_id,
        "message": refused.message or None,
        "details": refused.details or None,
        "user_text": refused.user_text or None,
    }
    kind: type[WacoexError] = RefusedError
    if known.is_credential:
        kind = CredentialError
    elif known.outcome in {Outcome.RETRY, Outcome.AMBIGUOUS} or refused.http_status >= 500:
        kind = TemporaryError
    return kind(
        f"Meta refused: {known.cause} (code {refused.code})",
        # What the code means for a message says nothing about what was asked.
        hint="try again in a minute" if known.outcome is Outcome.AMBIGUOUS else known.hint,
        code=f"meta_{refused.code}",
        details={name: value for name, value in facts.items() if value is not None},
    )


def retry_delay_seconds(code: ErrorCode, tries: int) -> float:
    """Seconds to wait after `tries` attempts (1 = the first one failed): each wait is 4 times
    the one before. Source: "Meta: throughput", the rule 4^X.
    """
    return code.wait_seconds * 4.0 ** (tries - 1)


def is_known(code: int) -> bool:
    """Whether a code is in the list; one that is not concerns its row only."""
    return code in _PERMISSIONS or (code, None) in _table()


def known_codes() -> tuple[int, ...]:
    """Every code that has words of its own, ascending; 200 stands for 200 to 299."""
    return tuple(sorted(code for code, subcode in _table() if subcode is None))


def with_subcodes(code: int) -> tuple[ErrorCode, ...]:
    """What the subcodes of a code mean, ascending, as far as they change its meaning."""
    found = (entry for (of, subcode), entry in _table().items() if of == code and subcode)
    return tuple(sorted(found, key=lambda entry: entry.subcode or 0))


def codes_with_subcode(subcode: int) -> tuple[int, ...]:
    """The codes whose meaning a subcode changes, ascending."""
    return tuple(sorted(code for code, found in _table() if found == subcode))


def errors_in(text: str) -> tuple[ErrorCode, ...]:
    """The errors that a text names, by code or by title: typed, quoted, or a piece of a log.

    A number counts as a code where the text calls it one ("(#190)", "error 4"), where it has five
    digits or more, or where the text is short and has no title of Meta's. A log is full of other
    numbers: times, rows, HTTP status. Of two titles in the text only the longer one counts where
    one is a part of the other ("Spam rate limit hit"). A large piece of a title will do, and so
    does a title of which the end is cut off.
    """
    text = text.strip()[:_LETTERS_READ]
    titled = _with_title(_plain(text))
    is_short = not titled and len(text.split()) <= _FEW_WORDS
    codes = dict.fromkeys(code for code in _numbers(text, is_short=is_short) if is_known(code))
    if not codes:
        return titled
    subcodes = [int(digits) for digits in _SUBCODE.findall(text)]
    return tuple(
        next((entry for entry in with_subcodes(code) if entry.subcode in subcodes), None)
        or next((entry for entry in titled if entry.code == code), classify(code))
        for code in codes
    )


def _numbers(text: str, *, is_short: bool) -> Iterator[int]:
    """The numbers that may be codes, as they stand; in a short text they need not look like it."""
    if text.isascii() and text.isdigit():
        yield int(text)
        return
    for match in _NUMBER.finditer(text):
        bare = match["bare"] or ""
        if match["marked"]:
            yield int(match["marked"])
        elif bare and (is_short or len(bare) >= _DIGITS_OF_NO_OTHER_NUMBER):
            yield int(bare)


def _with_title(shown: str) -> tuple[ErrorCode, ...]:
    """The errors whose title stands in a text, whole or for a part; all in plain words."""
    titles = _by_title()
    held = [title for title in titles if f" {title} " in f" {shown} "]
    held = [title for title in held if not any(title in other != title for other in held)]
    held = held or _of_a_piece(shown, titles) or _of_a_cut_title(shown, titles)
    found = dict.fromkeys(titles[title] for title in held)
    # What a subcode says is more than what its code says.
    finer = {entry.code for entry in found if entry.subcode}
    return tuple(entry for entry in found if entry.subcode or entry.code not in finer)


def _of_a_piece(shown: str, titles: Mapping[str, ErrorCode]) -> list[str]:
    """The titles that the whole text is a large piece of; of many errors the shortest title."""
    words = len(shown.split())
    held = [
        title
        for title in titles
        if f" {shown} " in f" {title} "
        and (words >= _WORDS_OF_A_PIECE or len(shown) >= len(title) * _SHARE_OF_A_PIECE)
    ]
    if words == 1:
        return []
    is_clear = len({titles[title].code for title in held}) <= _FEW_ERRORS
    return held if is_clear else [min(held, key=len)]


def _of_a_cut_title(shown: str, titles: Iterable[str]) -> list[str]:
    """The titles of which most letters stand in the text in one run; those with the longest."""
    from difflib import SequenceMatcher  # only a text that was cut off needs it

    matcher = SequenceMatcher(None, b=shown, autojunk=False)
    runs = {}
    for title in titles:
        matcher.set_seq1(title)
        letters = matcher.find_longest_match().size
        if letters >= max(_LETTERS_OF_A_CUT_TITLE, len(title) * _SHARE_OF_A_CUT_TITLE):
            runs[title] = letters
    return [title for title, letters in runs.items() if letters == max(runs.values())]


def _plain(text: str) -> str:
    """Lower case, and the words alone."""
    return " ".join(_WORD.findall(text.lower().replace("\u2019", "'")))


@cache
def _by_title() -> dict[str, ErrorCode]:
    """Each title of Meta's in plain words; of two codes with one title the first has it."""
    found: dict[str, ErrorCode] = {}
    for entry in _table().values():
        for title in entry.titles:
            found.setdefault(_plain(title), entry)
    return found


@cache
def _table() -> dict[tuple[int, int | None], ErrorCode]:
    import tomllib  # takes a while, and most commands meet no error

    text = Path(__file__).with_name("meta_errors.toml").read_text(encoding="utf-8")
    kept = {field.name for field in fields(ErrorCode)}
    table = {}
    taken: set[str] = set()
    for entry in tomllib.loads(text)["error"]:
        if "class" not in entry:
            continue
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in entry.items()
            if name in kept
        }
        values["cause"] = entry["meaning"]
        # `title` is what Meta answers; where another code has the same, that one keeps it.
        own = dict.fromkeys([*entry.get("titles", ()), *filter(None, [entry.get("title")])])
        values["titles"] = tuple(title for title in own if title not in taken)
        taken |= own.keys()
        key = entry["code"], entry.get("subcode")
        table[key] = ErrorCode(outcome=Outcome(entry["class"]), **values)
    return table
