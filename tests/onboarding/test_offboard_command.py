"""`wacoex offboard` as a person and a script use it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wacoex_cli.errors import UsageError
from wacoex_cli.onboarding.offboard import OFFBOARD_STEPS
from wacoex_cli.sandbox.account import remove_partner
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import (
    DEFAULT_TOKEN,
    PHONE,
    PHONE_NUMBER_ID,
    SECOND_PHONE,
    WABA_ID,
    World,
)

IDS = [step.id for step in OFFBOARD_STEPS]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The pretend world behind a socket, as the program itself reaches it."""
    real = default_world(onboarded_days_ago=30)
    with running(real) as base_url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", base_url)
        monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)
        yield real
    assert real.log.violations == []


ADD = ("--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID)


def test_the_command_ends_the_reminder_and_keeps_the_channel(run, served: World) -> None:
    run("channel", "add", "shop", "--phone", PHONE, *ADD, "--respondio-channel-id", "4242")
    run("channel", "add", "other", "--phone", SECOND_PHONE)
    remove_partner(served)

    done = run("offboard", "shop", tty=True, stdin="shop\ny\n1\n")

    assert done.code == 0, done.err
    assert "link the companions again, from " in done.out
    assert "in respond.io: Settings, Channels: delete channel 4242" in done.out
    for command in (("reminder", "check"), ("channel", "list")):
        listed = run(*command, "--json").data["channels"]
        assert [one["channel"] for one in listed] == ["other"]
    notices = run("reminder", "notify", "--dry-run", "--to", "json://127.0.0.1:9/", "--json")
    assert "shop" not in notices.out
    assert run("channel", "restore", "shop").code == 0


def test_the_receipt_is_shown_again_afterwards(run, served: World) -> None:
    run("channel", "add", "shop", "--phone", PHONE, *ADD)
    remove_partner(served)

    first = run("offboard", "shop", "--yes", "--json")
    again = run("offboard", "shop", "--json")

    assert (first.code, again.code) == (0, 0)
    assert again.data == first.data
    assert first.data["status"] == "finished"
    assert first.data["kind"] == "offboard"
    assert [one["step"] for one in first.data["steps"]] == IDS
    assert first.data["aftercare"]["restore"] == "wacoex channel restore shop"
    assert first.data["dry_run"] is False


def test_without_a_terminal_it_wants_to_be_told_yes(run, served: World) -> None:
    run("channel", "add", "shop", "--phone", PHONE, *ADD)

    done = run("offboard", "shop", "--json")

    assert done.code == 2
    assert "--yes" in done.envelope["errors"][0]["hint"]


def test_a_dry_run_tells_both_ways_and_asks_nothing(run, served: World) -> None:
    run("channel", "add", "shop", "--phone", PHONE, *ADD)

    done = run("offboard", "shop", "-n")

    assert done.code == 0
    assert "Settings, Account, Business Platform" in done.out
    assert "Meta Business Settings, WhatsApp Accounts" in done.out
    assert "stands now: no removal was told, is_on_biz_app is true" in done.out
    told = run("offboard", "shop", "-n", "--json").data
    assert (told["dry_run"], told["journey_id"], told["status"]) == (True, None, "open")
    assert {one["state"] for one in told["steps"]} == {"open"}


def test_a_channel_that_was_archived_otherwise_is_not_offboarded(run) -> None:
    run("channel", "add", "shop", "--phone", PHONE)
    run("channel", "remove", "shop", "--yes")

    done = run("offboard", "shop", "--yes")

    assert done.code == UsageError.exit_status
    assert "wacoex channel restore shop" in done.err


def test_two_names_are_one_too_many(run) -> None:
    assert run("offboard", "shop", "-c", "other").code == 2
