"""The 14-day rule: what evidence proves, how near the end is, and when a notice is due. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.model import EvidenceKind
from wacoex_cli.inactivity.model import Grade, GradedSign, LastNotice, NoticeKind, Stage, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from zoneinfo import ZoneInfo

    from wacoex_cli.devices.model import Interval
    from wacoex_cli.foundation.settings import InactivitySettings

DISCONNECTS_AFTER = timedelta(days=14)
"""How long the app may stay closed: always 14 x 24 hours, whatever the clocks on the wall do.

Meta removes the partner for PRIMARY_INACTIVITY after "about" 14 days (Meta: account_update).
"""
CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
_SYNC_TAKES_AT_MOST = timedelta(hours=24)
_ONE_DAY = timedelta(days=1)
_MORNING = time(8)
_REPEATED_AFTER = timedelta(hours=24)
_REPEATED = frozenset({Stage.CRITICAL, Stage.OVERDUE})
_STRENGTH = {Grade.NONE: 0, Grade.WEAK: 1, Grade.STRONG: 2, Grade.PROOF: 3}


def grade(kind: EvidenceKind, at: str, primary_only: Sequence[Interval]) -> tuple[str, Grade]:
    """The word and the grade of a piece of evidence from that moment (RFC 3339, UTC).

    An echo is strong when somebody had confirmed that no companion was linked at its own time:
    then nothing but the phone can have sent it. How late it was reported does not matter.
    """
    if kind is EvidenceKind.ECHO:
        is_sure = any(
            interval.start <= at and (interval.end is None or at < interval.end)
            for interval in primary_only
        )
        return ("echo_primary", Grade.STRONG) if is_sure else ("echo", Grade.WEAK)
    if kind is EvidenceKind.PHONEBOOK:
        return "phonebook", Grade.WEAK
    return kind.value, Grade.PROOF


def is_of_first_sync(at: datetime, *began: datetime | None) -> bool:
    """Whether a phonebook change belongs to the sync that comes by itself after connecting.

    `began` is when the number's first change was seen and when it was connected, each where that
    is known. Such a sync takes up to 24 hours and proves nothing (Meta: smb_app_state_sync).
    """
    return any(
        moment is not None and timedelta(0) <= at - moment < _SYNC_TAKES_AT_MOST for moment in began
    )


def standing(signs: Iterable[GradedSign], settings: InactivitySettings, now: datetime) -> Standing:
    """Where the countdown is at `now`, from any evidence, in any order.

    The clock runs from the newest evidence that is trusted (`settings.trust`). What is up to 5
    minutes ahead counts as now, since clocks differ; what is further ahead is ignored and kept
    apart in `future`.
    """
    newest_first = sorted(signs, key=_place, reverse=True)
    latest = now + CLOCKS_DIFFER_AT_MOST
    future = tuple(sign for sign in newest_first if sign.at > latest)
    known = [sign._replace(at=min(sign.at, now)) for sign in newest_first if sign.at <= latest]
    needed = _STRENGTH[Grade(settings.trust)]
    trusted = [sign for sign in known if _STRENGTH[sign.grade] >= needed]
    counted = max(trusted, key=_place, default=None)
    newest_weaker: dict[str, GradedSign] = {}
    for sign in known:
        if _STRENGTH[sign.grade] < needed and (counted is None or sign.at > counted.at):
            newest_weaker.setdefault(sign.name, sign)
    weaker = tuple(newest_weaker.values())
    if counted is None:
        return Standing(Stage.UNKNOWN, weaker=weaker, future=future)
    deadline = counted.at + DISCONNECTS_AFTER
    return Standing(
        stage=_stage(now - counted.at, settings),
        counted=counted,
        act_by_at=counted.at + timedelta(days=settings.act_by_days),
        deadline_at=deadline,
        days_left=days_until(deadline, now),
        weaker=weaker,
        future=future,
    )


def days_until(deadline: datetime, now: datetime) -> float:
    """Days left with one decimal, negative afterwards; 0.0 at the deadline itself and only there.

    It is rounded to the nearest tenth, but the last minutes are 0.1 and the first ones -0.1.
    """
    days = (deadline - now) / _ONE_DAY
    return round(days, 1) or math.copysign(0.1, days) if days else 0.0


def due(
    stage: Stage,
    connection: str | None,
    last: LastNotice | None,
    now: datetime,
    remind_at: datetime | None = None,
) -> NoticeKind | None:
    """Which notice a target is to get about a channel now; None for none.

    A change of stage is notified at once, critical and overdue again when 24 hours have passed, any
    of them again at `remind_at` when somebody asked for that, and once that all is well again. A
    removed channel is notified once, then no more; an archived channel never.
    """
    if connection == "archived":
        return None
    if connection in {"removed", "gone"}:
        return None if last and last.kind is NoticeKind.REMOVED else NoticeKind.REMOVED
    notified = last.stage if last and last.kind is not NoticeKind.REMOVED else None
    if stage is Stage.OK:
        return NoticeKind.RECOVERY if last and notified is not Stage.OK else None
    if last is None or notified is not stage:
        return NoticeKind.STAGE
    # Either way: a notice dated in the future, by a wrong clock, must not silence the reminder.
    has_passed = abs(now - last.sent_at) >= _REPEATED_AFTER
    is_wanted = remind_at is not None and last.sent_at < remind_at <= now
    return NoticeKind.REPEAT if is_wanted or (stage in _REPEATED and has_passed) else None


def tomorrow_morning(now: datetime, zone: ZoneInfo) -> datetime:
    """When somebody who cannot open the app today is reminded: 8 o'clock of the next day there."""
    next_day = now.astimezone(zone).date() + _ONE_DAY
    return datetime.combine(next_day, _MORNING, zone).astimezone(UTC)


def _stage(age: timedelta, settings: InactivitySettings) -> Stage:
    if age >= DISCONNECTS_AFTER:
        return Stage.OVERDUE
    if age >= timedelta(days=settings.critical_days):
        return Stage.CRITICAL
    if age >= timedelta(days=settings.warning_days):
        return Stage.WARNING
    return Stage.OK


def _place(sign: GradedSign) -> tuple[datetime, int, str, str, str]:
    """By time; what happened at the same moment in an order that no arrival can change."""
    return sign.at, _STRENGTH[sign.grade], sign.name, sign.source, sign.said_by
