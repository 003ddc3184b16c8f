"""Twenty days of hourly runs send exactly what the 14-day rule promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from freezegun import freeze_time

from wacoex_cli.inactivity.commands import notify
from wacoex_cli.terminal.options import Invocation

OPENED = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
CONFIRMED_AFTER = 17 * 24 + 5


def test_hourly_runs_for_20_days_send_exactly_the_notices_of_the_rule(run, inbox: Any) -> None:
    answer = []
    with freeze_time(OPENED) as frozen:
        run("channel", "add", "shop", "--phone", "+6560000001", "--timezone", "Asia/Singapore")
        run("reminder", "confirm", "shop", "--by", "Ana")
        for hour in range(1, 20 * 24 + 1):
            frozen.move_to(OPENED + hour * HOUR)
            if hour == CONFIRMED_AFTER:
                run("reminder", "confirm", "shop", "--by", "Ana")
            before = len(inbox.messages)
            # The command as the program calls it; parsing 480 command lines takes half a minute.
            done = notify(Invocation(), to=[inbox.url])

            assert done.exit_code == 0
            assert len(list(done.text)) == len(inbox.messages) - before
            answer += [(hour / 24, title) for title in inbox.titles[before:]]
        again = run("reminder", "notify", "--to", inbox.url, "--json")

    by = "open the WhatsApp Business app by 2026-11-14 17:00 Asia/Singapore"
    overdue = "shop: overdue, open the WhatsApp Business app now"
    assert answer == [
        (10.0, f"shop: {by}"),
        (12.0, f"shop: {by}"),
        (13.0, f"shop: {by}"),
        (14.0, overdue),
        (15.0, overdue),
        (16.0, overdue),
        (17.0, overdue),
        (CONFIRMED_AFTER / 24, "shop: phone confirmed"),
    ]
    assert again.data["sent"] == []
    assert [entry["reason"] for entry in again.data["skipped"]] == ["told"]
