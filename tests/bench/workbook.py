"""A workbook of a million rows: what planning it takes, in processor time and memory.

    python -m tests.bench.workbook [ROWS]

Beside it runs what read workbooks before, openpyxl, over a tenth of the rows: both depend on the
machine, their ratio hardly does. About two minutes.
"""

from __future__ import annotations

import itertools
import sys
import time
import zipfile
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import openpyxl  # type: ignore[import-untyped]

from tests.bench.figures import Figure, finish, show
from tests.bench.harness import TEMPLATE, bench, phone, used_by

if TYPE_CHECKING:
    from pathlib import Path

MILLION = 1_000_000
MOST_MEGABYTES = 700
# A plan that read its workbook with openpyxl took more than four times as long as this one.
MOST_CPU = 1.4
_COMPARED = 10

Sheet = Iterable[bytes]
"""The rows of a sheet as XML, piece by piece."""

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def write_workbook(
    path: Path,
    rows: Sheet,
    *,
    shared: Sheet | None = None,
    before: str = "",
    more_sheets: int = 0,
    extra: Mapping[str, bytes] | None = None,
    declared: int | None = None,
) -> None:
    """Write a workbook quickly, from the XML of its rows and of the texts they share.

    `before` is above the sheet's first tag. `extra` parts are written as they are; with
    `declared` they are taken as packed already, and said to have this many bytes unpacked.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        numbers = range(1, more_sheets + 2)
        sheets = "".join(f'<sheet name="list {n}" sheetId="{n}" r:id="s{n}"/>' for n in numbers)
        links = "".join(_link(f"s{n}", "worksheet", f"worksheets/sheet{n}.xml") for n in numbers)
        if shared is not None:
            links += _link("texts", "sharedStrings", "sharedStrings.xml")
        parts = "".join(_part(f"/xl/worksheets/sheet{n}.xml", "worksheet") for n in numbers)
        parts += _part("/xl/workbook.xml", "sheet.main")
        parts += _part("/xl/sharedStrings.xml", "sharedStrings") if shared is not None else ""
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{_TYPES}">{parts}</Types>')
        archive.writestr("_rels/.rels", _links(_link("b", "officeDocument", "xl/workbook.xml")))
        archive.writestr("xl/_rels/workbook.xml.rels", _links(links))
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_LINKS}"><sheets>{sheets}</sheets></workbook>',
        )
        begins, ends = f'{before}<worksheet xmlns="{_MAIN}"><sheetData>', "</sheetData></worksheet>"
        _write(archive, "xl/worksheets/sheet1.xml", begins, rows, ends)
        for number in numbers[1:]:
            archive.writestr(f"xl/worksheets/sheet{number}.xml", begins + ends)
        if shared is not None:
            _write(archive, "xl/sharedStrings.xml", f'<sst xmlns="{_MAIN}">', shared, "</sst>")
        for name, content in (extra or {}).items():
            archive.writestr(name, content, zipfile.ZIP_STORED if declared else None)
            if declared:
                info = archive.getinfo(name)
                info.compress_type, info.file_size = zipfile.ZIP_DEFLATED, declared


def _write(archive: zipfile.ZipFile, name: str, begins: str, pieces: Sheet, ends: str) -> None:
    with archive.open(name, "w", force_zip64=True) as part:
        part.write(begins.encode())
        for piece in pieces:
            part.write(piece)
        part.write(ends.encode())


def _part(name: str, kind: str) -> str:
    return f'<Override PartName="{name}" ContentType="{_KIND}.{kind}+xml"/>'


def _link(name: str, kind: str, target: str) -> str:
    return f'<Relationship Id="{name}" Type="{_LINKS}/{kind}" Target="{target}"/>'


def _links(links: str) -> str:
    return f'<Relationships xmlns="{_PACKAGE}">{links}</Relationships>'


def write_people(path: Path, people: int) -> None:
    """Write phone, name and id of this many people, texts shared as Excel does."""
    header = "".join(f'<c r="{c}1" t="s"><v>{n}</v></c>' for n, c in enumerate("ABC"))
    rows = (
        f'<row r="{place + 2}"><c r="A{place + 2}" t="s"><v>{2 * place + 3}</v></c>'
        f'<c r="B{place + 2}" t="s"><v>{2 * place + 4}</v></c>'
        f'<c r="C{place + 2}"><v>{place}</v></c></row>'.encode()
        for place in range(people)
    )
    texts = (
        f"<si><t>{phone(place)}</t></si><si><t>Person {place}</t></si>".encode()
        for place in range(people)
    )
    names = [f"<si><t>{name}</t></si>".encode() for name in ("phone", "name", "id")]
    write_workbook(
        path,
        itertools.chain([f'<row r="1">{header}</row>'.encode()], rows),
        shared=itertools.chain(names, texts),
    )


def _read_as_before(path: Path) -> float:
    """Processor seconds that openpyxl takes to read a workbook."""
    started = time.process_time()
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    sheet = book.worksheets[0]
    sheet.reset_dimensions()
    rows = sum(1 for _ in sheet.iter_rows(values_only=True))
    book.close()
    assert rows
    return time.process_time() - started


def main() -> None:
    """Measure, and print beside the bounds."""
    people = int(sys.argv[1]) if len(sys.argv) > 1 else MILLION
    with bench() as (_, home):
        path, part = home.directory / "list.xlsx", home.directory / "part.xlsx"
        write_people(path, people)
        write_people(part, people // _COMPARED)
        command = home.start("broadcast", "plan", str(path), *TEMPLATE, "--channel", "first")
        said, usage = used_by(command)
        if command.returncode:
            sys.exit(f"the plan failed: {said}")
        cpu = usage.ru_utime + usage.ru_stime
        before = _read_as_before(part) * _COMPARED
    show(
        f"`broadcast plan` of a workbook of {people:,} rows and three columns",
        (
            Figure("CPU, to openpyxl reading alone", cpu / before, at_most=MOST_CPU, decimals=2),
            Figure("peak memory, MB", usage.ru_maxrss / 1024, at_most=MOST_MEGABYTES),
        ),
    )


if __name__ == "__main__":
    main()
    finish()
