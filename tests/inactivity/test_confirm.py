"""`wacoex reminder confirm`: somebody says that the app was open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State

Run = Callable[..., Any]

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
EVIDENCE = "SELECT address, kind, at, source, said_by FROM evidence ORDER BY at"


@pytest.fixture(autouse=True)
def frozen(state: State, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Time stands still, and the program uses the state file of this test."""
    monkeypatch.setenv("WACOEX_STATE", str(state.path))
    with freeze_time(NOW) as moving:
        yield moving


@pytest.fixture
def shop(run: Run) -> str:
    """One channel in Singapore."""
    zone = ["--timezone", "Asia/Singapore"]
    assert run("channel", "add", "shop", "--phone", "+6560000001", *zone).code == 0
    return "shop"


def test_the_countdown_begins_anew_and_the_next_deadline_is_told(run: Run, shop: str) -> None:
    outcome = run("reminder", "confirm", "shop", "--by", "Ana")

    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "channel shop: confirmed by Ana, the app was open at 2026-11-23 17:30 Asia/Singapore",
        "next deadline: 2026-12-07 17:30 Asia/Singapore (in 14 days)",
        "act by: 2026-12-06 17:30 Asia/Singapore (in 13 days)",
        "messages through the API, messages of customers and broadcasts do not count as"
        " opening the app",
    ]
    assert run("reminder", "check").code == 0


def test_a_confirmation_of_this_very_moment_leaves_14_whole_days(
    run: Run, shop: str, frozen: Any
) -> None:
    frozen.move_to(NOW + timedelta(microseconds=999_999))

    assert "Asia/Singapore (in 14 days)" in run("reminder", "confirm").out


def test_what_is_kept_names_the_person(run: Run, shop: str, state: State) -> None:
    outcome = run("reminder", "confirm", "--by", "  Ana   Lim ", "--json")

    data = outcome.data
    assert (data["channel"], data["confirmed_by"], data["is_new"]) == ("shop", "Ana Lim", True)
    assert (data["confirmed_at"], data["grade"]) == (to_text(NOW), "proof")
    assert (data["stage"], data["days_left"]) == ("ok", 14.0)
    assert data["deadline_at"] == to_text(NOW + timedelta(days=14))
    assert state.rows(EVIDENCE) == [
        {
            "address": "channel:1",
            "kind": "confirmed",
            "at": to_text(NOW),
            "source": "person",
            "said_by": "Ana Lim",
        }
    ]


def test_without_a_name_it_is_whoever_runs_the_program(
    run: Run, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ben")

    assert run("reminder", "confirm", "--json").data["confirmed_by"] == "ben"


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "ana\x07"])
def test_a_name_that_is_none_is_refused(run: Run, shop: str, state: State, name: str) -> None:
    assert run("reminder", "confirm", "--by", name).code == 2
    assert state.rows(EVIDENCE) == []


@pytest.mark.parametrize(
    ("at", "moment"),
    [
        ("2026-11-20 09:30", "2026-11-20T01:30:00.000Z"),
        ("2026-11-20T09:30:00Z", "2026-11-20T09:30:00.000Z"),
        ("2026-11-20T09:30:00-05:00", "2026-11-20T14:30:00.000Z"),
    ],
)
def test_an_earlier_moment_is_read_in_the_channels_zone(
    run: Run, shop: str, at: str, moment: str
) -> None:
    data = run("reminder", "confirm", "--at", at, "--json").data

    assert (data["confirmed_at"], data["last_opened_at"]) == (moment, moment)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-11-23 17:31", "is still to come"),
        ("2027-01-01T00:00:00Z", "is still to come"),
        ("yesterday", "is not a time"),
        ("", "is not a time"),
    ],
)
def test_a_moment_to_come_and_what_is_none_are_refused(
    run: Run, shop: str, state: State, at: str, said: str
) -> None:
    outcome = run("reminder", "confirm", "--at", at, "--force")

    assert (outcome.code, state.rows(EVIDENCE)) == (2, [])
    assert said in outcome.err


def test_an_older_moment_than_the_last_proof_needs_force(run: Run, shop: str, state: State) -> None:
    run("reminder", "confirm", "--by", "ana")

    refused = run("reminder", "confirm", "--at", "2026-11-20 09:30", "--by", "ben")

    assert (refused.code, len(state.rows(EVIDENCE))) == (5, 1)
    assert "newer proof than 2026-11-20 09:30 Asia/Singapore: 2026-11-23 17:30" in refused.err
    assert "by ana" in refused.err
    forced = run("reminder", "confirm", "--at", "2026-11-20 09:30", "--by", "ben", "--force")
    assert forced.code == 0
    assert "newer evidence decides" in forced.out
    assert len(state.rows(EVIDENCE)) == 2


def test_the_same_twice_is_kept_once(run: Run, shop: str, state: State) -> None:
    first, again = (run("reminder", "confirm", "--by", "ana", "--json") for _ in range(2))

    assert (first.data["is_new"], again.data["is_new"]) == (True, False)
    assert len(state.rows(EVIDENCE)) == 1


def test_a_dry_run_shows_the_deadline_and_keeps_nothing(run: Run, shop: str, state: State) -> None:
    outcome = run("reminder", "confirm", "--dry-run", "--by", "ana")

    assert outcome.out.startswith("channel shop: would be confirmed by ana")
    assert "next deadline: 2026-12-07 17:30 Asia/Singapore" in outcome.out
    assert state.rows(EVIDENCE) == []


def test_with_several_channels_one_has_to_be_named(run: Run, shop: str, state: State) -> None:
    run("channel", "add", "cafe", "--phone", "+6560000002")

    outcome = run("reminder", "confirm")

    assert (outcome.code, state.rows(EVIDENCE)) == (2, [])
    assert "which channel is meant?" in outcome.err
    assert run("reminder", "confirm", "cafe").code == 0
    assert run("reminder", "confirm", "-c", "shop").code == 0
    assert run("reminder", "confirm", "cafe", "-c", "shop").code == 2
    assert run("reminder", "confirm", "nobody").code == 2


def test_confirming_one_channel_says_nothing_about_another(run: Run, shop: str) -> None:
    run("channel", "add", "cafe", "--phone", "+6560000002")
    run("reminder", "confirm", "shop")

    told = run("reminder", "check", "--json").data["channels"]

    assert [(one["channel"], one["stage"]) for one in told] == [("cafe", "unknown"), ("shop", "ok")]


def test_a_channel_keeps_its_confirmation_when_its_ids_change(run: Run, shop: str) -> None:
    run("reminder", "confirm", "shop")
    run("channel", "edit", "shop", "--phone-number-id", "109", "--waba-id", "102")

    assert run("reminder", "check", "shop").code == 0
