"""Files that grow beyond memory when they are read: each is refused, or read in little memory."""

from __future__ import annotations

import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.bench.harness import TEMPLATE, used_by
from tests.bench.workbook import Sheet, write_people, write_workbook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.attacks.conftest import Attack

MOST_MEGABYTES = 300
_ENTRY_BYTES = 46
MEGABYTE = b"0" * 1024**2
HEADER = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>phone</t></is></c>'
    '<c r="B1" t="inlineStr"><is><t>name</t></is></c>'
    '<c r="C1" t="inlineStr"><is><t>id</t></is></c></row>'
)
PERSON = (
    '<row r="2"><c r="A2" t="inlineStr"><is><t>+6591234567</t></is></c>'
    '<c r="B2" t="inlineStr"><is><t>Ana</t></is></c><c r="C2"><v>1</v></c></row>'
)
FAR = 1_048_576

pytestmark = pytest.mark.timeout(400)

Bomb = Callable[["Path", int], None]
"""Writes a file; the size is that of its large part, unpacked, in bytes."""


class Used(NamedTuple):
    """How a command ended and the most memory it held."""

    code: int
    megabytes: float
    said: str


def planned(attack: Attack, path: Path) -> Used:
    """Plan from a file; what the process took, whatever became of it."""
    process = attack.home.start("broadcast", "plan", str(path), *TEMPLATE, "--channel", "first")
    said, usage = used_by(process)
    return Used(process.returncode, usage.ru_maxrss / 1024, said)


def repeated(piece: bytes, size: int) -> Iterator[bytes]:
    """A piece again and again, a megabyte at a time."""
    many = piece * max(1, len(MEGABYTE) // len(piece))
    for _ in range(max(1, size // len(many))):
        yield many


def rows_of(*pieces: bytes | Iterator[bytes]) -> Sheet:
    """A sheet with a header and one person, then the content of the pieces."""

    def content() -> Iterator[bytes]:
        yield (HEADER + PERSON).encode()
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from piece

    return content()


def long_cell(path: Path, size: int) -> None:
    begins, ends = b'<row r="3"><c r="A3" t="inlineStr"><is><t>', b"</t></is></c></row>"
    write_workbook(path, rows_of(begins, noise(size), ends))


def noise(size: int) -> Iterator[bytes]:
    """Letters that do not pack well."""
    for place in range(max(1, size // 1024**2)):
        yield random_letters(place)


def random_letters(seed: int) -> bytes:
    return random.Random(seed).randbytes(512 * 1024).hex().encode()  # 1 MB


def far_cells(path: Path, size: int) -> None:
    del size
    far = (
        f'<row r="{row}"><c r="XFD{row}"><v>1</v></c></row>'.encode()
        for row in range(3, FAR, 10_000)
    )
    write_workbook(path, rows_of(far))


def wide_rows(path: Path, size: int) -> None:
    del size
    empty = '<c r="{}{}" s="0"/>'
    letters = [first + second for first in "ABCDEFGHIJ" for second in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    rows = (
        f'<row r="{row}">{"".join(empty.format(each, row) for each in letters)}</row>'.encode()
        for row in range(3, 500)
    )
    write_workbook(path, rows_of(rows))


def packed_zeros(path: Path, size: int) -> None:
    write_workbook(path, rows_of(repeated(b"0", size)))


def empty_texts(path: Path, size: int) -> None:
    write_workbook(path, rows_of(), shared=repeated(b"<si/>", size))


def long_texts(path: Path, size: int) -> None:
    write_workbook(path, rows_of(), shared=(b"<si><t>%b</t></si>" % entry for entry in noise(size)))


def long_tag(path: Path, size: int) -> None:
    write_workbook(path, rows_of(b'<row r="3" spans="', repeated(b"1", min(size, 15 * 1024**2))))


def entities(path: Path, size: int) -> None:
    del size
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    kind = f'<!DOCTYPE x [<!ENTITY e0 "{"ha" * 10}">{levels}]>'
    write_workbook(path, rows_of(b'<row r="3"><c r="A3"><v>&e9;</v></c></row>'), before=kind)


def external_entity(path: Path, size: int) -> None:
    del size
    kind = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///dev/zero">]>'
    write_workbook(path, rows_of(b'<row r="3"><c r="A3"><v>&e;</v></c></row>'), before=kind)


def many_sheets(path: Path, size: int) -> None:
    write_workbook(path, rows_of(), more_sheets=max(2_000, size // 100_000))


def many_parts(path: Path, size: int) -> None:
    """A zip file whose directory alone takes memory; its entries all point to one part."""
    entry = struct.pack("<4s2H12x2L3H12x", b"PK\1\2", 20, 20, 0, 0, 1, 0, 0)
    assert len(entry) == _ENTRY_BYTES
    count = max(100_000, size // 47)
    with path.open("wb") as file:
        file.write(struct.pack("<4s5H3L2H", b"PK\3\4", *[20, 0, 0, 0, 0], *[0, 0, 0], 1, 0) + b"x")
        begins = file.tell()
        for _ in range(count // 1_000):
            file.write((entry + b"x") * 1_000)
        length = file.tell() - begins
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, length, begins, 0))


def false_directory(path: Path, size: int) -> None:
    """The directory says that a part is small; it is not."""
    packer = zlib.compressobj(9, wbits=-15)
    packed = b"".join(map(packer.compress, repeated(b" ", size))) + packer.flush()
    write_workbook(path, rows_of(), extra={"xl/sharedStrings.xml": packed}, declared=1_000)


def long_line(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(b"phone,name,id\n+6591234567,Ana,1\n+6591234568,")
        file.writelines(repeated(b"x", size))
        file.write(b",2\n+6591234569,Cid,3\n")


def long_json(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(b'{"phone": "+6591234567", "name": "Ana", "id": 1}\n{"phone": ')
        file.writelines(repeated(b"[", size))
        file.write(b'\n{"phone": "+6591234568", "name": "Ben", "id": 2}\n')


def packed_inside(path: Path, size: int) -> None:
    """A zip file in the workbook, which nobody has to unpack."""
    inner = path.with_suffix(".zip")
    with (
        zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("zeros", "w") as part,
    ):
        part.writelines(repeated(b"0", size))
    write_workbook(path, rows_of(), extra={"xl/embeddings/inner.zip": inner.read_bytes()})


def open_quotes(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(b'phone,name,id\n+6591234567,Ana,1\n"+6591234568,')
        file.write(b"x\n" * min(size // 1_000, 200_000))


REFUSED: list[Bomb] = [
    *(packed_zeros, empty_texts, long_tag, entities, external_entity, many_parts, false_directory),
]
READ: list[Bomb] = [
    *(
        long_cell,
        far_cells,
        wide_rows,
        many_sheets,
        long_line,
        long_json,
        open_quotes,
        packed_inside,
    ),
]
SIZES = [
    20 * 1024**2,
    pytest.param(700 * 1024**2, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
]


def demand_little_memory(attack: Attack, make: Bomb, size: int, *, name: str, code: int) -> None:
    """A list that is made so large ends its plan with this exit status, within the bound."""
    path = attack.home.directory / name
    make(path, size)
    used = planned(attack, path)
    path.unlink()
    print(f"{make.__name__}: exit {used.code}, {used.megabytes:.0f} MB")
    assert used.code == code, used.said
    assert used.megabytes < MOST_MEGABYTES


@pytest.mark.parametrize("size", SIZES, ids=["short", "long"])
def test_files_that_would_grow_are_refused_in_little_memory(attack: Attack, size: int) -> None:
    for make in [*REFUSED, long_texts] if size > 100 * 1024**2 else REFUSED:
        demand_little_memory(attack, make, size, name=f"{make.__name__}.xlsx", code=2)


@pytest.mark.parametrize("size", SIZES, ids=["short", "long"])
def test_a_part_too_large_costs_its_row_and_little_memory(attack: Attack, size: int) -> None:
    for make in READ:
        demand_little_memory(attack, make, size, name=make.__name__, code=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_real_workbook_of_a_million_people_is_read_in_bounds(attack: Attack) -> None:
    path = attack.home.directory / "list.xlsx"
    write_people(path, 1_000_000)
    used = planned(attack, path)
    print(f"a million people: {used.megabytes:.0f} MB")
    assert used.code == 0, used.said
    assert used.megabytes < 700
