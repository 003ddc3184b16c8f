"""`wacoex device`, as it is typed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time

from wacoex_cli.channels.model import AccountEvent
from wacoex_cli.channels.store import AccountEvents
from wacoex_cli.devices.model import Interval
from wacoex_cli.devices.store import Devices
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State

NOON = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock_at_noon():
    with freeze_time(NOON) as frozen:
        yield frozen


@pytest.fixture(autouse=True)
def shop(run, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WACOEX_STATE", str(state.path))
    monkeypatch.setenv("LOGNAME", "bo")
    run("channel", "add", "shop", "--phone", "+6560000001")


def intervals(state: State) -> tuple[Interval, ...]:
    return Devices(state).primary_only_by_channel([1]).get(1, ())


def test_a_companion_is_listed_with_all_it_is(run) -> None:
    run("device", "add", "web", "--name", "front desk", "--linked-at", "2026-11-02T09:30:00Z")

    assert run("device", "list", "--json").data == {
        "channel": "shop",
        "devices": [
            {
                "id": 1,
                "kind": "web",
                "name": "front desk",
                "supported": True,
                "visible": None,
                "linked_at": "2026-11-02T09:30:00.000Z",
                "last_used_at": "2026-11-02T09:30:00.000Z",
                "state": "linked",
            }
        ],
        "free_slots": 3,
        "confirmed_at": None,
        "confirmed_by": None,
        "echo_is_strong": False,
        "unlinked_at": None,
        "relink_from": None,
        "findings": [],
    }


def test_a_person_reads_what_the_list_means(run) -> None:
    assert "no companion is listed" in run("device", "list", tty=True).out

    run("device", "add", "ipad")
    shown = run("device", "list", tty=True).out

    assert shown.splitlines()[0].split() == [
        *("ID", "KIND", "NAME", "SUPPORTED", "VISIBLE", "LAST_USED_AT", "STATE")
    ]
    assert "3 of 4 places are free; nobody has confirmed that the list is complete" in shown
    assert run("device", "list").out == "1\tipad\tipad\tyes\t\t2026-11-07T12:00:00.000Z\tlinked\n"


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        ("wearos", "wear-os"),
        ("Wear OS", "wear-os"),
        ("WEB", "web"),
        ("windows", "desktop-windows"),
        ("second_phone", "second-phone"),
        ("tablet", "android-tablet"),
    ],
)
def test_a_kind_is_found_by_a_near_name(run, typed: str, kind: str) -> None:
    added = run("device", "add", typed, "--json")

    assert added.code == 0
    [device] = run("device", "list", "--json").data["devices"]
    assert device["kind"] == kind


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("toaster",), 2, "`toaster` is not a kind of device\n\nhint: there are web, "),
        (("desktop",), 2, "did you mean `desktop-windows` or `desktop-mac`?"),
        (("wear-so",), 2, "did you mean `wear-os`?"),
        (("o",), 2, "`o` is not a kind of device"),
        (("web", "--linked-at", "2026-11-07T12:00:01Z"), 2, "is in the future"),
        (("web", "--linked-at", "last week"), 2, "`last week` is not a time"),
        (("web", "--name", "  "), 2, "the name is empty or too long"),
        (("web", "--name", "x" * 65), 2, "the name is empty or too long"),
    ],
)
def test_a_companion_with_wrong_values_is_not_listed(
    run, arguments: tuple[str, ...], code: int, message: str
) -> None:
    refused = run("device", "add", *arguments)

    assert refused.code == code
    assert message in refused.err
    assert run("device", "list", "--json").data["devices"] == []


def test_a_local_time_is_one_in_the_channels_zone(run) -> None:
    run("channel", "edit", "shop", "--timezone", "Asia/Singapore")

    added = run("device", "add", "web", "--linked-at", "2026-11-07 08:00", "--json")

    assert added.data["device"]["linked_at"] == "2026-11-07T00:00:00.000Z"


@pytest.mark.parametrize("kind", ["desktop-windows", "wear-os"])
def test_an_unsupported_companion_is_listed_and_warned_about(run, kind: str) -> None:
    added = run("device", "add", kind)

    assert added.code == 0
    assert "WX301: an unsupported companion is linked" in added.err
    listed = run("device", "list", "--json").data
    assert listed["devices"][0]["supported"] is False
    assert [finding["id"] for finding in listed["findings"]] == ["WX301"]
    assert "warning WX301 (shop)" in run("device", "list", tty=True).out


def test_a_fifth_companion_is_refused(run) -> None:
    for _ in range(4):
        assert run("device", "add", "web").code == 0

    refused = run("device", "add", "ipad")

    assert refused.code == 5
    assert "4 companions are linked already" in refused.err
    assert "wacoex explain WX302" in refused.err
    assert run("device", "list", "--json").data["free_slots"] == 0
    assert run("device", "remove", "2", "--yes").code == 0
    assert run("device", "add", "ipad", "--json").data["device"]["id"] == 5


def test_removing_asks_whether_it_is_logged_out(run) -> None:
    run("device", "add", "web", "--name", "front desk")

    assert run("device", "remove", "1").code == 2
    declined = run("device", "remove", "1", stdin="n\n", tty=True)
    assert declined.code == 1
    assert "Is companion 1 (web, front desk) logged out on the phone" in declined.err
    removed = run("device", "remove", "1", stdin="y\n", tty=True)
    assert removed.code == 0
    assert "wacoex device confirm -c shop" in removed.out
    assert run("device", "list", "--json").data["devices"] == []


@pytest.mark.parametrize("verb", ["remove", "relink"])
def test_a_number_that_is_not_on_the_list_is_refused(run, verb: str) -> None:
    run("device", "add", "web")
    run("device", "remove", "1", "--yes")
    run("channel", "add", "desk", "--phone", "+6560000002")
    run("device", "add", "web", "-c", "desk")

    for arguments in (("1",), ("7",), ("2", "-c", "shop")):
        refused = run("device", verb, *arguments)
        assert refused.code == 2
        assert f"there is no companion {arguments[0]}" in refused.err
    assert run("device", verb, "2", "--dry-run").code == 0


@pytest.mark.parametrize(
    "arguments", [("add", "ipad"), ("remove", "1"), ("relink", "1"), ("confirm",)], ids=str
)
def test_a_dry_run_of_a_change_to_the_list_changes_nothing(
    run, clock_at_noon, arguments: tuple[str, ...]
) -> None:
    run("device", "add", "web")
    before = run("device", "list", "--json").data
    clock_at_noon.tick(timedelta(days=1))

    tried = run("device", *arguments, "--dry-run")

    assert tried.code == 0
    assert "would" in tried.out
    assert run("device", "list", "--json").data == before


def test_an_empty_list_that_is_confirmed_makes_echoes_strong(run, state: State) -> None:
    confirmed = run("device", "confirm", "--by", "Ana")

    assert confirmed.out == (
        "Ana confirms at 2026-11-07T12:00:00.000Z: the list of channel shop is complete\n"
        "an echo now counts as strong evidence that the app was opened\n"
    )
    assert intervals(state) == (Interval("2026-11-07T12:00:00.000Z", None),)
    listed = run("device", "list", "--json").data
    assert (listed["confirmed_at"], listed["confirmed_by"]) == ("2026-11-07T12:00:00.000Z", "Ana")
    assert listed["echo_is_strong"] is True
    assert Devices(state).primary_only_by_channel([1]) == {1: intervals(state)}


def test_a_list_with_a_companion_keeps_echoes_weak_and_says_why(run, state: State) -> None:
    run("device", "add", "web", "--name", "front desk")

    confirmed = run("device", "confirm")

    assert confirmed.out.splitlines()[-1] == (
        "an echo stays weak evidence, because 1 companion is on the list and may have sent it:"
        " companion 1 (web, front desk)"
    )
    assert run("device", "list", "--json").data["confirmed_by"] == "bo"
    assert intervals(state) == ()
    assert Devices(state).primary_only_by_channel([1]) == {}


def test_linking_a_companion_ends_it_and_only_a_confirmation_begins_it_again(
    run, state: State, clock_at_noon
) -> None:
    run("device", "confirm")
    clock_at_noon.tick(timedelta(hours=1))
    added = run("device", "add", "web")
    assert "until now only the phone could send an echo" in added.out
    clock_at_noon.tick(timedelta(hours=1))
    run("device", "remove", "1", "--yes")
    first = Interval("2026-11-07T12:00:00.000Z", "2026-11-07T13:00:00.000Z")
    assert intervals(state) == (first,)

    clock_at_noon.tick(timedelta(hours=1))
    run("device", "confirm")

    assert intervals(state) == (first, Interval("2026-11-07T15:00:00.000Z", None))


def test_nobody_confirms_without_a_name(run) -> None:
    refused = run("device", "confirm", "--by", " ")

    assert refused.code == 2
    assert "add `--by WHO`" in refused.err


def test_offboarding_unlinks_all_and_each_is_linked_again_by_hand(
    run, state: State, clock_at_noon
) -> None:
    run("device", "add", "web")
    run("device", "add", "ipad")
    clock_at_noon.tick(timedelta(hours=1))
    gone = to_text(NOON + timedelta(hours=1))
    with state.transaction():
        AccountEvents(state).add(
            [AccountEvent("1", "ACCOUNT_OFFBOARDED", gone, phone="+6560000001")]
        )

    def states() -> list[str]:
        return [device["state"] for device in run("device", "list", "--json").data["devices"]]

    assert states() == ["waiting", "waiting"]
    listed = run("device", "list", "--json").data
    assert (listed["free_slots"], listed["relink_from"]) == (4, "2026-11-08T13:00:00.000Z")
    assert [finding["id"] for finding in listed["findings"]] == ["WX303"]
    clock_at_noon.tick(timedelta(days=1))
    assert states() == ["unlinked", "unlinked"]
    assert run("device", "relink", "1").out == (
        "companion 1 (web) of channel shop counts as linked and in use now\n"
    )
    assert states() == ["linked", "unlinked"]
    # That it is unlinked is only concluded: it still prevents a strong echo.
    run("device", "remove", "1", "--yes")
    run("device", "confirm")
    assert intervals(state) == ()


def test_linking_a_fifth_one_again_is_refused(run, state: State, clock_at_noon) -> None:
    run("device", "add", "ipad", "--name", "old")
    clock_at_noon.tick(timedelta(hours=1))
    with state.transaction():
        moment = to_text(NOON + timedelta(minutes=30))
        AccountEvents(state).add(
            [AccountEvent("1", "PARTNER_REMOVED", moment, phone="+6560000001")]
        )
    for _ in range(4):
        assert run("device", "add", "web").code == 0

    assert run("device", "relink", "1").code == 5
    assert run("device", "relink", "2").code == 0
