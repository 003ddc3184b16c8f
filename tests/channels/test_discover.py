"""`wacoex channel discover`: what the tokens can see, and adding it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.channels.discover import FoundNumber, suggest_name
from wacoex_cli.channels.model import Channel
from wacoex_cli.platforms.answers import access_token_in
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import (
    DEFAULT_TOKEN,
    FOREIGN_PHONE_NUMBER_ID,
    FOREIGN_WABA_ID,
    PHONE,
    PHONE_NUMBER_ID,
    SECOND_PHONE,
    SECOND_PHONE_NUMBER_ID,
    WABA_ID,
    World,
)

SHOP = ("channel", "add", "shop", "--phone", PHONE)
LIST = ("channel", "discover", "--json")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = default_world()
    with running(world) as url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", url)
        monkeypatch.setenv("WACOEX_RESPONDIO_BASE_URL", f"{url}/respondio/v2")
        yield world


@pytest.fixture
def meta(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)


@pytest.fixture
def respondio(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WACOEX_RESPONDIO_TOKEN", DEFAULT_RESPONDIO_TOKEN)


def change_token(world: World, **changes: Any) -> None:
    world.tokens[DEFAULT_TOKEN] = dataclasses.replace(world.tokens[DEFAULT_TOKEN], **changes)


def channels(run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run("channel", "list", "--json").data["channels"]
    return found


def test_without_any_token_it_says_how_to_store_one(run, world: World) -> None:
    done = run(*LIST)

    assert done.code == 4
    assert "wacoex auth login meta-token" in done.envelope["errors"][0]["hint"]


@pytest.mark.usefixtures("meta")
def test_the_accounts_of_the_token_are_looked_through(run) -> None:
    first, second = run(*LIST).data["found"]

    assert first == {
        "phone": PHONE,
        "phone_number_id": PHONE_NUMBER_ID,
        "waba_id": WABA_ID,
        "verified_name": "Corner Bakery",
        "is_on_biz_app": True,
        "platform_type": "CLOUD_API",
        "status": "CONNECTED",
        "known_as": None,
    }
    assert (second["phone_number_id"], second["is_on_biz_app"]) == (SECOND_PHONE_NUMBER_ID, False)
    assert channels(run) == []


@pytest.mark.usefixtures("meta", "respondio")
@pytest.mark.parametrize("put_away", [False, True])
def test_known_channels_are_named(run, put_away: bool) -> None:
    run(*SHOP, "--respondio-channel-id", str(RESPONDIO_CHANNEL_ID))
    if put_away:
        run("channel", "remove", "shop", "--yes")

    seen = run(*LIST).data

    assert [entry["known_as"] for entry in seen["found"]] == ["shop", None]
    assert [(entry["source"], entry["known_as"]) for entry in seen["respondio"]] == [
        ("whatsapp_business", "shop"),
        ("webchat", None),
    ]


@pytest.mark.usefixtures("meta")
def test_an_account_that_a_channel_names_is_looked_through_with_that_channels_token(
    run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("channel", "add", "far", "--phone", "+6560000009", "--waba-id", FOREIGN_WABA_ID)
    other = "far-token-0123456789"
    world.tokens[other] = dataclasses.replace(
        world.tokens[DEFAULT_TOKEN], value=other, waba_ids=frozenset({FOREIGN_WABA_ID})
    )
    monkeypatch.setenv("WACOEX_META_TOKEN_FAR", other)

    seen = run(*LIST)

    assert seen.code == 0
    assert {entry["phone_number_id"]: entry["known_as"] for entry in seen.data["found"]} == {
        FOREIGN_PHONE_NUMBER_ID: "far",
        PHONE_NUMBER_ID: None,
        SECOND_PHONE_NUMBER_ID: None,
    }


@pytest.mark.usefixtures("meta", "respondio")
def test_one_source_that_fails_hides_no_other(run, world: World) -> None:
    change_token(world, revoked=True)

    seen = run(*LIST)

    assert (seen.code, seen.envelope["status"]) == (7, "partial")
    assert len(seen.data["respondio"]) == 2
    assert [error["code"] for error in seen.envelope["errors"]] == ["meta_190"]


@pytest.mark.usefixtures("meta")
def test_an_account_that_may_not_be_seen_hides_no_other(run) -> None:
    run("channel", "add", "far", "--phone", "+6560000009", "--waba-id", FOREIGN_WABA_ID)

    seen = run(*LIST)

    [error] = seen.envelope["errors"]
    assert (seen.code, len(seen.data["found"])) == (7, 2)
    assert error["message"].startswith(f"account {FOREIGN_WABA_ID}: Meta refused")


@pytest.mark.usefixtures("meta")
def test_only_a_refused_token_ends_with_the_status_of_credentials(run, world: World) -> None:
    change_token(world, revoked=True)

    assert run(*LIST).code == 4


@pytest.mark.usefixtures("meta")
def test_a_token_that_names_no_account_says_what_to_do(run, world: World) -> None:
    change_token(world, waba_ids=frozenset())

    done = run(*LIST)

    assert (done.code, done.envelope["errors"][0]["code"]) == (4, "accounts_unknown")


def test_only_accounts_of_whatsapp_rights_are_taken() -> None:
    said = {
        "granular_scopes": [
            {"scope": "whatsapp_business_management", "target_ids": ["2", "1"]},
            {"scope": "whatsapp_business_messaging", "target_ids": ["2"]},
            {"scope": "business_management", "target_ids": ["77"]},
            {"scope": "whatsapp_business_management"},
            "?",
        ]
    }

    assert access_token_in(said).accounts == ("1", "2")
    assert access_token_in({}).accounts == ()
    assert access_token_in({"granular_scopes": None}).accounts == ()


@pytest.mark.usefixtures("meta")
def test_a_list_without_platform_types_is_read_too(run, world: World) -> None:
    world.faults.replace([Fault("refuse", on="reads", path="/phone_numbers", count=1, code=100)])

    assert run(*LIST).data["found"][0]["phone"] == PHONE


# adding


@pytest.mark.usefixtures("meta")
def test_yes_adds_each_new_coexistence_number_and_no_other(run) -> None:
    done = run("channel", "discover", "--yes", "--json")

    assert done.data["added"] == ["corner-bakery"]
    [added] = channels(run)
    assert (added["phone"], added["phone_number_id"], added["waba_id"]) == (
        PHONE,
        PHONE_NUMBER_ID,
        WABA_ID,
    )
    assert run("channel", "discover", "--yes", "--json").data["added"] == []


@pytest.mark.usefixtures("meta")
def test_two_ids_of_one_phone_are_one_channel(run, world: World) -> None:
    world.patch_node(
        world.nodes[SECOND_PHONE_NUMBER_ID],
        {
            "display_phone_number": world.nodes[PHONE_NUMBER_ID].values["display_phone_number"],
            "is_on_biz_app": True,
            "status": "CONNECTED",
        },
    )
    world.patch_node(world.nodes[PHONE_NUMBER_ID], {"status": "DISCONNECTED"})

    run("channel", "discover", "--yes")

    assert [channel["phone_number_id"] for channel in channels(run)] == [SECOND_PHONE_NUMBER_ID]


@pytest.mark.usefixtures("meta")
@pytest.mark.parametrize("options", [["-n"], ["-n", "--yes"], []])
def test_nothing_is_added_unless_it_is_wanted(run, options: list[str]) -> None:
    done = run("channel", "discover", *options)

    assert done.code == 0
    assert channels(run) == []


@pytest.mark.usefixtures("meta")
def test_a_person_is_asked_for_each_and_names_it(run) -> None:
    run("channel", "add", "lab", "--phone", "+6560000077")

    done = run("channel", "discover", tty=True, stdin="y\nlab\nbakery\n")

    assert f"{PHONE}, Corner Bakery: add it? [y/N] " in done.err
    assert "its name here [corner-bakery]: " in done.err
    assert "channel `lab` exists already" in done.err
    assert [channel["channel"] for channel in channels(run)] == ["bakery", "lab"]
    assert SECOND_PHONE not in done.err


@pytest.mark.usefixtures("meta")
@pytest.mark.parametrize(
    ("typed", "added"), [("n\n", []), ("", []), ("y\n\n", ["corner-bakery"])], ids=repr
)
def test_a_no_adds_nothing_and_an_empty_name_takes_the_suggested_one(
    run, typed: str, added
) -> None:
    assert run("channel", "discover", tty=True, stdin=typed).code == 0

    assert [channel["channel"] for channel in channels(run)] == added


@pytest.mark.usefixtures("respondio")
def test_a_channel_of_respondio_is_linked_by_choice(run) -> None:
    run(*SHOP)
    run("channel", "add", "lab", "--phone", SECOND_PHONE, "--respondio-channel-id", "4243")

    done = run("channel", "discover", tty=True, stdin="shpo\nshop\n")

    question = "respond.io channel 4242, Corner Bakery (whatsapp_business): which channel is it"
    shown = " ".join(done.err.split())
    assert f"{question} (shop; empty for none)" in shown
    assert "`shpo` is not among `shop`" in done.err
    assert [channel["respondio_channel_id"] for channel in channels(run)] == [4243, 4242]


@pytest.mark.usefixtures("respondio")
def test_a_channel_can_be_linked_again_after_respondio_deleted_the_old_one(run) -> None:
    run(*SHOP, "--respondio-channel-id", "1000")

    run("channel", "discover", tty=True, stdin="shop\n")

    shown = run("channel", "show", "shop", "--json").data
    assert shown["respondio_channel_id"] == RESPONDIO_CHANNEL_ID
    [former] = shown["former_ids"]
    assert (former["name"], former["value"]) == ("respondio_channel_id", "1000")


@pytest.mark.usefixtures("meta", "respondio")
def test_a_pipe_gets_rows_and_a_person_what_to_do_next(run) -> None:
    run(*SHOP)

    rows = run("channel", "discover").out.splitlines()
    page = run("channel", "discover", tty=True, stdin="\n").out

    assert rows[0] == f"meta\t{PHONE}\t{PHONE_NUMBER_ID}\t{WABA_ID}\tCorner Bakery\tyes\tshop"
    assert rows[2] == "respondio\t\t4242\twhatsapp_business\tCorner Bakery\t\t"
    assert len(rows) == 4
    assert "`wacoex channel edit NAME --respondio-channel-id 4242`" in page
    assert (
        f"wacoex channel edit shop --phone-number-id {PHONE_NUMBER_ID} --waba-id {WABA_ID}" in page
    )


def number(verified_name: str | None, phone: str = "+6560000001") -> FoundNumber:
    return FoundNumber(phone, "1001", "20", verified_name, True, "CLOUD_API", "CONNECTED", None)


def called(*names: str) -> list[Channel]:
    return [Channel(phone="+651", name=name) for name in names]


@pytest.mark.parametrize(
    ("verified_name", "taken", "suggested"),
    [
        ("Corner Bakery", [], "corner-bakery"),
        ("Café Zoë & Co.", [], "cafe-zoe-co"),
        ("Corner Bakery", ["CORNER_BAKERY"], "corner-bakery-0001"),
        ("Corner Bakery", ["corner-bakery", "corner-bakery-0001"], "6560000001"),
        ("街角面包店", [], "6560000001"),
        ("File", [], "6560000001"),
        (None, ["6560000001"], "6560000001-2"),
        ("-" * 80 + "a" * 80, [], "a" * 39),
    ],
)
def test_a_name_is_made_from_the_verified_name_else_from_the_number(
    verified_name: str | None, taken: list[str], suggested: str
) -> None:
    assert suggest_name(number(verified_name), called(*taken)) == suggested


def test_the_token_is_never_shown(run, world: World, tmp_path: Path) -> None:
    env = {"WACOEX_META_TOKEN": DEFAULT_TOKEN, "WACOEX_RESPONDIO_TOKEN": "mark-0123456789"}

    done = run("channel", "discover", "-vv", "--debug", env=env)

    assert done.code == 7
    assert DEFAULT_TOKEN not in done.out + done.err
    assert "mark-0123456789" not in done.out + done.err
