"""Meta's error codes: what one means for a message, for its broadcast, and for the operator.

The classes are a closed list. The words for people stand in `error_texts`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from wacoex_cli.platforms import error_texts

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

    `scope` is whom it hits: that person, the sending number, or the account as a whole.
    `wait_seconds` is the first wait of a retry. `holds_number` means that the whole number waits,
    `slows_down` that its rate is lowered, `is_credential` that the token or its rights are at
    fault, `opts_out` that the person wants no more, `cools_down` that they are to be left alone
    for 24 hours.
    """

    code: int
    meaning: str
    outcome: Outcome
    action: str
    scope: Scope
    wait_seconds: float = 0.0
    slows_down: bool = False
    holds_number: bool = False
    is_credential: bool = False
    opts_out: bool = False
    cools_down: bool = False

    @property
    def hint(self) -> str:
        """What the operator does about it, as the hint of an error."""
        return self.action[:1].lower() + self.action[1:].rstrip(".")


_RETRY_WAITS: dict[int, float] = {
    2: 5.0,
    4: 60.0,
    17: 60.0,
    341: 60.0,
    613: 60.0,
    80007: 60.0,
    80008: 60.0,
    130429: 1.0,
    131016: 5.0,
    131056: 1.0,
    131057: 60.0,
    132069: 60.0,
    133004: 5.0,
    133015: 300.0,
    134101: 600.0,
    2494100: 60.0,
}
_AMBIGUOUS = frozenset({1, 131000})
_STOP = frozenset(
    {0, 3, 10, 33, 102, 104, 190, 368}
    | {131005, 131031, 131037, 131042, 131044, 131045, 131048, 131055, 131063, 131064}
    | {132000, 132001, 132007, 132012, 132015, 132016, 132068}
    | {133005, 133006, 133007, 133008, 133009, 133010}
    | {134011, 134100, 134102}
)
_CREDENTIAL = frozenset({0, 3, 10, 102, 104, 190, 131005})
_HOLDS_NUMBER = frozenset({4, 17, 341, 613, 80007, 80008, 131057, 133015, 134101, 2494100})
_OF_THE_NUMBER = frozenset(
    {33, 130429, 131037, 131045, 131048, 131057, 133000, 133004, 133005, 133006, 133007}
    | {133008, 133009, 133010, 133015, 133016, 2494100, 2593107, 2593108, 2593109}
)
_OF_THE_ACCOUNT = frozenset(
    {1, 2, 4, 17, 341, 613, 80007, 80008, 131000, 131016, 131059, 132069, 134101}
    | {138024, 138025, 141002, 141006, 141010}
)
_PERMISSIONS = range(200, 300)
_SLOWS_DOWN = 130429
_OPTS_OUT = 131050
_COOLS_DOWN = 131049
_BAD_PARAMETER = 100
_OBJECT_NOT_VISIBLE = 33


def classify(code: int, subcode: int | None = None) -> ErrorCode:
    """What Meta's `error.code` (with `error_subcode`, where it matters) means.

    A code that is not in the list concerns its row only. Source: "Meta: error codes".
    """
    not_visible = code == _BAD_PARAMETER and subcode == _OBJECT_NOT_VISIBLE
    is_permission = code in _PERMISSIONS
    outcome = Outcome.STOP if not_visible or is_permission else _outcome(code)
    meaning, action = error_texts.OBJECT_NOT_VISIBLE if not_visible else _words(code)
    return ErrorCode(
        code=code,
        meaning=meaning,
        outcome=outcome,
        action=action,
        scope=_scope(code, outcome),
        wait_seconds=_RETRY_WAITS.get(code, 0.0),
        slows_down=code == _SLOWS_DOWN,
        holds_number=code in _HOLDS_NUMBER,
        is_credential=not_visible or is_permission or code in _CREDENTIAL,
        opts_out=code == _OPTS_OUT,
        cools_down=code == _COOLS_DOWN,
    )


def retry_delay_seconds(code: ErrorCode, tries: int) -> float:
    """Seconds to wait after `tries` attempts (1 = the first one failed): each wait is 4 times
    the one before. Source: "Meta: throughput", the rule 4^X.
    """
    return code.wait_seconds * 4.0 ** (tries - 1)


def is_known(code: int) -> bool:
    """Whether a code is in the list; one that is not concerns its row only."""
    return code in _PERMISSIONS or code in error_texts.TEXTS


def known_codes() -> tuple[int, ...]:
    """Every code that has words of its own, ascending; 200 stands for 200 to 299."""
    return tuple(sorted(error_texts.TEXTS))


def _outcome(code: int) -> Outcome:
    if code in _RETRY_WAITS:
        return Outcome.RETRY
    if code in _AMBIGUOUS:
        return Outcome.AMBIGUOUS
    return Outcome.STOP if code in _STOP else Outcome.ROW


def _words(code: int) -> tuple[str, str]:
    key = _PERMISSIONS.start if code in _PERMISSIONS else code
    return error_texts.TEXTS.get(key, error_texts.UNKNOWN)


def _scope(code: int, outcome: Outcome) -> Scope:
    if code in _OF_THE_NUMBER:
        return "number"
    if code in _OF_THE_ACCOUNT or outcome is Outcome.STOP:
        return "account"
    return "person"
