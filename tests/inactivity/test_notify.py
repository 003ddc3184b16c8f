"""`reminder notify`: whom it tells what, each thing once, and how it ends; the heartbeat."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import SystemClock, to_text
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.inactivity import notify
from wacoex_cli.inactivity.notify import LOCK_PURPOSE

OPENED = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
NOBODY = "json://127.0.0.1:9/"  # nothing listens there
NOTIFY = ("reminder", "notify")


@pytest.fixture
def frozen() -> Iterator[Any]:
    with freeze_time(OPENED) as clock:
        yield clock


@pytest.fixture
def shop(run, state: State, monkeypatch: pytest.MonkeyPatch, frozen: Any) -> str:
    """A channel whose app was opened 12 days ago: critical."""
    monkeypatch.setenv("WACOEX_STATE", str(state.path))
    run("channel", "add", "shop", "--phone", "+6560000001", "--owner", "Ana Lim")
    run("reminder", "confirm", "shop", "--by", "Ana")
    frozen.move_to(OPENED + timedelta(days=12, minutes=30))
    return "shop"


def removed(state: State, reason: str) -> None:
    with state.transaction():
        state.execute(
            "INSERT INTO account_events (event_key, event, at, source, phone, reason,"
            " initiated_by, data) VALUES ('k', 'PARTNER_REMOVED', ?, 'meta', '+6560000001', ?,"
            " 'SYSTEM', '{}')",
            [to_text(datetime.now(UTC)), reason],
        )


def test_a_notice_says_which_phone_until_when_and_how_to_confirm_it(
    run, shop: str, inbox: Any
) -> None:
    done = run(*NOTIFY, env={"WACOEX_NOTIFY_URLS": inbox.url, "WACOEX_TIMEZONE": "Asia/Singapore"})

    assert (done.code, done.err) == (0, "")
    assert done.out == f"shop critical (stage): notified json://127.0.0.1:{inbox.port}\n"
    [message] = inbox.messages
    assert message["type"] == "failure"
    assert message["message"].splitlines() == [
        "Channel: shop (+6560000001)",
        "Owner: Ana Lim",
        "Stage: critical",
        "",
        "Last opened, as far as wacoex knows: 2026-11-01 17:00 Asia/Singapore, 12 days ago",
        "Act by: 2026-11-14 17:00 Asia/Singapore, in 23 hours",
        "Deadline: 2026-11-15 17:00 Asia/Singapore, in 1 day",
        "After the deadline WhatsApp disconnects the channel.",
        "",
        "What to do:",
        "1. Take the primary phone, open the WhatsApp Business app and keep it online for a",
        "   minute. A linked device, messages that come in and broadcasts do not count.",
        "2. Then confirm it: wacoex reminder confirm shop",
    ]


def test_the_same_run_twice_sends_nothing_twice_and_says_nothing(
    run, shop: str, inbox: Any
) -> None:
    first = run(*NOTIFY, "--to", inbox.url, "--json")
    second = run(*NOTIFY, "--to", inbox.url)

    to = f"json://127.0.0.1:{inbox.port}"
    assert first.data["sent"] == [
        {"channel": "shop", "stage": "critical", "kind": "stage", "to": to}
    ]
    assert (second.code, second.out, second.err) == (0, "", "")
    assert len(inbox.messages) == 1


def test_nothing_due_is_silent(run, shop: str, frozen: Any, inbox: Any) -> None:
    frozen.move_to(OPENED + timedelta(days=9))

    done = run(*NOTIFY, "--to", inbox.url)

    assert (done.code, done.out, done.err, inbox.messages) == (0, "", "", [])


def test_a_new_target_gets_a_notice_of_the_current_stage(run, shop: str, inbox: Any) -> None:
    run(*NOTIFY, "--to", inbox.url)
    run(*NOTIFY, "--to", inbox.url, "--to", f"{inbox.url}second")

    assert inbox.paths == ["/", "/second"]


def test_a_failing_notifier_does_not_stop_the_others(run, shop: str, inbox: Any) -> None:
    done = run(*NOTIFY, "--to", NOBODY, "--to", inbox.url, "--json")
    again = run(*NOTIFY, "--to", NOBODY, "--to", inbox.url)

    assert (done.code, done.envelope["status"]) == (7, "partial")
    assert len(done.data["sent"]) == 1
    [failed] = done.data["failed"]
    assert failed["to"] == "json://127.0.0.1:9"
    assert failed["reason"] == "a Connection error occurred sending JSON notification to 127.0.0.1"
    assert again.code == 6  # the only one that was still due
    assert "error: 1 of 1 notice could not be sent\n" in again.err
    assert len(inbox.messages) == 1


def test_the_next_run_tries_a_failed_notice_again(run, shop: str, inbox: Any) -> None:
    inbox.status = 503
    failed = run(*NOTIFY, "--to", inbox.url)
    inbox.status = 200
    done = run(*NOTIFY, "--to", inbox.url)

    assert (failed.code, done.code, len(inbox.messages)) == (6, 0, 1)


def test_notices_of_a_channel_go_to_its_own_urls(run, shop: str, inbox: Any) -> None:
    run("channel", "add", "cafe", "--phone", "+6560000002")
    urls = {
        "WACOEX_NOTIFY_URLS": inbox.url,
        "WACOEX_NOTIFY_URLS_CAFE": f"{inbox.url}a,{inbox.url}b,2",
    }

    done = run(*NOTIFY, env=urls)

    assert done.code == 0
    assert sorted(inbox.paths) == ["/", "/a", "/b%2C2"]
    assert inbox.titles.count("cafe: nobody knows when the app was last opened") == 2


def test_a_channel_without_an_address_for_notices_is_warned_about(
    run, shop: str, inbox: Any
) -> None:
    run("channel", "add", "cafe", "--phone", "+6560000002")

    done = run(*NOTIFY, "--json", env={"WACOEX_NOTIFY_URLS_CAFE": inbox.url})

    assert done.err == (
        "warning: no address for notices is set for `shop`: set WACOEX_NOTIFY_URLS,"
        " or store `notify-urls` with `wacoex auth login`\n"
    )
    assert done.data["skipped"] == [
        {"channel": "shop", "stage": "critical", "to": None, "reason": "no_target"}
    ]


def test_without_an_address_the_error_says_how_to_set_one(run, shop: str) -> None:
    done = run(*NOTIFY)

    assert done.code == 2
    assert "error: no address for notices is set\n" in done.err
    assert "`WACOEX_NOTIFY_URLS`" in done.err


def test_an_empty_state_file_is_an_error_not_a_silence(run, inbox: Any) -> None:
    done = run(*NOTIFY, "--to", inbox.url)

    assert done.code == 2
    assert "WACOEX_STATE" in done.err


@pytest.mark.parametrize("url", ["foo://sup3rsecret", "mailto://me:sup3rsecret@x"])
def test_a_url_that_cannot_be_used_is_named_by_its_place_and_not_quoted(
    run, shop: str, inbox: Any, url: str
) -> None:
    done = run(*NOTIFY, "-vv", env={"WACOEX_NOTIFY_URLS": f"{inbox.url},{url}"})

    assert done.code == 2
    assert f"URL 2 of `WACOEX_NOTIFY_URLS` (`{url.split('//')[0]}//...`)" in done.err
    assert "sup3rsecret" not in done.err + done.out


def test_a_password_is_shown_nowhere(run, shop: str, tmp_path: Path) -> None:
    url = "json://ana:passw0rd99@127.0.0.1:9/hooks/T000SECRETSECRET?+X-Key=k3yk3yk3y"

    done = run(*NOTIFY, "-vv", "--json", env={"WACOEX_NOTIFY_URLS": url})

    [failed] = done.data["failed"]
    assert failed["to"] == "json://ana:****@127.0.0.1:9/hooks/T000..."
    stored = b"".join(
        entry.read_bytes() for entry in tmp_path.rglob("wacoex.db*") if entry.is_file()
    )
    for secret in ("passw0rd99", "SECRETSECRET", "k3yk3yk3y"):
        assert secret not in done.out + done.err
        assert secret.encode() not in stored


def test_a_dry_run_shows_what_would_go_where_and_keeps_nothing(
    run, shop: str, state: State, inbox: Any
) -> None:
    shown = run(*NOTIFY, "--to", inbox.url, "--dry-run")
    data = run(*NOTIFY, "--to", inbox.url, "-n", "--json").data

    assert shown.code == 0
    assert f"would notify json://127.0.0.1:{inbox.port}" in shown.out
    assert "  | 2. Then confirm it: wacoex reminder confirm shop\n" in shown.out
    assert [entry["kind"] for entry in data["would_send"]] == ["stage"]
    assert (data["sent"], data["dry_run"], inbox.messages) == ([], True, [])
    for table in ("notices", "reminder_runs", "confirmation_links"):
        assert state.value(f"SELECT count(*) FROM {table}") == 0


def test_a_removed_channel_gets_one_notice(
    run, shop: str, state: State, inbox: Any, frozen: Any
) -> None:
    removed(state, "PRIMARY_INACTIVITY")
    for _ in range(3):
        run(*NOTIFY, "--to", inbox.url)
        frozen.tick(timedelta(hours=25))

    assert inbox.titles == ["shop: the channel is no longer connected"]
    assert "reason PRIMARY_INACTIVITY, initiated by SYSTEM." in inbox.messages[0]["message"]


def test_an_archived_channel_is_left_alone(run, shop: str, inbox: Any) -> None:
    run("channel", "add", "cafe", "--phone", "+6560000002")
    run("channel", "remove", "shop", "--yes")

    run(*NOTIFY, "--to", inbox.url)

    assert inbox.titles == ["cafe: nobody knows when the app was last opened"]


def test_every_run_is_recorded_with_its_end(run, shop: str, state: State, inbox: Any) -> None:
    run(*NOTIFY, "--to", inbox.url)
    run(*NOTIFY, "--to", NOBODY)
    run(*NOTIFY)

    runs = state.rows("SELECT exit_status, sent, failed, finished_at FROM reminder_runs")
    assert [(entry["exit_status"], entry["sent"], entry["failed"]) for entry in runs] == [
        (0, 1, 0),
        (6, 0, 1),
        (2, 0, 0),
    ]
    assert all(entry["finished_at"] for entry in runs)


def test_two_runs_at_the_same_time_do_not_both_send(
    run, shop: str, state: State, inbox: Any
) -> None:
    other = open_state(state.path)
    presence = locks.Presence(other.path)
    with other.transaction():
        locks.acquire(other, LOCK_PURPOSE, presence, SystemClock())

    second = run(*NOTIFY, "--to", inbox.url)
    presence.abandon()
    other.close()
    third = run(*NOTIFY, "--to", inbox.url)

    assert second.code == 6
    assert "reminder notify is held by process" in second.err
    assert (third.code, len(inbox.messages)) == (0, 1)


def test_a_crash_after_a_notice_does_not_send_it_again(
    run, shop: str, state: State, inbox: Any
) -> None:
    # The disk refuses to keep the second notice: what was kept before stays kept.
    with sqlite3.connect(state.path) as db:
        db.execute(
            "CREATE TRIGGER full BEFORE INSERT ON notices WHEN NEW.notice_id = 2"
            " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    crashed = run(*NOTIFY, "--to", inbox.url, "--to", f"{inbox.url}b", "--to", f"{inbox.url}c")
    with sqlite3.connect(state.path) as db:
        db.execute("DROP TRIGGER full")
    db.close()
    run(*NOTIFY, "--to", inbox.url, "--to", f"{inbox.url}b", "--to", f"{inbox.url}c")

    assert crashed.code == 8
    assert inbox.paths == ["/", "/b", "/b", "/c"]


def test_a_notifier_that_hangs_is_given_up(inbox: Any) -> None:
    inbox.hang()
    [target] = notify.targets_of([inbox.url], "`--to`")

    assert notify.send(target, "a title", "a body", "warning", 0.05) == notify.TIMED_OUT
    inbox.goes_on.set()
    for thread in threading.enumerate():
        if thread.name == "notifier":
            thread.join()


def test_commas_separate_urls_and_may_be_part_of_them() -> None:
    text = "mailto://a:b@example.com?to=x@example.com,y@example.com,ntfy://topic"

    assert notify.split_urls(text) == [
        "mailto://a:b@example.com?to=x@example.com,y@example.com",
        "ntfy://topic",
    ]
    assert notify.split_urls(" , ") == []


NOTIFY = ("reminder", "notify")


@pytest.fixture
def open_shop(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WACOEX_STATE", str(tmp_path / "wacoex.db"))
    run("channel", "add", "shop", "--phone", "+6560000001")
    run("reminder", "confirm", "shop")


def beating(inbox: Any, path: str = "/ping/s3cr3tid") -> dict[str, str]:
    return {"WACOEX_HEARTBEAT_URL": f"http://127.0.0.1:{inbox.port}{path}"}


@pytest.mark.parametrize(
    ("path", "called"),
    [
        ("/ping/id", "/ping/id/0"),
        ("/ping/id/", "/ping/id/0"),
        ("", "/0"),
        ("/ping?key=a%20b", "/ping/0?key=a%20b"),
    ],
)
def test_a_successful_run_calls_the_url_with_0(
    run, open_shop: None, inbox: Any, path: str, called: str
) -> None:
    done = run(*NOTIFY, "--to", inbox.url, env=beating(inbox, path))

    assert (done.code, done.out, done.err) == (0, "", "")
    assert [entry.replace("+", "%20") for entry in inbox.paths] == [called]


def test_a_run_that_failed_calls_it_with_its_exit_status(
    run, open_shop: None, tmp_path: Path, inbox: Any
) -> None:
    run(*NOTIFY, env=beating(inbox, "/id"))
    run("channel", "add", "cafe", "--phone", "+6560000002")
    run(*NOTIFY, "--to", "json://127.0.0.1:9", env=beating(inbox, "/id"))
    (tmp_path / "damaged.db").write_text("no database at all, but some text" * 100)
    damaged = {"WACOEX_STATE": str(tmp_path / "damaged.db")}
    run(*NOTIFY, "--to", inbox.url, env={**beating(inbox, "/id"), **damaged})

    assert inbox.paths == ["/id/2", "/id/6", "/id/8"]


def test_a_dry_run_is_not_a_sign_of_life(run, open_shop: None, inbox: Any) -> None:
    run(*NOTIFY, "--to", inbox.url, "--dry-run", env=beating(inbox))

    assert inbox.paths == []


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_refusing_monitor_changes_nothing_and_is_asked_once(
    run, open_shop: None, inbox: Any, status: int
) -> None:
    inbox.status = status
    quiet = run(*NOTIFY, "--to", inbox.url, env=beating(inbox))
    loud = run(*NOTIFY, "--to", inbox.url, "-vv", env=beating(inbox))

    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert len(inbox.paths) == 2
    assert "the heartbeat failed" in loud.err
    assert "s3cr3tid" not in loud.err


def test_an_unreachable_monitor_changes_nothing(run, open_shop: None, inbox: Any) -> None:
    gone = {"WACOEX_HEARTBEAT_URL": "http://127.0.0.1:9/s3cr3tid"}
    done = run(*NOTIFY, "--to", inbox.url, "-v", env=gone)

    assert done.code == 0
    assert "the heartbeat failed" in done.err
    assert "s3cr3tid" not in done.err


def test_a_monitor_that_hangs_is_given_up(
    run, open_shop: None, inbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "PING_SECONDS", 0.1)
    inbox.hang()

    done = run(*NOTIFY, "--to", inbox.url, "-v", env=beating(inbox))

    assert done.code == 0
    assert "the heartbeat failed" in done.err


@pytest.mark.parametrize("url", ["s3cr3tid", "ftp://s3cr3tid/x", "http://", "http://s3cr3tid:x/"])
def test_a_wrong_url_is_warned_about_without_quoting_it(
    run, open_shop: None, inbox: Any, url: str
) -> None:
    done = run(*NOTIFY, "--to", inbox.url, env={"WACOEX_HEARTBEAT_URL": url})

    assert done.code == 0
    assert done.err == (
        "warning: `WACOEX_HEARTBEAT_URL` is not an http or https URL, so wacoex"
        " sends no heartbeat\n"
    )


def test_a_test_goes_to_every_address_once_and_is_not_a_run(
    run, state: State, monkeypatch: pytest.MonkeyPatch, inbox: Any
) -> None:
    monkeypatch.setenv("WACOEX_STATE", str(state.path))
    monkeypatch.setenv("WACOEX_NOTIFY_URLS", f"{inbox.url},{inbox.url}second")

    done = run(*NOTIFY, "--test")

    to = f"json://127.0.0.1:{inbox.port}"
    assert done.code == 0, "it needs no channel"
    assert done.out.splitlines()[0] == f"{to} took the test: look whether it has arrived"
    assert (inbox.paths, inbox.titles) == (["/", "/second"], ["wacoex: test notice"] * 2)
    assert inbox.messages[0]["message"].startswith("This is a test, there is nothing to do.")
    assert state.rows("SELECT * FROM reminder_runs") == []
    assert len(state.rows("SELECT * FROM test_notices WHERE taken_at IS NOT NULL")) == 2


def test_a_test_can_go_to_an_address_that_is_tried_out(run, shop: str, inbox: Any) -> None:
    shown = run(*NOTIFY, "--test", "--to", inbox.url, "--dry-run", "--json")
    assert (shown.data["sent"], inbox.messages) == ([], [])

    done = run(*NOTIFY, "--test", "--to", inbox.url, "--json")

    entry = {
        "channel": None,
        "stage": None,
        "kind": "test",
        "to": f"json://127.0.0.1:{inbox.port}",
    }
    assert shown.data["would_send"] == done.data["sent"] == [entry]
    assert len(inbox.messages) == 1, "no notice that is due leaves with it"


def test_a_test_that_fails_says_why(run, shop: str, inbox: Any) -> None:
    some = run(*NOTIFY, "--test", "--to", NOBODY, "--to", inbox.url, "--json")
    none = run(*NOTIFY, "--test", "--to", NOBODY)

    assert (some.code, none.code) == (7, 6)
    [failed] = some.data["failed"]
    assert failed["reason"] == "a Connection error occurred sending JSON notification to 127.0.0.1"
    assert "error: 1 of 1 tests could not be sent" in none.err


def test_a_test_without_an_address_says_how_to_give_one(run, shop: str) -> None:
    done = run(*NOTIFY, "--test")

    assert (done.code, "no address for notices is set" in done.err) == (2, True)


def test_a_test_of_one_channel_goes_to_its_own_address(
    run, shop: str, inbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WACOEX_NOTIFY_URLS", f"{inbox.url}all")
    monkeypatch.setenv("WACOEX_NOTIFY_URLS_SHOP", f"{inbox.url}shop")

    run(*NOTIFY, "--test", "-c", "shop")

    assert inbox.paths == ["/shop"]
    assert run(*NOTIFY, "--test", "-c", "shp").code == 2


def test_the_link_comes_before_the_command(run, shop: str, inbox: Any) -> None:
    run(*NOTIFY, "--to", inbox.url, env={"WACOEX_PUBLIC_URL": "https://wacoex.example.com"})

    lines = inbox.messages[0]["message"].splitlines()
    link = next(n for n, line in enumerate(lines) if "https://wacoex.example.com/confirm/" in line)
    command = next(n for n, line in enumerate(lines) if "wacoex reminder confirm shop" in line)
    assert link < command
