"""`wacoex channel import`: an agency's list, all of it or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.channels.import_file import read_list
from wacoex_cli.errors import UsageError

HEADER = "name,phone,phone_number_id,waba_id,respondio_channel_id,provider,owner,timezone"
SHOP = "shop,+65 6000 0001,1001,20,7,respondio,Ana,Asia/Singapore"
LAB = "lab,+6560000002,,,,,,"


def bring(run, *lines: str, options: tuple[str, ...] = ()) -> Any:
    return run("channel", "import", "-", *options, "--json", stdin="\n".join(lines) + "\n")


def names(run) -> list[str]:
    return [one["channel"] for one in run("channel", "list", "--json").data["channels"]]


def problems(done: Any) -> list[tuple[int, str]]:
    return [(one["line"], one["message"]) for one in done.data["problems"]]


def test_every_row_becomes_a_channel(run) -> None:
    done = bring(run, HEADER, SHOP, LAB)

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
    told = ("phone", "phone_number_id", "waba_id", "respondio_channel_id", "provider", "owner")
    assert [shop[name] for name in told] == ["+6560000001", "1001", "20", 7, "respondio", "Ana"]
    assert [lab[name] for name in told] == ["+6560000002", None, None, None, "meta", None]


def test_a_second_import_changes_nothing(run) -> None:
    bring(run, HEADER, SHOP, LAB)
    before = run("channel", "list", "--json").out

    again = bring(run, HEADER, SHOP, LAB, "new,+6560000003")

    assert (again.code, again.data["added"], again.data["known"]) == (0, 1, 2)
    run("channel", "remove", "new", "--yes")
    assert run("channel", "list", "--json").out == before


def test_a_dry_run_adds_nothing(run) -> None:
    done = bring(run, HEADER, SHOP, options=("--dry-run",))

    assert (done.code, done.data["added"], done.data["dry_run"]) == (0, 1, True)
    assert names(run) == []


def test_one_unfit_row_keeps_all_out_and_every_problem_is_told_with_its_line(run) -> None:
    run("channel", "add", "old", "--phone", "+6560000009", "--phone-number-id", "9009")

    done = bring(
        run,
        HEADER,
        SHOP,
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
        (6, "`whatsapp` is no provider"),
        (7, "respondio_channel_id must be digits only"),
        (8, "`Asia/Sing` is not a time zone"),
        (9, "the number +6560000009 belongs to channel `old`"),
        (10, "the phone_number_id 9009 belongs to channel `old`"),
        (11, "it has no name"),
        (12, "it has no phone"),
        (13, "it has 10 fields, the header has 8"),
        (14, "`a b` cannot be the name of a channel"),
        (15, "the name `SHOP` stands in line 2 already"),
        (16, "the number +6560000001 stands in line 2 already"),
        (17, "the phone_number_id 1001 stands in line 2 already"),
    ]
    assert all(one["hint"] for one in done.data["problems"])
    assert names(run) == ["old"]


def test_at_most_twenty_problems_are_told(run) -> None:
    done = bring(run, "name,phone", *(f"shop-{number},?" for number in range(25)))

    assert len(done.data["problems"]) == 20
    assert done.envelope["errors"][0]["message"] == "25 of 25 rows cannot be added, so none was"
    assert "warning: and 5 more\n" in done.err


def test_a_row_that_says_otherwise_of_a_known_channel_is_told_how_to_edit_it(run) -> None:
    bring(run, HEADER, SHOP)

    done = bring(run, HEADER, SHOP.replace("Ana", "Ana Bo").replace("20,7", "20,"))

    [problem] = done.data["problems"]
    assert problem["message"] == "channel `shop` has the owner `Ana` here, and `Ana Bo` in the list"
    assert "`wacoex channel edit shop --owner 'Ana Bo'`" in problem["hint"]


def test_an_archived_channel_stays_put_away(run) -> None:
    bring(run, HEADER, SHOP)
    run("channel", "remove", "shop", "--yes")

    done = run("channel", "import", "-", stdin=f"{HEADER}\n{SHOP}\n")

    assert (done.code, done.out) == (0, "0 added, 1 known already\n")
    assert "`wacoex channel restore shop`" in done.err
    assert names(run) == []


def test_what_list_prints_as_json_can_be_taken_in_elsewhere(run, tmp_path: Path) -> None:
    bring(run, HEADER, SHOP, LAB)
    entries = run("channel", "list", "--json").data["channels"]
    content = "".join(f"{json.dumps(one)}\n" for one in entries)
    elsewhere = {"WACOEX_STATE": str(tmp_path / "elsewhere.db")}

    taken = run("channel", "import", "-", stdin=content, env=elsewhere)

    assert taken.code == 0
    assert "columns without a meaning here: archived_at, " in taken.err
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


def test_lines_are_counted_as_they_stand_in_the_file(run) -> None:
    done = bring(run, "", "name,phone,notes", 'shop,+6560000001,"a', 'b"', "lab,?")

    assert problems(done) == [(5, "`?` is not a phone number")]


@pytest.mark.parametrize(
    "line", ["{", "[1]", '{"name": ["a"], "phone": "+6560000001"}', '{"name": "b"}']
)
def test_an_unfit_object_is_a_problem_of_its_line(run, line: str) -> None:
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
def test_what_is_no_list_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_list("the list", content)

    assert raised.value.message.startswith(message)
    assert raised.value.hint


def test_a_file_that_is_not_there_and_a_terminal_are_refused(run) -> None:
    assert run("channel", "import", "nowhere.csv").code == 2
    assert run("channel", "import", "-", tty=True).err.startswith(
        "error: no list on standard input: it is a terminal"
    )
