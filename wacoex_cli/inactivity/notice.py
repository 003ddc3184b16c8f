"""When somebody is to be told about a channel, and in which words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.inactivity.model import Stage

if TYPE_CHECKING:
    from datetime import datetime

REPEATED_AFTER = timedelta(hours=24)
_REPEATED = frozenset({Stage.CRITICAL, Stage.OVERDUE})


class NoticeKind(StrEnum):
    """Why a notice is sent."""

    STAGE = "stage"  # another stage than the last one told
    REPEAT = "repeat"  # still critical or overdue
    RECOVERY = "recovery"  # well again
    REMOVED = "removed"  # the channel is no longer connected


@dataclass(frozen=True)
class LastNotice:
    """The last notice that reached a target about a channel."""

    kind: NoticeKind
    stage: Stage
    sent_at: datetime


def due(
    stage: Stage, connection: str | None, last: LastNotice | None, now: datetime
) -> NoticeKind | None:
    """Which notice a target is to get about a channel now; None for none.

    A change of stage is told at once, critical and overdue again when 24 hours have passed, and
    once that all is well again. A removed channel is told once, then no more; an archived one
    never.
    """
    if connection == "archived":
        return None
    if connection == "removed":
        return None if last and last.kind is NoticeKind.REMOVED else NoticeKind.REMOVED
    told = last.stage if last and last.kind is not NoticeKind.REMOVED else None
    if stage is Stage.OK:
        return NoticeKind.RECOVERY if last and told is not Stage.OK else None
    if last is None or told is not stage:
        return NoticeKind.STAGE
    # Either way: a notice dated in the future, by a wrong clock, must not silence the reminder.
    has_passed = abs(now - last.sent_at) >= REPEATED_AFTER
    return NoticeKind.REPEAT if stage in _REPEATED and has_passed else None
