"""Meta's error codes: what one means for a message, for its broadcast, and for the operator.

They stand in `meta_errors.toml`; the classes are a closed list.
"""

import re
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Literal

Scope = Literal["person", "number", "account"]


class Outcome(StrEnum):
    """What becomes of a message that was answered with an error code."""

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
_NUMBER = re.compile(r"(?<![0-9])[0-9]{1,7}(?![0-9])")
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


def codes_in(text: str) -> tuple[int, ...]:
    """The codes that an error's text names, by number or by a title of Meta's, in that order.

    Of two titles in the text only the longer one counts where one is a part of the other
    ("Spam rate limit hit"). A part of a title will do where it has two words at least.
    """
    named = [int(digits) for digits in _NUMBER.findall(text)]
    found = [code for code in named if (code, None) in _table()]
    if found:
        return tuple(dict.fromkeys(found))
    shown = _plain(text)
    titles = {_plain(title): code for code in known_codes() for title in classify(code).titles}
    held = [title for title in titles if f" {title} " in f" {shown} "]
    if not held and len(shown.split()) > 1:
        held = [title for title in titles if shown in title]
        return tuple(dict.fromkeys(titles[title] for title in held))
    longest = [title for title in held if not any(title in other != title for other in held)]
    return tuple(dict.fromkeys(titles[title] for title in longest))


def _plain(text: str) -> str:
    """Lower case, and the words alone."""
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


@cache
def _table() -> dict[tuple[int, int | None], ErrorCode]:
    import tomllib  # takes a while, and most commands meet no error

    text = Path(__file__).with_name("meta_errors.toml").read_text(encoding="utf-8")
    kept = {field.name for field in fields(ErrorCode)}
    table = {}
    for entry in tomllib.loads(text)["error"]:
        if "class" not in entry:
            continue
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in entry.items()
            if name in kept
        }
        values["cause"] = entry["meaning"]
        key = entry["code"], entry.get("subcode")
        table[key] = ErrorCode(outcome=Outcome(entry["class"]), **values)
    return table
