"""Nasty lists are sent with the real command: nobody gets a message whom the list does not mean."""

from __future__ import annotations

import csv
import datetime
import json
from typing import TYPE_CHECKING, Any

import openpyxl  # type: ignore[import-untyped]
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.attacks.conftest import Attack

# A number of Germany each, however it is written, and what it is.
MEANT: dict[str, str] = {
    "0151/23456780": "+4915123456780",
    "++4915123456781": "+4915123456781",
    "4915123456782.0": "+4915123456782",
    "+49 (0) 151-2345 6783": "+4915123456783",
    "0151.23456784": "+4915123456784",
    "'+4915123456785": "+4915123456785",
    "0049 151 23456786": "+4915123456786",
    "+553188888888": "+5531988888888",
    "+5215512345678": "+525512345678",
}
# A text that is not a number, and the words that must be beside it.
NOT_MEANT: dict[str, str] = {
    "2026-11-01": "a date",
    "01.11.2026": "a date",
    "1. 11. 2026": "a date",
    "11/01/2026": "a date",
    "2026/11/1": "a date",
    "2026-11-01 09:30": "a date",
    "2026-11-01T09:30:00Z": "a date",
    "4915123456784.5": "a decimal",
    "1234567,50": "a decimal",
    "491512345678.125": "a decimal",
    "6.591234567": "a decimal",
    "4.91512E+12": "its digits are lost",
    "-4915123456784": "not a phone number",
    "4915123456784-": "not a phone number",
    "+4915123456791/+4915123456792": "two numbers",
    "0151 23456791 / 0151 23456792": "two numbers",
    "03012345/03098765": "two numbers",
    "+4915123456791; +4915123456792": "two numbers",
    "+4915123456791 ::: +4915123456792": "two numbers",
    "+4915123456791,+4915123456792": "two numbers",
    "+4915123456791\n+4915123456792": "two numbers",
    "+49 30 1234567 x12": "extension",
    "+49 30 1234567 ext. 5": "extension",
    "030 1234567 Durchwahl 5": "extension",
    "mobile: +4915123456793": "a label",
    "null": "a placeholder",
    "-": "a placeholder",
    "#N/A": "an error of the spreadsheet",
    "#WERT!": "an error of the spreadsheet",
    "": "no number",
}
NO_RANGE = ("+491512345", "+6512345678")


def send(attack: Attack, path: Path, *more: str) -> Any:
    return attack.run(
        *("broadcast", "send", "--to", str(path), "--template", "opening_hours"),
        *("--lang", "en_US", "--country", "DE", "--channel", "first", "--yes", *more),
    )


def write_csv(path: Path, cells: list[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("phone", "place"), *((c, n) for n, c in enumerate(cells))])


def write_ndjson(path: Path, cells: list[str]) -> None:
    rows = [json.dumps({"phone": cell, "place": n}) for n, cell in enumerate(cells)]
    # Numbers of JSON, which no quotes keep from being rounded or read as something else.
    typed = ["4915123456784.5", "4.91512E+12", "true", "20261101.25", "[4915123456794]", "-4915123"]
    rows += [f'{{"phone": {value}, "place": 0}}' for value in typed]
    path.write_text("\n".join([*rows, '{"phone": "+4915123456795"', ""]), encoding="utf-8")


def write_workbook(path: Path, cells: list[str]) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["phone", "place"])
    for place, cell in enumerate(cells):
        sheet.append([None, place])
        sheet.cell(place + 2, 1).value = cell
        sheet.cell(place + 2, 1).data_type = "e" if cell == "#N/A" else "s"
    typed = [
        datetime.date(2026, 11, 1),
        datetime.datetime(2026, 11, 1, 9, 30, tzinfo=datetime.UTC).replace(tzinfo=None),
        datetime.time(9, 30),
        datetime.timedelta(hours=30),
        4915123456784.5,
        True,
    ]
    for value in typed:
        sheet.append([value, 1])
    sheet.append([4915123456787.0, 1])
    book.save(path)


@pytest.mark.parametrize(
    ("name", "write", "more"),
    [
        ("list.csv", write_csv, []),
        ("list.ndjson", write_ndjson, []),
        ("list.xlsx", write_workbook, ["+4915123456787"]),
    ],
    ids=["csv", "ndjson", "xlsx"],
)
def test_a_list_of_texts_that_are_not_numbers(
    attack: Attack, name: str, write: Callable[[Path, list[str]], None], more: list[str]
) -> None:
    path = attack.home.directory / name
    write(path, [*MEANT, *NOT_MEANT, *NO_RANGE])
    ended = send(attack, path)

    assert ended.code == 0, ended.out
    assert ended.data["skipped"]["unknown_range"] == len(NO_RANGE)
    attack.judge([*MEANT.values(), *more])


def test_each_is_named_by_what_it_is(attack: Attack) -> None:
    path = attack.home.directory / "list.xlsx"
    write_workbook(path, ["0151 23456789", *NOT_MEANT])
    options = ("--template", "opening_hours", "--lang", "en_US", "--country", "DE")
    planned = attack.run("broadcast", "plan", str(path), *options, "--channel", "first")
    report = attack.home.directory / "report.csv"
    attack.run("broadcast", "report", str(planned.data["broadcast_id"]), "--csv", str(report))
    with report.open(encoding="utf-8", newline="") as file:
        found = {int(row["line"]): row["detail"] for row in csv.DictReader(file)}

    for line, (cell, words) in enumerate(NOT_MEANT.items(), start=3):
        assert words in found[line], (cell, found[line])
    first_typed = 3 + len(NOT_MEANT)
    assert [found[line].partition(" (")[0] for line in range(first_typed, first_typed + 6)] == [
        *("a date", "a date", "a time", "a time", "a decimal number", "a boolean"),
    ]


def test_numbers_in_no_known_range_go_out_only_by_order_of_a_person(attack: Attack) -> None:
    path = attack.home.directory / "list.csv"
    write_csv(path, list(NO_RANGE))
    refused = send(attack, path)
    assert (refused.code, refused.codes) == (2, ["no_recipients"])
    assert attack.arrived() == []

    assert send(attack, path, "--accept-possible").code == 0
    attack.judge(list(NO_RANGE))


def test_with_two_phone_columns_wacoex_does_not_guess(attack: Attack) -> None:
    path = attack.home.directory / "list.csv"
    path.write_text("Telefon,phone\n+4915123456780,+4915123456781\n", encoding="utf-8")
    refused = send(attack, path)
    assert (refused.code, refused.codes) == (2, ["several_phone_columns"])
    assert "--phone-column" in refused.envelope["errors"][0]["hint"]

    path.write_text("Telefon,Handy\n+4915123456780,+4915123456781\n", encoding="utf-8")
    assert send(attack, path).code == 0
    attack.judge(["+4915123456781"])


def test_a_mistake_in_one_row_costs_only_that_row(attack: Attack) -> None:
    path = attack.home.directory / "list.csv"
    rows = [
        "Customers of 2026;;",
        "Name;Handy;note",
        "Ana;+4915123456780;x",
        f"Ben;+4915123456781;{'x' * 2_000_000}",
        "Cid;+4915123456782;x;y;z",
        "Dee;+49151\0 23456783;x",
        'Eve;+4915123456784;"never closed',
        "Fay;+4915123456785;x",
        'Gil;+4915123456786;"closed"',
        'Hal;+4915123456787;5" pipe',
        "Name;Handy;note",
        "\ufeffIda;+4915123456788;x",
        "Jan;+4915123456789",
    ]
    path.write_text("\n".join([*rows, ""]), encoding="utf-8")
    assert send(attack, path).code == 0
    attack.judge([f"+491512345678{n}" for n in (0, 5, 6, 7, 8, 9)])
