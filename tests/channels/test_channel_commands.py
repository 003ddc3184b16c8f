"""`wacoex channel`, as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

SHOP = ("channel", "add", "shop", "--phone", "+65 6000 0001", "--phone-number-id", "1001")
LAB = ("channel", "add", "lab", "--phone", "+6560000002")


def test_an_added_channel_is_listed_with_all_its_ids(run) -> None:
    run(*SHOP, "--waba-id", "2002", "--respondio-channel-id", "7", "--provider", "respondio")
    run("channel", "edit", "shop", "--owner", "Ana", "--timezone", "Asia/Singapore")

    [entry] = run("channel", "list", "--json").data["channels"]

    assert entry == {
        "channel": "shop",
        "phone": "+6560000001",
        "phone_number_id": "1001",
        "waba_id": "2002",
        "respondio_channel_id": 7,
        "provider": "respondio",
        "owner": "Ana",
        "timezone": "Asia/Singapore",
        "partner_app_id": None,
        "connection": None,
        "connection_since": None,
        "connection_reason": None,
        "connection_initiated_by": None,
        "is_in_use": False,
        "archived_at": None,
    }


def test_a_person_sees_a_table_and_a_pipe_plain_values(run) -> None:
    run(*SHOP)

    assert run("channel", "list").out == "shop\t+6560000001\t1001\t\tmeta\t\t\t\n"
    header, row = run("channel", "list", tty=True).out.splitlines()
    assert header.split()[:3] == ["CHANNEL", "PHONE", "PHONE_NUMBER_ID"]
    assert row.split() == ["shop", "+6560000001", "1001", "-", "meta", "-", "-", "-"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lab", "--phone", "hello"), "`hello` is not a phone number"),
        (("lab", "--phone", "60000002"), "`60000002` is not a phone number"),
        (("la b", "--phone", "+6560000002"), "`la b` cannot be the name of a channel"),
        (("-", "--phone", "+6560000002"), "`-` cannot be the name of a channel"),
        (("lab", "--phone", "+6560000002", "--waba-id", "12a"), "`--waba-id` must be digits only"),
        (
            ("lab", "--phone", "+6560000002", "--timezone", "Asia/Sing"),
            "`Asia/Sing` is not a time zone",
        ),
        (("lab", "--phone", "+6560000001"), "the number +6560000001 belongs to channel `shop`"),
        (
            ("lab", "--phone", "+6560000002", "--phone-number-id", "1001"),
            "the phone_number_id 1001 belongs to channel `shop`",
        ),
        (("shop", "--phone", "+6560000002"), "there is a channel `shop` already"),
        (
            ("SHOP", "--phone", "+6560000002"),
            "there is a channel `shop` already, and `SHOP` would share its secrets",
        ),
    ],
)
def test_an_unfit_channel_is_refused(run, arguments: tuple[str, ...], message: str) -> None:
    run(*SHOP)

    refused = run("channel", "add", *arguments, "--json")

    assert refused.code == 2
    assert refused.envelope["errors"][0]["message"] == message
    assert refused.envelope["errors"][0]["hint"]
    assert len(run("channel", "list", "--archived", "--json").data["channels"]) == 1


def test_removing_asks_and_keeps_the_history(run) -> None:
    run(*SHOP)

    declined = run("channel", "remove", "shop", stdin="n\n", tty=True)
    assert (declined.code, declined.err.splitlines()[-1]) == (1, "hint: nothing was changed")

    assert run("channel", "remove", "shop").code == 2
    assert run("channel", "remove", "shop", stdin="y\n", tty=True).code == 0
    assert run("channel", "list", "--json").data["channels"] == []
    [archived] = run("channel", "list", "--archived", "--json").data["channels"]
    assert archived["connection"] == "archived"


def test_an_archived_number_cannot_be_added_again_but_restored(run) -> None:
    run(*SHOP)
    run("channel", "remove", "shop", "--yes")

    refused = run("channel", "add", "other", "--phone", "+6560000001")

    assert refused.code == 2
    assert "hint: run `wacoex channel restore shop`" in refused.err
    assert run("channel", "restore", "shop").code == 0
    assert len(run("channel", "list", "--json").data["channels"]) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "lab", "--phone", "+6560000002"),
        ("edit", "shop", "--owner", "Bo"),
        ("remove", "shop"),
        ("use", "shop"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_dry_run_changes_nothing(run, arguments: tuple[str, ...]) -> None:
    run(*SHOP)
    before = run("channel", "list", "--archived", "--json").out

    tried = run("channel", *arguments, "--dry-run")

    assert tried.code == 0
    assert "would be" in tried.out
    assert run("channel", "list", "--archived", "--json").out == before


def test_an_empty_text_takes_a_value_away(run) -> None:
    run(*SHOP, "--owner", "Ana")

    assert run("channel", "edit", "shop", "--owner", "", "--json").data["owner"] is None
    assert run("channel", "edit", "shop").code == 2
    assert run("channel", "edit", "shop", "--phone", "").code == 2


def test_a_channel_may_be_edited_to_what_it_already_is(run) -> None:
    run(*SHOP)

    assert run("channel", "edit", "shop", "--phone", "+6560000001").code == 0


def test_the_channel_meant_is_the_named_the_one_of_the_environment_the_used_the_only_one(
    run,
) -> None:
    def meant(*arguments: str, **env: str) -> object:
        return run("channel", "show", "--json", *arguments, env=env).data["channel"]

    run(*SHOP)
    assert meant() == "shop"

    run(*LAB)
    which = run("channel", "show")
    assert (which.code, which.err) == (
        2,
        "error: which channel is meant?\n\nhint: add `--channel NAME`, one of `lab`, `shop`\n",
    )

    run("channel", "use", "lab")
    assert meant() == "lab"
    assert meant(WACOEX_CHANNEL="shop") == "shop"
    assert meant("-c", "lab", WACOEX_CHANNEL="shop") == "lab"


def test_a_misspelt_channel_is_answered_with_the_nearest(run) -> None:
    run(*SHOP)

    assert run("channel", "show", "shpo").err == (
        "error: there is no channel `shpo`\n\nhint: did you mean `shop`?\n"
    )


def test_an_archived_channel_is_not_used(run) -> None:
    run(*SHOP)
    run("channel", "use", "shop")
    run("channel", "remove", "shop", "--yes")

    assert run("channel", "show").err.startswith("error: there is no channel yet")
    assert run("channel", "show", "-c", "shop").err.startswith("error: channel `shop` is archived")
    assert run("channel", "show", "shop").code == 0


def test_a_table_for_an_unknown_channel_is_warned_about(run, isolated_home: Path) -> None:
    config = isolated_home / ".config/wacoex/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[channels.shpo]\ntimezone = "Asia/Singapore"\n')
    run(*SHOP)

    listed = run("channel", "list")

    assert "warning: `[channels.shpo]` in config.toml" in listed.err
    assert listed.code == 0


@pytest.mark.parametrize("option", ["", "-q"])
def test_every_screen_says_when_it_is_not_meta(run, option: str) -> None:
    env = {"WACOEX_META_BASE_URL": "http://127.0.0.1:4555"}

    shown = run("channel", "list", *option.split(), env=env)

    assert shown.err == "sandbox: talking to http://127.0.0.1:4555, not to Meta\n"
    assert run("channel", "list", "-qq", env=env).err == ""
    assert run("channel", "list", "--json", env=env).envelope["sandbox"] is True
    assert "sandbox" not in run("channel", "list", "--json").envelope
    failed = run("channel", "show", "--json", env=env)
    assert (failed.code, failed.envelope["sandbox"]) == (2, True)
