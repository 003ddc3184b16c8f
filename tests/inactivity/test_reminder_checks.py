"""WX106: a reminder that does not run is told, one that runs is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State
from wacoex_cli.inactivity.checks import check_running
from wacoex_cli.inactivity.store import Reminders

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
HOURLY = {"host": "box", "kind": "cron", "every_seconds": 3600, "installed_at": to_text(NOW)}


def ended(hours_ago: float, status: int | None = 0) -> dict[str, object]:
    return {"started_at": to_text(NOW - timedelta(hours=hours_ago)), "exit_status": status}


@pytest.mark.parametrize(
    ("run", "schedule", "title"),
    [
        (None, None, "the reminder has never run"),
        (None, HOURLY, "the reminder has never run"),
        (ended(3.01), HOURLY, "the reminder does not run any more"),
        (ended(49.1), None, "the reminder does not run any more"),
        (ended(-2), HOURLY, "the reminder does not run any more"),
        (ended(0.5, 4), HOURLY, "the last run of the reminder failed"),
        (ended(0.5, 7), None, "the last run of the reminder failed"),
    ],
)
def test_a_reminder_that_does_not_work_is_wx106(run, schedule, title: str) -> None:
    [finding] = check_running(run, schedule, NOW)

    assert (finding.id, finding.severity, finding.title) == ("WX106", "warning", title)


@pytest.mark.parametrize(
    ("run", "schedule"),
    [(ended(3), HOURLY), (ended(49), None), (ended(0.01, None), HOURLY), (ended(-0.1), HOURLY)],
)
def test_a_reminder_that_runs_as_it_should_is_no_finding(run, schedule) -> None:
    assert check_running(run, schedule, NOW) == []


def test_the_ledger_gives_what_the_check_asks_for(state: State) -> None:
    store = Reminders(state)
    assert (store.last_run(), store.schedule()) == (None, None)
    store.keep_schedule("box", "cron", 3600, NOW - timedelta(days=3))
    store.keep_schedule("box", "cron", 3600, NOW)
    run_id = store.start_run(NOW - timedelta(days=1))
    store.finish_run(run_id, NOW, exit_status=0, sent=2, failed=0)
    last, schedule = store.last_run(), store.schedule()

    assert len(check_running(last, schedule, NOW)) == 1
    assert schedule is not None
    assert schedule["installed_at"] == to_text(NOW - timedelta(days=3))
    store.forget_schedule("box", "cron")
    assert store.schedule() is None
    assert check_running(last, None, NOW) == []
