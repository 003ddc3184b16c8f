"""`wacoex broadcast report`: totals and every row, as text, JSON and CSV."""

from __future__ import annotations

import csv
import io
import itertools
import stat

import pytest

from wacoex_cli.broadcast import report
from wacoex_cli.sandbox.faults import Fault


@pytest.fixture
def sent(shop):
    """A broadcast of four people: one was rejected, one has no number that can be read."""
    people = [(shop.phone(1),), (shop.phone(2),), ("=1+1",), (shop.phone(3),)]
    broadcast = shop.planned(shop.file("four.csv", people))
    shop.faults(Fault("refuse", code=131026, recipients=frozenset({shop.phone(2)})))
    shop.send(broadcast)
    return broadcast


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_json_has_totals_runs_and_every_row_with_the_meaning_of_its_code(cli, shop, sent):
    data = cli("broadcast", "report", 1, "--json").data

    assert (data["status"], data["recipients"], data["taken"]) == ("completed", 3, 2)
    assert data["rate"]["peak_in_one_second"] >= 1
    assert [run["ended_as"] for run in data["runs"]] == ["completed"]
    assert data["decisions"] == []
    assert [(row["line"], row["state"]) for row in data["rows"]] == [
        (2, "accepted"),
        (3, "rejected"),
        (4, "skipped"),
        (5, "accepted"),
    ]
    accepted, rejected, skipped, _ = data["rows"]
    assert accepted["message_id"].startswith("wamid.")
    assert accepted["answered_at"].endswith("Z")
    assert (rejected["code"], rejected["phone"]) == (131026, shop.phone(2))
    assert rejected["meaning"] == data["codes"][0]["meaning"]
    assert (skipped["reason"], skipped["code"], skipped["meaning"]) == ("invalid", None, None)


def test_a_person_sees_the_totals_and_the_rows_that_went_wrong(cli, shop, sent):
    shown = cli("broadcast", "report", 1, tty=True)

    assert shown.code == 0
    assert "broadcast 1 on shop (opening_hours (en_US)): completed" in shown.out
    assert "run 1: " in shown.out
    assert "code 131026 (1 rejected)" in shown.out
    assert shop.phone(2) in shown.out
    assert shop.phone(1) not in shown.out


def test_decisions_of_people_are_part_of_the_report(cli, shop):
    broadcast = shop.planned(2)
    shop.faults(Fault("reset_after", count=1))
    shop.send(broadcast)
    cli("broadcast", "reconcile", 1, "--as", "sent", "--yes")

    [decision] = cli("broadcast", "report", 1, "--json").data["decisions"]

    assert (decision["decision"], decision["row"]) == ("sent", 1)
    assert "row 1: sent" in cli("broadcast", "report", 1).out


def test_csv_on_standard_output_has_a_header_and_every_row(cli, shop, sent):
    shown = cli("broadcast", "report", 1, "--csv", "-")

    rows = lines(shown.out)
    assert tuple(rows[0]) == report.COLUMNS
    assert [row["state"] for row in rows] == ["accepted", "rejected", "skipped", "accepted"]
    assert [row["phone"] for row in rows] == [
        f"'{shop.phone(1)}",
        f"'{shop.phone(2)}",
        "'=1+1",
        f"'{shop.phone(3)}",
    ]


def test_a_csv_file_is_new_private_and_never_replaces_another(cli, shop, sent):
    target = shop.directory / "report.csv"

    written = cli("broadcast", "report", 1, "--csv", target, "--json")
    again = cli("broadcast", "report", 1, "--csv", target, "--json")

    assert (written.code, written.data["rows_written"]) == (0, 4)
    assert len(lines(target.read_text())) == 4
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert (again.code, again.envelope["errors"][0]["code"]) == (2, "file_exists")
    assert cli("broadcast", "report", 1, "--csv", shop.directory / "no" / "x.csv").code == 2
    assert not list(shop.directory.glob(".*.part"))


def test_the_numbers_of_a_report_can_be_planned_again(cli, shop, sent):
    target = shop.directory / "report.csv"
    cli("broadcast", "report", 1, "--csv", target)

    assert shop.planned(target).recipients == 3


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+6591234567", "'+6591234567"),
        ("-2", "'-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("  =1", "'  =1"),
        ("\uff1d1", "'\uff1d1"),
        ("a=1", "a=1"),
        ("", ""),
        ("   ", "   "),
        (None, ""),
        (131026, "131026"),
    ],
)
def test_no_cell_is_a_formula(value, cell):
    assert report.safe_cell(value) == cell


def test_a_long_report_is_written_while_it_is_read():
    row = dict.fromkeys(report.COLUMNS)
    endless = ({**row, "row": number} for number in itertools.count(1))

    header, first, second = itertools.islice(report.csv_text(endless), 3)

    assert header == ",".join(report.COLUMNS) + "\n"
    assert first.count("\n") == second.count("\n") == 1_000
    assert next(endless)["row"] == 2_001


def test_rows_of_several_pages_come_in_order_each_once(state, plan_rows):
    broadcast_id = plan_rows(4_500)

    found = [row["row"] for row in report.rows(state.path, broadcast_id)]

    assert found == list(range(1, 4_501))


def test_what_cannot_be_reported_is_refused(cli):
    both = cli("broadcast", "report", 1, "--csv", "-", "--json")
    unknown = cli("broadcast", "report", 99, "--json")

    assert (both.code, both.envelope["errors"][0]["code"]) == (2, "two_outputs")
    assert (unknown.code, unknown.envelope["errors"][0]["code"]) == (2, "unknown_broadcast")
