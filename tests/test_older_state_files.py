"""A state file that an earlier commit wrote, in the middle of its work, opens and goes on.

`support/state_690d646.db.gz` was written by the commands of commit 690d646 against the sandbox, on
a host called `counter`: channels, companions, opt-outs, a schedule, confirmations and notices
(their dates by freezegun), a connection left at its fourth step, every payload in `events/fixtures`
imported (the second half by a process that ended before any projection saw it), and five
broadcasts: one completed; one interrupted by Ctrl-C under faults, with a listener beside it; one
whose process was killed with requests under way; one interrupted through respond.io; one only
planned. Nothing in it was edited afterwards.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from freezegun import freeze_time

from wacoex_cli.events.checks import TRAFFIC
from wacoex_cli.events.store import catch_up
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.state import open_state
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WRITTEN = Path(__file__).parent / "support" / "state_690d646.db.gz"
WRITTEN_AT = "2026-11-28T18:40:00Z"
OPEN = {"pending", "retry"}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state file as it was left, and the program pointed at it."""
    unpacked = tmp_path / "wacoex.db"
    unpacked.touch(mode=0o600)
    unpacked.write_bytes(gzip.decompress(WRITTEN.read_bytes()))
    monkeypatch.setenv("WACOEX_STATE", str(unpacked))
    return unpacked


def rows(path: Path, sql: str) -> list[dict[str, Any]]:
    with closing(open_state(path)) as state:
        return [{name: row[name] for name in row} for row in state.rows(sql)]


def of_broadcast(path: Path, number: int) -> dict[str, str]:
    """The state of every row that can be sent, by phone number."""
    found = rows(path, f"SELECT * FROM recipients WHERE broadcast_id = {number}")
    return {row["phone"]: row["state"] for row in found if row["state"] != "skipped"}


@pytest.fixture
def world(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A sandbox that has sent nothing yet, at the address that the broadcasts were planned for."""
    world = default_world()
    for phone in of_broadcast(path, 4):
        world.respondio.add_contact(phone, "Guest")
    with running(world) as url:
        # The port of the sandbox is another one each time.
        with closing(open_state(path)) as state, state.transaction():
            state.execute(
                "UPDATE broadcasts SET api_base_url ="
                " ? || CASE provider WHEN 'respondio' THEN '/respondio/v2' ELSE '' END",
                [url],
            )
        for name, value in {
            "WACOEX_META_BASE_URL": url,
            "WACOEX_META_TOKEN": DEFAULT_TOKEN,
            "WACOEX_RESPONDIO_BASE_URL": f"{url}/respondio/v2",
            "WACOEX_RESPONDIO_TOKEN": DEFAULT_RESPONDIO_TOKEN,
        }.items():
            monkeypatch.setenv(name, value)
        yield world


def sent_to(world: World) -> Counter[str]:
    return Counter(f"+{str(each.recipient).removeprefix('+')}" for each in world.log.accepted())


@pytest.mark.usefixtures("path")
def test_the_channels_are_shown_with_what_was_known_of_them(run: Callable[..., Any]) -> None:
    with freeze_time(WRITTEN_AT):
        shown = run("status", "--offline", "--json")

    channels = {channel["channel"]: channel for channel in shown.data["channels"]}
    assert set(channels) == {"shop", "corner", "kiosk"}
    assert channels["shop"]["inactivity"]["grade"] == "proof"
    assert "WX301" in {finding["id"] for finding in channels["shop"]["findings"]}
    assert channels["shop"]["facts"], "what Meta said of the number"


@pytest.mark.usefixtures("path")
def test_the_countdown_continues_from_the_last_confirmation(run: Callable[..., Any]) -> None:
    with freeze_time("2026-12-09T18:40:00Z"):
        checked = run("reminder", "check", "--json")
        answer = run("reminder", "notify", "--to", "json://127.0.0.1:9/", "--dry-run", "--json")

    stages = {channel["channel"]: channel["stage"] for channel in checked.data["channels"]}
    assert stages["shop"] == "warning"
    assert "shop" in {notice["channel"] for notice in answer.data["would_send"]}


def test_events_are_listed_and_every_projection_catches_up(
    path: Path, run: Callable[..., Any]
) -> None:
    [newest] = rows(path, "SELECT MAX(event_id) AS id, COUNT(*) AS n FROM events")
    # The step of the schema that made the table of traffic has filled it too.
    before = rows(path, "SELECT * FROM cursors WHERE consumer <> 'traffic'")
    assert all(cursor["event_id"] < newest["id"] for cursor in before)

    listed = run("events", "list", "--limit", "1000", "--json")
    assert len(listed.data["events"]) == newest["n"]
    assert len({event["kind"] for event in listed.data["events"]}) >= 12
    with freeze_time(WRITTEN_AT):
        assert run("status", "--offline").code in (0, 1, 2, 3)
        assert run("mac", "--json").code == 0
    after = rows(path, "SELECT * FROM cursors")
    assert {cursor["event_id"] for cursor in after} == {newest["id"]}
    assert len(after) >= len(before)


def test_the_table_of_traffic_is_filled_as_its_projection_would_fill_it(path: Path) -> None:
    traffic = "SELECT * FROM traffic ORDER BY number, kind, day"
    with closing(open_state(path)) as state:
        filled = state.rows(traffic)
        with state.transaction():
            state.execute("DELETE FROM traffic")
            state.execute("DELETE FROM cursors WHERE consumer = 'traffic'")
        catch_up(state, (TRAFFIC,), SystemClock())

        assert {row["kind"] for row in filled} >= {"echo", "message"}
        assert state.rows(traffic) == filled


def test_a_large_file_says_that_it_is_brought_up_to_date(
    path: Path, run: Callable[..., Any]
) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE filling AS SELECT zeroblob(50000000) AS empty")

    first, second = run("channel", "list"), run("channel", "list")

    assert (first.code, second.code) == (0, 0)
    assert "bringing the state file (5" in first.err
    assert "if it is stopped, nothing is lost" in first.err
    assert "up to date" not in second.err


@pytest.mark.parametrize(
    ("number", "counts", "status"),
    [
        (1, {"read": 3, "delivered": 2, "skipped": 1}, "completed"),
        (
            2,
            {"pending": 69, "retry": 2, "accepted": 2, "delivered": 22, "read": 21}
            | {"failed": 1, "rejected": 2, "ambiguous": 1, "skipped": 3},
            "paused",
        ),
        (3, {"pending": 34, "sending": 11, "delivered": 5, "read": 10}, "sending"),
        (4, {"pending": 4, "accepted": 2}, "paused"),
        (5, {"pending": 4}, "planned"),
    ],
)
@pytest.mark.usefixtures("path")
def test_a_broadcast_keeps_its_status(
    run: Callable[..., Any], number: int, counts: dict[str, int], status: str
) -> None:
    shown = run("broadcast", "show", str(number), "--json").data

    assert shown["status"] == status
    assert {state: n for state, n in shown["counts"].items() if n} == counts


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_broadcast_continues_with_exactly_its_open_rows(
    path: Path, world: World, run: Callable[..., Any], number: int
) -> None:
    before = of_broadcast(path, number)
    assert run("reminder", "confirm", "shop", "--by", "Bo").code == 0
    resumed = run("broadcast", "resume", str(number), "--yes", "--json")

    assert resumed.code in (0, 7), resumed.err
    assert resumed.data["status"] == "completed"
    left = {phone for phone, state in before.items() if state in OPEN}
    assert sent_to(world) == dict.fromkeys(left, 1)
    after = of_broadcast(path, number)
    assert {after[phone] for phone in left} <= {"accepted", "sent", "delivered", "read"}
    for phone, state in before.items():
        if state == "sending":
            assert after[phone] == "ambiguous", "its process was killed: it may have gone out"
        elif phone not in left:
            assert after[phone] == state


def test_the_planned_broadcast_is_sent(path: Path, world: World, run: Callable[..., Any]) -> None:
    assert run("reminder", "confirm", "shop", "--by", "Bo").code == 0
    assert run("broadcast", "send", "5", "--yes").code == 0

    assert sent_to(world) == dict.fromkeys(of_broadcast(path, 5), 1)


@pytest.mark.usefixtures("path")
def test_the_connection_continues_at_its_open_step(run: Callable[..., Any]) -> None:
    shown = run("connect", "corner", "--check", "--json", tty=True)

    steps = {step["step"]: step["state"] for step in json.loads(shown.out)["data"]["steps"]}
    assert (steps["number"], steps["eligibility"]) == ("settled", "settled")
    assert steps["echo-proof"] == "open"


@pytest.mark.usefixtures("path")
def test_companions_and_optouts_are_still_known(run: Callable[..., Any]) -> None:
    devices = run("device", "list", "-c", "shop", "--json").data["devices"]
    assert {device["kind"] for device in devices} == {"web", "wear-os"}
    optouts = run("optout", "list", "--json").data["optouts"]
    assert {"+6591000003", "+6592222222"} <= {optout["phone"] for optout in optouts}
