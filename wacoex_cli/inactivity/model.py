"""Where a channel stands in the countdown to the day Meta disconnects it, and what was notified."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

_EVIDENCE_TEXTS = {
    "confirmed": "the app was confirmed to be open",
    "connected": "the number was connected",
    "echo_primary": "an echo came from the phone, no companion was linked then",
    "phonebook": "the phonebook changed, usually on the phone",
    "echo": "an echo came, maybe from a linked device",
}


class Stage(StrEnum):
    """How near the end is; `unknown` is no evidence at all, never `ok`."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    OVERDUE = "overdue"
    UNKNOWN = "unknown"


class Grade(StrEnum):
    """How much a piece of evidence proves."""

    PROOF = "proof"
    STRONG = "strong"
    WEAK = "weak"
    NONE = "none"


class GradedSign(NamedTuple):
    """A piece of evidence with its grade. `name` is the word of the evidence table.

    Words: `confirmed`, `connected`, `echo_primary`, `phonebook`, `echo`.
    """

    name: str
    grade: Grade
    at: datetime
    source: str
    said_by: str = ""

    @property
    def text(self) -> str:
        """The evidence in words, with the person who gave it."""
        who = f" by {self.said_by}" if self.name == "confirmed" and self.said_by else ""
        return f"{_EVIDENCE_TEXTS.get(self.name, self.name)}{who}"


class Standing(NamedTuple):
    """The countdown of one channel. All moments are aware, UTC.

    `counted` is the evidence the clock runs from, `weaker` what is newer but not trusted enough,
    `future` what claims to be from later than now and is ignored.
    """

    stage: Stage
    counted: GradedSign | None = None
    act_by_at: datetime | None = None
    deadline_at: datetime | None = None
    days_left: float | None = None
    weaker: tuple[GradedSign, ...] = ()
    future: tuple[GradedSign, ...] = ()

    @property
    def last_opened_at(self) -> datetime | None:
        """When the app was last opened, as far as trusted evidence says."""
        return self.counted.at if self.counted else None

    @property
    def grade(self) -> Grade:
        """The grade of what the clock runs from."""
        return self.counted.grade if self.counted else Grade.NONE

    def to_json(self) -> dict[str, Any]:
        """The keys that every command shows about a countdown."""
        return {
            "stage": self.stage.value,
            "last_opened_at": self.last_opened_at,
            "source": self.counted.source if self.counted else None,
            "evidence": self.counted.name if self.counted else None,
            "grade": self.grade.value,
            "act_by_at": self.act_by_at,
            "deadline_at": self.deadline_at,
            "days_left": self.days_left,
        }


class NoticeKind(StrEnum):
    """Why a notice is sent."""

    STAGE = "stage"  # another stage than that of the last notice
    REPEAT = "repeat"  # still critical or overdue
    RECOVERY = "recovery"  # well again
    REMOVED = "removed"  # the channel is no longer connected


class LastNotice(NamedTuple):
    """The last notice that reached a target about a channel."""

    kind: NoticeKind
    stage: Stage
    sent_at: datetime


class NoticeAddress(NamedTuple):
    """What is known of an address for notices. Times are RFC 3339 in UTC.

    `taken_at` is when it last took a notice or a test, None for never. `reason` says why the last
    test failed.
    """

    shown: str
    taken_at: str | None
    reason: str | None = None


class NoticeReach(NamedTuple):
    """Whether notices arrive. `addresses` are those in use, each as far as we know.

    Where there are none, notices go where `reminder notify --to` says; `elsewhere` are such.
    """

    addresses: tuple[NoticeAddress | None, ...] = ()
    elsewhere: tuple[NoticeAddress, ...] = ()
