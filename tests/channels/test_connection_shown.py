"""`channel list` and `channel show` tell how a channel is connected, from what is stored."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from wacoex_cli.channels.model import AccountEvent, Fact
from wacoex_cli.channels.store import AccountEvents, Facts
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State

REMOVED = AccountEvent(
    "key",
    "PARTNER_REMOVED",
    "2026-11-05T08:00:00.000Z",
    phone="+6560000001",
    reason="PRIMARY_INACTIVITY",
    initiated_by="SYSTEM",
)


@pytest.fixture(autouse=True)
def shop(run, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WACOEX_STATE", str(state.path))
    # Events from before the channel was added count, too.
    with state.transaction():
        AccountEvents(state).add([REMOVED])
    run("channel", "add", "shop", "--phone", "+6560000001")
    run("channel", "add", "desk", "--phone", "+6560000002")


def test_a_removed_channel_is_shown_with_reason_and_initiator(run) -> None:
    shown = run("channel", "show", "shop", "--json").data
    connections = {
        channel["channel"]: channel["connection"]
        for channel in run("channel", "list", "--json").data["channels"]
    }

    assert connections == {"shop": "removed", "desk": None}
    assert {name: value for name, value in shown.items() if name.startswith("connection")} == {
        "connection": "removed",
        "connection_since": "2026-11-05T08:00:00.000Z",
        "connection_reason": "PRIMARY_INACTIVITY",
        "connection_initiated_by": "SYSTEM",
    }
    assert "connection_reason\tPRIMARY_INACTIVITY\n" in run("channel", "show", "shop").out
    assert run("channel", "list").out.splitlines()[-1].endswith("\tremoved")


def test_a_stored_onboarding_that_is_newer_ends_the_removal(run, state: State) -> None:
    now = to_text(datetime.now(UTC))
    with state.transaction():
        Facts(state).store(1, [Fact("last_onboarded_time", now, "meta", now)])

    assert run("channel", "show", "shop", "--json").data["connection"] == "settling"


def test_every_answer_about_a_channel_says_how_it_is_connected(run) -> None:
    assert (
        run("channel", "edit", "shop", "--owner", "Ana", "--json").data["connection"] == "removed"
    )
    assert run("channel", "remove", "shop", "-y", "--json").data["connection"] == "archived"


FIXTURES = Path(__file__).parents[1] / "events/fixtures"


@pytest.mark.parametrize(
    ("reported", "connection", "reason"),
    [
        (["partner_removed"], "removed", "PRIMARY_INACTIVITY"),
        (["partner_removed_with_waba_info"], "removed", "USER_RE_REGISTERED"),
        (["offboarded"], "reconnecting", None),
        (
            ["offboarded", "partner_removed_with_waba_info"],
            "reconnecting",
            "USER_RE_REGISTERED",
        ),
        (["reconnected", "offboarded", "partner_removed"], "connected", None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_an_account_event_of_meta_changes_the_connection(
    run, reported: list[str], connection: str, reason: str | None
) -> None:
    payloads = [(FIXTURES / f"meta_account_{name}.json").read_text() for name in reported]
    run("events", "import", "-", stdin=f"[{','.join(payloads)}]")
    run("channel", "add", "late", "--phone", "+6563210000", "--waba-id", "102290129340398")

    shown = run("channel", "show", "late", "--json").data

    assert (shown["connection"], shown["connection_reason"]) == (connection, reason)
