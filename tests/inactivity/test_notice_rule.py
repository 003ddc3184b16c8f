"""When a notice is due: on a change of stage, every 24 hours while it is grave, once when well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wacoex_cli.inactivity.model import LastNotice, NoticeKind, Stage
from wacoex_cli.inactivity.rule import due

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
OK, WARNING, CRITICAL = Stage.OK, Stage.WARNING, Stage.CRITICAL
OVERDUE, UNKNOWN = Stage.OVERDUE, Stage.UNKNOWN
STAGE, REPEAT = NoticeKind.STAGE, NoticeKind.REPEAT
RECOVERY, REMOVED = NoticeKind.RECOVERY, NoticeKind.REMOVED


def last(stage: Stage, hours_ago: float = 1, kind: NoticeKind = STAGE) -> LastNotice:
    return LastNotice(kind, stage, NOW - timedelta(hours=hours_ago))


@pytest.mark.parametrize(
    ("stage", "former", "expected"),
    [
        (OK, None, None),
        (WARNING, None, STAGE),
        (CRITICAL, None, STAGE),
        (OVERDUE, None, STAGE),
        (UNKNOWN, None, STAGE),
        (WARNING, last(WARNING), None),
        (WARNING, last(WARNING, 48), None),
        (UNKNOWN, last(UNKNOWN, 48), None),
        (CRITICAL, last(WARNING), STAGE),
        (OVERDUE, last(CRITICAL), STAGE),
        (WARNING, last(CRITICAL), STAGE),
        (UNKNOWN, last(OVERDUE), STAGE),
        (CRITICAL, last(CRITICAL, 23.99), None),
        (CRITICAL, last(CRITICAL, 24), REPEAT),
        (OVERDUE, last(OVERDUE, 23.99, REPEAT), None),
        (OVERDUE, last(OVERDUE, 24, REPEAT), REPEAT),
        (OK, last(WARNING), RECOVERY),
        (OK, last(UNKNOWN), RECOVERY),
        (OK, last(OVERDUE, 30, REPEAT), RECOVERY),
        (OK, last(OK, 1, RECOVERY), None),
        (OK, last(OK, 400, RECOVERY), None),
        (WARNING, last(OK, 400, RECOVERY), STAGE),
    ],
)
def test_each_stage_is_told_once_and_a_grave_one_every_24_hours(
    stage: Stage, former: LastNotice | None, expected: NoticeKind | None
) -> None:
    assert due(stage, "connected", former, NOW) is expected


@pytest.mark.parametrize("stage", list(Stage))
def test_an_archived_channel_is_never_told_about(stage: Stage) -> None:
    assert due(stage, "archived", None, NOW) is None
    assert due(stage, "archived", last(OVERDUE, 48), NOW) is None


@pytest.mark.parametrize("stage", list(Stage))
def test_a_removed_channel_is_told_once_whatever_its_stage(stage: Stage) -> None:
    assert due(stage, "removed", None, NOW) is REMOVED
    assert due(stage, "removed", last(OVERDUE), NOW) is REMOVED
    assert due(stage, "removed", last(OVERDUE, 999, REMOVED), NOW) is None


def test_a_channel_that_came_back_starts_anew() -> None:
    removed = last(OVERDUE, 5, REMOVED)

    assert due(OK, "settling", removed, NOW) is RECOVERY
    assert due(OVERDUE, "connected", removed, NOW) is STAGE
    assert due(UNKNOWN, None, removed, NOW) is STAGE


def test_a_notice_dated_in_the_future_does_not_silence_the_reminder() -> None:
    assert due(OVERDUE, "connected", last(OVERDUE, -24 * 365), NOW) is REPEAT
    assert due(CRITICAL, "connected", last(WARNING, -24 * 365), NOW) is STAGE
