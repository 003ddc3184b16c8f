"""`wacoex channel rename`: what names the channel follows it, or is named to be changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SERVICE = "wacoex"
TOKEN = "EAAG" + "t" * 40
OTHER = "EAAG" + "o" * 40


@pytest.fixture
def shop(run) -> None:
    assert run("channel", "add", "shop", "--phone", "+6560000001", "--owner", "Ana").code == 0
    assert run("channel", "add", "lab", "--phone", "+6560000002").code == 0


def secrets_of(home: Path) -> Path:
    return home / ".config" / "wacoex" / "secrets"


def test_stored_facts_of_a_channel_move_to_its_new_name(run, shop) -> None:
    run("channel", "use", "shop")
    run("reminder", "confirm", "shop", "--by", "Ana")
    run("device", "add", "web", "-c", "shop")
    before = run("reminder", "check", "shop", "--json").data["channels"][0]

    done = run("channel", "rename", "shop", "store")

    assert (done.code, done.out) == (0, "channel shop (+6560000001) renamed: store\n")
    after = run("reminder", "check", "store", "--json").data["channels"][0]
    assert after["last_opened_at"] == before["last_opened_at"] is not None
    assert len(run("device", "list", "-c", "store", "--json").data["devices"]) == 1
    assert run("channel", "show", "--json").data["channel"] == "store", "it is still in use"
    gone = run("channel", "show", "shop")
    assert (gone.code, "there is no channel `shop`" in gone.err) == (2, True)


def test_its_broadcasts_and_events_go_with_it(run, shop, tmp_path: Path) -> None:
    run("channel", "edit", "shop", "--phone-number-id", "106540352242922")
    change = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "6560000001", "phone_number_id": "106540352242922"},
        "messages": [
            {"from": "6591234567", "id": "wamid.1", "timestamp": "1763000000", "type": "text",
             "text": {"body": "hi"}}
        ],
    }  # fmt: skip
    payload = {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": [{"field": "messages", "value": change}]}],
    }
    file = tmp_path / "old.ndjson"
    file.write_text(json.dumps(payload) + "\n")
    run("events", "import", str(file))
    assert len(run("events", "list", "-c", "shop", "--json").data["events"]) == 1

    run("channel", "rename", "shop", "store")

    assert len(run("events", "list", "-c", "store", "--json").data["events"]) == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("shop", "lab"), "channel `lab` exists already"),
        (("shop", "LAB"), "channel `lab` exists already, and `LAB` would share its secrets"),
        (("shop", "shop"), "channel `shop` has this name already"),
        (("shop", "my shop"), "`my shop` cannot be the name of a channel"),
        (("shop", "file"), "`file` cannot be the name of a channel"),
        (("shp", "store"), "there is no channel `shp`"),
    ],
)
def test_an_invalid_name_is_refused_and_nothing_changes(run, shop, names, said) -> None:
    before = run("channel", "list", "--json").data

    refused = run("channel", "rename", *names)

    assert (refused.code, said in refused.err) == (2, True), refused.err
    assert run("channel", "list", "--json").data == before


def test_an_archived_channel_keeps_its_name_from_others_and_can_be_renamed(run, shop) -> None:
    run("channel", "remove", "lab", "--yes")
    assert run("channel", "rename", "shop", "lab").code == 2

    assert run("channel", "rename", "lab", "old-lab").code == 0
    assert run("channel", "rename", "shop", "lab").code == 0


def test_other_case_or_punctuation_is_another_name_of_the_same_channel(run, shop) -> None:
    assert run("channel", "rename", "shop", "Shop").code == 0
    assert run("channel", "show", "Shop").code == 0


def test_stored_secrets_move_to_the_new_name(
    run, shop, keyring_entries, isolated_home: Path
) -> None:
    keyring_entries[SERVICE, "shop/meta-token"] = TOKEN
    keyring_entries[SERVICE, "meta-token"] = OTHER
    directory = secrets_of(isolated_home)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "shop.notify-urls").write_text("json://localhost/a\n")

    shown = run("channel", "rename", "shop", "store", "--dry-run", "--json").data
    assert [secret["name"] for secret in shown["moved_secrets"]] == ["meta-token", "notify-urls"]
    assert (SERVICE, "store/meta-token") not in keyring_entries

    done = run("channel", "rename", "shop", "store", "--json")

    assert done.code == 0
    assert done.data["moved_secrets"] == shown["moved_secrets"]
    assert keyring_entries == {
        (SERVICE, "store/meta-token"): TOKEN,
        (SERVICE, "meta-token"): OTHER,
    }
    assert not (directory / "shop.notify-urls").exists()
    assert (directory / "store.notify-urls").stat().st_mode & 0o777 == 0o600
    assert TOKEN not in done.out + done.err


def test_a_secret_of_somebody_else_under_the_new_name_is_not_taken_over(
    run, shop, keyring_entries
) -> None:
    keyring_entries[SERVICE, "shop/meta-app-secret"] = TOKEN
    keyring_entries[SERVICE, "store/respondio-token"] = OTHER
    before = dict(keyring_entries)

    refused = run("channel", "rename", "shop", "store")

    assert refused.code == 2
    assert "a respondio-token is stored for `store` already" in refused.err
    assert keyring_entries == before, "what was copied until then is taken back"
    assert run("channel", "show", "shop").code == 0


def test_an_interrupted_rename_does_not_stop_the_next_one(run, shop, keyring_entries) -> None:
    keyring_entries[SERVICE, "shop/meta-token"] = TOKEN
    keyring_entries[SERVICE, "store/meta-token"] = TOKEN

    assert run("channel", "rename", "shop", "store").code == 0
    assert keyring_entries == {(SERVICE, "store/meta-token"): TOKEN}


def test_settings_that_only_a_person_can_change_are_named(run, shop, isolated_home: Path) -> None:
    directory = isolated_home / ".config" / "wacoex"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.toml").write_text('[channels.shop]\ntimezone = "Asia/Singapore"\n')
    environ = {
        "WACOEX_META_TOKEN_SHOP": TOKEN,
        "WACOEX_NOTIFY_URLS_FILE_SHOP": str(isolated_home / "urls"),
        "WACOEX_CHANNEL": "shop",
    }

    done = run("channel", "rename", "shop", "store", env=environ)

    assert done.code == 0
    warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert warnings == [
        f"warning: rename `[channels.shop]` in {directory / 'config.toml'}: `[channels.store]`",
        "warning: `WACOEX_CHANNEL` in the environment still names `shop`: write `store`",
        "warning: rename `WACOEX_META_TOKEN_SHOP` in the environment: `WACOEX_META_TOKEN_STORE`",
        "warning: rename `WACOEX_NOTIFY_URLS_FILE_SHOP` in the environment:"
        " `WACOEX_NOTIFY_URLS_FILE_STORE`",
    ]
