"""`wacoex channel`: adding, changing, archiving, and a list of many."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.channels.import_file import read_list
from wacoex_cli.errors import UsageError

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
        (("shop", "--phone", "+6560000002"), "channel `shop` exists already"),
        (
            ("SHOP", "--phone", "+6560000002"),
            "channel `shop` exists already, and `SHOP` would share its secrets",
        ),
    ],
)
def test_a_channel_with_wrong_values_is_refused(
    run, arguments: tuple[str, ...], message: str
) -> None:
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


def test_an_empty_text_removes_a_value(run) -> None:
    run(*SHOP, "--owner", "Ana")

    assert run("channel", "edit", "shop", "--owner", "", "--json").data["owner"] is None
    assert run("channel", "edit", "shop").code == 2
    assert run("channel", "edit", "shop", "--phone", "").code == 2


def test_a_channel_may_be_edited_to_what_it_already_is(run) -> None:
    run(*SHOP)

    assert run("channel", "edit", "shop", "--phone", "+6560000001").code == 0


def test_a_channel_is_chosen_by_name_environment_use_or_as_the_only_one(
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
        "error: which channel do you mean?\n\nhint: add `--channel NAME`, one of `lab`, `shop`\n",
    )

    run("channel", "use", "lab")
    assert meant() == "lab"
    assert meant(WACOEX_CHANNEL="shop") == "shop"
    assert meant("-c", "lab", WACOEX_CHANNEL="shop") == "lab"


def test_a_misspelt_channel_is_answered_with_the_nearest(run) -> None:
    run(*SHOP)

    said = run("channel", "show", "shpo").err
    assert re.fullmatch(
        r"error: there is no channel `shpo` in \S+\n\nhint: did you mean `shop`\?\n", said
    )


def test_an_archived_channel_is_not_used(run) -> None:
    run(*SHOP)
    run("channel", "use", "shop")
    run("channel", "remove", "shop", "--yes")

    for command in (("channel", "show"), ("status",), ("reminder", "check")):
        nothing = run(*command)
        assert nothing.err.startswith("error: no channel is in use in ")
        assert "archived: `shop`" in nothing.err
        assert "wacoex channel restore shop" in nothing.err
    assert (
        "wacoex channel list --archived"
        in run("channel", "list", tty=True).err + run("channel", "list", tty=True).out
    )
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


HEADER = "name,phone,phone_number_id,waba_id,respondio_channel_id,provider,owner,timezone"
LISTED_SHOP = "shop,+65 6000 0001,1001,20,7,respondio,Ana,Asia/Singapore"
LISTED_LAB = "lab,+6560000002,,,,,,"


def bring(run, *lines: str, options: tuple[str, ...] = ()) -> Any:
    return run("channel", "import", "-", *options, "--json", stdin="\n".join(lines) + "\n")


def names(run) -> list[str]:
    return [channel["channel"] for channel in run("channel", "list", "--json").data["channels"]]


def problems(done: Any) -> list[tuple[int, str]]:
    return [(problem["line"], problem["message"]) for problem in done.data["problems"]]


def test_every_row_becomes_a_channel(run) -> None:
    done = bring(run, HEADER, LISTED_SHOP, LISTED_LAB)

    assert (done.code, done.data) == (
        0,
        {
            "read": 2,
            "added": 2,
            "known": 0,
            "channels": ["shop", "lab"],
            "problems": [],
            "dry_run": False,
        },
    )
    lab, shop = run("channel", "list", "--json").data["channels"]
    answer = ("phone", "phone_number_id", "waba_id", "respondio_channel_id", "provider", "owner")
    assert [shop[name] for name in answer] == ["+6560000001", "1001", "20", 7, "respondio", "Ana"]
    assert [lab[name] for name in answer] == ["+6560000002", None, None, None, "meta", None]


def test_a_second_import_changes_nothing(run) -> None:
    bring(run, HEADER, LISTED_SHOP, LISTED_LAB)
    before = run("channel", "list", "--json").out

    again = bring(run, HEADER, LISTED_SHOP, LISTED_LAB, "new,+6560000003")

    assert (again.code, again.data["added"], again.data["known"]) == (0, 1, 2)
    run("channel", "remove", "new", "--yes")
    assert run("channel", "list", "--json").out == before


def test_a_dry_run_adds_nothing(run) -> None:
    done = bring(run, HEADER, LISTED_SHOP, options=("--dry-run",))

    assert (done.code, done.data["added"], done.data["dry_run"]) == (0, 1, True)
    assert names(run) == []


def test_one_bad_row_stops_the_import_and_every_problem_is_named_with_its_line(run) -> None:
    run("channel", "add", "old", "--phone", "+6560000009", "--phone-number-id", "9009")

    done = bring(
        run,
        HEADER,
        LISTED_SHOP,
        "",
        "hello,hello",
        "a,+6560000011,12a",
        "b,+6560000012,,,,whatsapp",
        "c,+6560000013,,,x",
        "d,+6560000014,,,,,,Asia/Sing",
        "e,+6560000009",
        "f,+6560000015,9009",
        ",+6560000016",
        "g",
        "h,+6560000017,,,,,,,,surplus",
        "a b,+6560000018",
        "SHOP,+6560000019",
        "i,+65 6000 0001",
        "j,+6560000020,1001",
    )

    assert (done.code, done.envelope["status"]) == (2, "error")
    assert problems(done) == [
        (4, "`hello` is not a phone number"),
        (5, "`--phone-number-id` must be digits only"),
        (6, "`whatsapp` is not a provider"),
        (7, "respondio_channel_id must be digits only"),
        (8, "`Asia/Sing` is not a time zone"),
        (9, "the number +6560000009 belongs to channel `old`"),
        (10, "the phone_number_id 9009 belongs to channel `old`"),
        (11, "it has no name"),
        (12, "it has no phone"),
        (13, "it has 10 fields, the header has 8"),
        (14, "`a b` cannot be the name of a channel"),
        (15, "the name `SHOP` is already in line 2"),
        (16, "the number +6560000001 is already in line 2"),
        (17, "the phone_number_id 1001 is already in line 2"),
    ]
    assert all(problem["hint"] for problem in done.data["problems"])
    assert names(run) == ["old"]


def test_at_most_twenty_problems_are_named(run) -> None:
    done = bring(run, "name,phone", *(f"shop-{number},?" for number in range(25)))

    assert len(done.data["problems"]) == 20
    assert (
        done.envelope["errors"][0]["message"]
        == "25 of 25 rows cannot be added, so wacoex added none"
    )
    assert "warning: and 5 more\n" in done.err


def test_a_row_that_contradicts_a_known_channel_gets_the_command_that_edits_it(run) -> None:
    bring(run, HEADER, LISTED_SHOP)

    done = bring(run, HEADER, LISTED_SHOP.replace("Ana", "Ana Bo").replace("20,7", "20,"))

    [problem] = done.data["problems"]
    assert (
        problem["message"]
        == "channel `shop` has the owner `Ana` in wacoex, and the list has `Ana Bo`"
    )
    assert "`wacoex channel edit shop --owner 'Ana Bo'`" in problem["hint"]


def test_an_archived_channel_stays_archived_after_an_import(run) -> None:
    bring(run, HEADER, LISTED_SHOP)
    run("channel", "remove", "shop", "--yes")

    done = run("channel", "import", "-", stdin=f"{HEADER}\n{LISTED_SHOP}\n")

    assert (done.code, done.out) == (0, "0 added, 1 known already\n")
    assert "`wacoex channel restore shop`" in done.err
    assert names(run) == []


def test_the_json_of_a_list_can_be_imported_elsewhere(run, tmp_path: Path) -> None:
    bring(run, HEADER, LISTED_SHOP, LISTED_LAB)
    entries = run("channel", "list", "--json").data["channels"]
    content = "".join(f"{json.dumps(entry)}\n" for entry in entries)
    elsewhere = {"WACOEX_STATE": str(tmp_path / "elsewhere.db")}

    taken = run("channel", "import", "-", stdin=content, env=elsewhere)

    assert taken.code == 0
    assert "columns that wacoex ignores: archived_at, " in taken.err
    assert run("channel", "list", "--json", env=elsewhere).data["channels"] == entries


@pytest.mark.parametrize(
    "content",
    [
        "name,phone\nshop,+6560000001\n",
        "\ufeffName;Phone\r\nshop;+6560000001\r\n",
        'PHONE\tNAME\n"+65 6000 0001"\t"shop"\n\n',
        '\n{"name": "shop", "phone": "+6560000001", "waba_id": null}\n',
        'name, phone, notes\nshop, +6560000001, "two\nlines"',
    ],
    ids=["comma", "semicolon and mark", "tab", "objects", "line end in a cell"],
)
def test_lists_come_in_several_shapes(run, content: str, tmp_path: Path) -> None:
    file = tmp_path / "channels.txt"
    file.write_text(content, encoding="utf-8", newline="")

    assert run("channel", "import", str(file)).code == 0
    assert names(run) == ["shop"]


def test_long_ids_of_json_numbers_are_not_rounded(run) -> None:
    bring(run, '{"name": "shop", "phone": "+6560000001", "waba_id": 102290129340398123456}')

    assert run("channel", "show", "--json").data["waba_id"] == "102290129340398123456"


def test_line_numbers_are_those_of_the_file(run) -> None:
    done = bring(run, "", "name,phone,notes", 'shop,+6560000001,"a', 'b"', "lab,?")

    assert problems(done) == [(5, "`?` is not a phone number")]


@pytest.mark.parametrize(
    "line", ["{", "[1]", '{"name": ["a"], "phone": "+6560000001"}', '{"name": "b"}']
)
def test_a_bad_object_is_reported_with_its_line(run, line: str) -> None:
    done = bring(run, '{"name": "shop", "phone": "+6560000001"}', line)

    assert [number for number, _ in problems(done)] == [2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the list is empty"),
        (b"shop,+6560000001\n", "the list has no column `name`"),
        (b"name,number\n", "the list has no column `phone`"),
        (b"name,phone,Phone\n", "the list has two columns `phone`"),
        (b'[{"name": "shop"}]', "the list is a JSON array"),
        (b"PK\x03\x04", "the list is a workbook"),
        (b"name,phone\nCaf\xe9,+6560000001\n", "the list is not UTF-8: see line 2"),
        (b'name,phone\n"shop,+6560000001\n', "line 2 of the list cannot be read as CSV: "),
    ],
)
def test_a_file_without_a_list_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_list("the list", content)

    assert raised.value.message.startswith(message)
    assert raised.value.hint


def test_a_file_that_is_not_there_and_a_terminal_are_refused(run) -> None:
    assert run("channel", "import", "nowhere.csv").code == 2
    assert run("channel", "import", "-", tty=True).err.startswith(
        "error: no list on standard input: it is a terminal"
    )


RESERVED = ["file", "FILE", "file-2", "shop-file", "shop.FILE"]


@pytest.mark.parametrize("name", RESERVED)
def test_a_name_that_collides_with_file_variables_is_refused(
    run, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"name,phone\n{name},+6560000002\n")

    added = run("channel", "add", name, "--phone", "+6560000002")
    imported = run("channel", "import", str(path))

    assert (added.code, imported.code) == (2, 2)
    assert f"error: `{name}` cannot be the name of a channel" in added.err
    assert f"`{name}` cannot be the name of a channel: `WACOEX_META_TOKEN_" in imported.err
    assert run("channel", "list").out == ""


@pytest.mark.parametrize("name", ["profile", "filet", "my-files", "shop-file-2"])
def test_a_name_that_only_resembles_a_reserved_one_is_accepted(run, name: str) -> None:
    assert run("channel", "add", name, "--phone", "+6560000002").code == 0


def test_a_channel_that_has_such_a_name_already_is_usable_and_warned_about(run, state_path) -> None:
    run(*LAB)
    with contextlib.closing(sqlite3.connect(state_path)) as connection, connection:
        connection.execute("UPDATE channels SET name = 'file'")

    listed = run("channel", "list")
    edited = run("channel", "edit", "file", "--owner", "Ana")

    assert listed.out.startswith("file\t+6560000002")
    assert "warning: channel `file`: a variable with its name may name the file" in listed.err
    assert "wacoex auth login SECRET --channel file" in listed.err
    assert edited.code == 0


@pytest.mark.parametrize(
    "change", ["name = x'ff00'", "phone = x'2b31'", "provider = x'ff'", "provider = 'pigeon'"]
)
def test_a_channel_that_no_command_can_store_is_named(run, state_path, change: str) -> None:
    run(*LAB)
    with contextlib.closing(sqlite3.connect(state_path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"UPDATE channels SET {change}")

    done = run("channel", "list")

    assert done.code == 8
    assert "error: channel 1 in the state file has an impossible name, phone" in done.err


@pytest.fixture
def state_path(isolated_home: Path) -> Path:
    """Where the state file of a test is."""
    return isolated_home / ".local/state/wacoex/wacoex.db"


def test_the_sandbox_is_named_once_on_a_screen(run) -> None:
    url = "http://127.0.0.1:4555"
    env = {"WACOEX_META_BASE_URL": url, "_WACOEX_SANDBOX_SAID": url}

    assert "sandbox: talking to" not in run("channel", "list", env=env).err
    assert run("channel", "list", "--json", env=env).envelope["sandbox"] is True
    other = {**env, "_WACOEX_SANDBOX_SAID": "http://127.0.0.1:4556"}
    assert "sandbox: talking to" in run("channel", "list", env=other).err


def test_a_hundred_channels_come_with_their_owners_and_five_are_corrected(run) -> None:
    owners = [f"Owner {number % 12}" for number in range(100)]
    lines = [
        f"client-{number:03},+6560000{number:03},{owner},vip" for number, owner in enumerate(owners)
    ]
    content = "\n".join(["name,phone,owner,tags", *lines]) + "\n"

    done = run("channel", "import", "-", stdin=content)

    assert (done.code, done.out) == (0, "100 added, 0 known already\n")
    assert "columns that wacoex ignores: tags" in done.err
    for number in range(5):
        assert run("channel", "edit", f"client-{number:03}", "--owner", "Ana").code == 0
    listed = run("channel", "list", "--json").data["channels"]
    assert [entry["owner"] for entry in listed] == [*["Ana"] * 5, *owners[5:]]
