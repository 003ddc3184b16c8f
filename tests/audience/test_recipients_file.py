"""Recipients files as people, spreadsheets and programs write them."""

from __future__ import annotations

import csv
import io
import os
import threading
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import openpyxl  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.audience.formats import is_blank
from wacoex_cli.audience.model import SourceRow
from wacoex_cli.audience.phone_cells import why_invalid
from wacoex_cli.audience.recipients_file import open_recipients
from wacoex_cli.errors import UsageError


def read(content: str | bytes) -> tuple[tuple[str, ...], list[SourceRow]]:
    data = content.encode() if isinstance(content, str) else content
    with open_recipients(None, stdin=io.BytesIO(data)) as recipients:
        return recipients.columns, list(recipients)


def rows(content: str | bytes) -> list[tuple[int, str]]:
    return [(row.line, row.phone) for row in read(content)[1]]


def refused(content: str | bytes) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read(content)
    assert caught.value.hint
    return caught.value


def workbook(lines: Iterable[Iterable[object]]) -> bytes:
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(list(line))
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        "phone,name\n+651,Ana\n+652,Bo\n",
        "phone;name\n+651;Ana\n+652;Bo\n",
        "phone\tname\n+651\tAna\n+652\tBo\n",
        "phone,name\r\n+651,Ana\r\n+652,Bo",
        "phone,name\r+651,Ana\r+652,Bo\r",
        "\ufeffphone,name\n+651,Ana\n+652,Bo\n",
        "phone, name\n+651, Ana\n+652, Bo\n",
        '"phone","name"\n"+651","Ana"\n"+652","Bo"\n',
        "phone|name\n+651|Ana\n+652|Bo\n",
        "sep=;\nphone;name\n+651;Ana\n+652;Bo\n",
        "\u200ephone,'name\n+651,Ana\n+652,Bo\n",
        "phone,name\n+651,Ana\n+652,Bo\n".encode("utf-16"),
        "phone,name\n+651,Ana\n+652,Bo\n".encode("utf-16-le"),
        "phone,name\n+651,Ana\n+652,Bo\n".encode("utf-16-be"),
        '{"phone": "+651", "name": "Ana"}\n{"phone": "+652", "name": "Bo"}\n',
        workbook([("phone", "name"), ("+651", "Ana"), ("+652", "Bo")]),
    ],
    ids=[
        *("comma", "semicolon", "tab", "crlf", "cr", "bom", "spaces", "quotes", "bar", "said"),
        *("invisible", "utf-16", "utf-16-le", "utf-16-be", "ndjson", "xlsx"),
    ],
)
def test_every_usual_form_is_read_alike(content: str | bytes) -> None:
    columns, found = read(content)
    assert columns == ("phone", "name")
    assert [(row.phone, dict(row.values)) for row in found] == [
        ("+651", {"phone": "+651", "name": "Ana"}),
        ("+652", {"phone": "+652", "name": "Bo"}),
    ]


def test_a_file_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("phone\n+651\n")
    with open_recipients(path) as recipients:
        assert [row.phone for row in recipients] == ["+651"]


def test_a_pipe_given_as_a_path_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=["phone\n+651\n"])
    writer.start()
    with open_recipients(path) as recipients:
        assert [row.phone for row in recipients] == ["+651"]
    writer.join()


def test_line_numbers_stay_right_after_quoted_line_breaks_and_blank_lines() -> None:
    content = '\n\nphone,note\n+651,"a\nb\nc"\n\n+652,x\n,\n+653,"y\n"\n+654,z\n'
    assert rows(content) == [(4, "+651"), (8, "+652"), (10, "+653"), (12, "+654")]


def test_lines_of_ndjson_count_blank_ones() -> None:
    assert rows('\n{"phone": "1"}\n\n{"phone": "2"}\n') == [(2, "1"), (4, "2")]


def test_a_quoted_separator_does_not_decide_the_separator() -> None:
    assert read('phone;"name, first; and, last"\n1;x\n')[0] == ("phone", "name, first; and, last")


def test_a_short_row_lacks_its_last_values() -> None:
    assert read("phone,name,city\n+651,Ana\n")[1] == [
        SourceRow(2, "+651", {"phone": "+651", "name": "Ana"})
    ]


def test_a_row_without_a_phone_is_kept_so_that_it_can_be_reported() -> None:
    assert rows("name,phone\nAna\nBo,\n") == [(2, ""), (3, "")]
    assert rows('{"phone": "1"}\n{"name": "x"}\n{"phone": null}\n') == [(1, "1"), (2, ""), (3, "")]


def test_empty_fields_beyond_the_header_are_harmless() -> None:
    assert rows("phone,name\n+651,Ana,,\n") == [(2, "+651")]


def test_a_column_without_a_name_is_passed_over() -> None:
    columns, found = read(",phone,,name\n0,+651,x,Ana\n")
    assert columns == ("phone", "name")
    assert (found[0].phone, found[0].values["name"]) == ("+651", "Ana")


def test_a_header_without_rows_is_a_list_of_nobody() -> None:
    assert read("phone,name\n") == (("phone", "name"), [])


def test_json_numbers_keep_the_digits_they_are_written_with() -> None:
    line = '{"phone": 6591234567, "price": 19.90, "big": 12345678901234567890, "vip": true}'
    assert read(line)[1][0].values == {
        "phone": "6591234567",
        "price": "19.90",
        "big": "12345678901234567890",
        "vip": "true",
    }


def test_cells_of_a_workbook_read_as_they_look() -> None:
    cells = (6591234567, 19.5, 0.1 + 0.2, 3.0, True, None, datetime(2026, 11, 23), "#N/A")  # noqa: DTZ001
    header = ("phone", "price", "sum", "count", "vip", "none", "day", "error")
    values = read(workbook([header, cells]))[1][0].values
    assert list(values.values()) == [
        "6591234567",
        "19.5",
        "0.3",
        "3",
        "true",
        "",
        "2026-11-23",
        "#N/A",
    ]


def test_a_time_of_day_in_a_workbook_is_kept() -> None:
    moment = datetime(2026, 11, 23, 9, 30)  # noqa: DTZ001
    assert read(workbook([("phone", "at"), ("1", moment)]))[1][0].values["at"] == "2026-11-23 09:30"


def test_the_first_visible_sheet_of_a_workbook_is_read_past_its_blank_rows() -> None:
    book = openpyxl.Workbook()
    book.active.append(["phone", "hidden"])
    book.active.sheet_state = "hidden"
    sheet = book.create_sheet("people")
    for row in ([], ["phone", "name"], [], ["+651", "Ana"], [None, None]):
        sheet.append(row)
    book.create_sheet("other").append(["phone", "x"])
    file = io.BytesIO()
    book.save(file)
    assert read(file.getvalue()) == (
        ("phone", "name"),
        [SourceRow(4, "+651", {"phone": "+651", "name": "Ana"})],
    )


def test_values_beyond_the_header_of_a_workbook_refuse_that_row() -> None:
    found = read(workbook([("phone", "name"), ("1", "x", "y"), ("2", "z")]))[1]
    assert [(row.line, row.phone, row.fault) for row in found] == [
        (2, "1", "it has values beyond the last column of the header"),
        (3, "2", None),
    ]


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ("name,phone", "phone"),
        ("name,Phone Number", "Phone Number"),
        ("name,PHONE-NUMBER", "PHONE-NUMBER"),
        ("name,MSISDN", "MSISDN"),
        ("name,wa_id", "wa_id"),
        ("name,to", "to"),
        ("number,phone,mobile,whatsapp", "whatsapp"),
        ("number,phone,Mobile", "Mobile"),
        ("number,tel", "tel"),
        ("nombre,Teléfono", "Teléfono"),
        ("nome,Número de Celular", "Número de Celular"),
        ("Name,Handy-Nr.,Telefon", "Telefon"),
        ("nama,No. HP", "No. HP"),
        ("имя,Номер телефона", "Номер телефона"),
        ("الاسم,رقم الهاتف", "رقم الهاتف"),
        ("姓名,手机号码", "手机号码"),
        ("名前,電話番号", "電話番号"),
        ("ชื่อ,เบอร์โทรศัพท์", "เบอร์โทรศัพท์"),
        ("नाम,मोबाइल नंबर", "मोबाइल नंबर"),
        ("Name,Phone 1 - Value", "Phone 1 - Value"),
    ],
)
def test_the_phone_column_is_the_one_with_the_most_specific_name(columns: str, chosen: str) -> None:
    with open_recipients(None, stdin=io.BytesIO(columns.encode())) as recipients:
        assert recipients.phone_column == chosen


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ("", "no_header", "standard input is empty"),
        (" \n\n", "no_header", "standard input is empty"),
        ("\ufeff", "no_header", "standard input is empty"),
        (",,\n", "no_header", "has no header"),
        ("+6591234567,Ana\n", "no_header", "its first line holds data"),
        ("name,city\n", "no_phone_column", "no phone column among `name`, `city`"),
        ("phone:name\n", "no_phone_column", "among `phone:name`"),
        ("phone,name,name\n", "duplicate_column", "two columns named `name`"),
        (
            '"phone,name\n1,x\n',
            "bad_row",
            "in line 1 cannot be read: a quote in it is never closed",
        ),
        ('{"phone"\n{\n', "bad_row", "line 1 of standard input cannot be read"),
        ('[{"phone": "1"}]', "bad_row", "is a JSON array"),
        (b"phone,name\n1,Jos\x81\n", "bad_encoding", "line 2 has the byte 0x81"),
        (b"phone,name\n1,Jos\xc3\xa9\n2,\xe9\n", "bad_encoding", "line 3 has the byte 0xe9"),
        (b"\xef\xbb\xbfphone,name\n1,Jos\xe9\n", "bad_encoding", "line 2 has the byte 0xe9"),
        (b"\xff\xfep\0h\0o", "bad_encoding", "begins like UTF-16 but is not"),
        (b"PK\x03\x04 no zip", "unreadable_file", "cannot be read as an Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "unreadable_file", "an old `.xls`"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_place_and_the_remedy(
    content: str | bytes, code: str, message: str
) -> None:
    error = refused(content)
    assert error.code == code
    assert message in error.message


def test_a_list_of_an_old_spreadsheet_is_read_as_windows_1252() -> None:
    content = "téléphone;nom\n+651;Zoë “Œuf”\n".encode("windows-1252")
    with open_recipients(None, stdin=io.BytesIO(content)) as recipients:
        assert recipients.encoding == "windows-1252"
        assert [row.values["nom"] for row in recipients] == ["Zoë “Œuf”"]


@pytest.mark.parametrize("wanted", ["Contact", "contact", "CON-TACT"])
def test_the_phone_column_can_be_named(wanted: str) -> None:
    content = io.BytesIO(b"phone,Contact\n+651,+652\n")
    with open_recipients(None, stdin=content, phone_column=wanted) as recipients:
        assert [row.phone for row in recipients] == ["+652"]


def test_a_phone_column_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no column `Contakt`") as caught:
        open_recipients(None, stdin=io.BytesIO(b"a,Contact\n"), phone_column="Contakt")
    assert (caught.value.code, caught.value.hint) == ("no_phone_column", "did you mean `Contact`?")


def test_rows_that_look_empty_are_passed_over() -> None:
    assert rows("phone,name\n \u200b, \n\u200f,\u00a0\n+651,x\n") == [(4, "+651")]


def test_names_written_from_right_to_left_stay_as_they_are() -> None:
    name = "\u200fשרה\u200c"
    assert read(f"phone,name\n+651,{name}\n")[1][0].values["name"] == name


def test_a_bad_byte_far_down_is_found_by_its_line() -> None:
    content = b"phone,name\n" + b"1,x\n" * 20_000 + b"2,\x81\n"
    assert "line 20002 has the byte 0x81" in refused(content).message


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.csv", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(UsageError, match=why) as caught:
            open_recipients(path)
        assert str(path) in caught.value.message


def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("phone\n")
    path.chmod(0)
    if os.access(path, os.R_OK):
        return  # Nobody is kept from anything as root.
    with pytest.raises(UsageError, match="permission denied"):
        open_recipients(path)


def test_a_terminal_is_not_waited_for() -> None:
    with pytest.raises(UsageError, match="it is a terminal"):
        open_recipients(None, stdin=io.BytesIO(), stdin_is_terminal=True)


CELL = st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(CELL, CELL)), st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"]))
def test_everything_that_a_csv_writer_writes_is_read_back(
    records: list[tuple[str, str]], delimiter: str, end: str
) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["phone", "name"])
    writer.writerows(records)

    found = [(row.values["phone"], row.values["name"]) for row in read(file.getvalue())[1]]

    assert found == [record for record in records if not is_blank(record)]


@pytest.mark.parametrize("text", ["6.59E+10", "6,59E+10", "6.591234567e10", "'6.59E+10", "7E+9"])
def test_a_number_that_a_spreadsheet_shortened_is_named_as_such(text: str) -> None:
    assert "its digits are lost" in why_invalid(text, "SG")


@pytest.mark.parametrize(
    ("text", "country", "said"),
    [
        ("", None, "no number in this row"),
        (" ", "SG", "no number in this row"),
        ("9123 4567", None, "no + and country code, and no --country"),
        ("123", "SG", "not a phone number of SG"),
        ("call Ana", None, "not a phone number"),
    ],
)
def test_other_mistakes_have_their_own_messages(text: str, country: str | None, said: str) -> None:
    assert why_invalid(text, country) == said
