"""An XLSX package taken apart with care, and rebuilt so that any reader can be given it.

Nothing is unpacked before the directory of the zip file was looked at, and nothing beyond what it
declares. The sheet is cut into pieces of some thousand rows, so that a reader which takes a whole
sheet at once takes little memory, however far apart the cells are.
"""

from __future__ import annotations

import contextlib
import functools
import re
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from xml.sax import SAXException

from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MOST_ROWS = 1_048_576
MOST_COLUMNS = 16_384
_MOST_UNPACKED = 1024**3
_MOST_PARTS = 20_000
_MOST_DIRECTORY = 4 * 1024**2
# A sheet packs 5 to 30 times smaller. A small part cannot do harm, however well it packs.
_MOST_RATIO = 100
_SMALL_PART = 16 * 1024**2
# What texts that are shared between cells take in memory: this much for any file, and more for a
# large one. One text takes its characters and this many bytes.
_SHARED_MEMORY = 150 * 1024**2
_SHARED_MEMORY_PER_BYTE = 10
_MOST_SHARED_MEMORY = 450 * 1024**2
_BYTES_PER_TEXT = 30
_DECLARATION_BYTES = 1024
_LONGEST_NUMBER = 8
_CHUNK_BYTES = 64 * 1024
_LONGEST_TAG = 1024**2
_LONGEST_ROW = 4 * 1024**2
_PIECE_ROWS = 5_000
_PIECE_CELLS = 500_000
_PIECE_BYTES = 8 * 1024**2
_FIRST_HIDDEN = 5
_USUAL_TAGS = frozenset({"c", "v", "is", "t", "f"})
_ALPHABET = 26

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
# A part with a password is a RuntimeError.
_UNREADABLE_PART = (
    *(KeyError, zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError),
)
_SHARED = "xl/sharedStrings.xml"
_STYLES = "xl/styles.xml"
_ENCODING = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([^"']*)["']""")
_ERROR_TYPE = re.compile(rb"""(\st\s*=\s*)(["'])e\2""")


class DamagedError(Exception):
    """The file is no workbook, or a broken one."""


class SheetEntry(NamedTuple):
    """A sheet as the workbook lists it; `part` is None when it holds no cells, such as a chart."""

    name: str
    hidden: bool
    part: str | None


class Pieces(NamedTuple):
    """What happened to a sheet: how many sheets of the new package, and what its rows say.

    `too_long` are the numbers of rows that were left out because of their size.
    """

    sheets: int
    hidden_rows: int
    first_hidden: tuple[int, ...]
    too_long: tuple[int, ...]


def open_package(title: str, stream: BinaryIO) -> zipfile.ZipFile:
    """The zip file, when its directory promises nothing that no workbook has.

    Raises:
        UsageError: it would be too large unpacked.
        DamagedError: it is no zip file.
    """
    if _directory_bytes(stream) > _MOST_DIRECTORY:
        raise _bomb(title, "its directory lists more parts than a workbook has")
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise DamagedError from error
    parts = archive.infolist()
    if len(parts) > _MOST_PARTS:
        raise _bomb(title, f"it has {len(parts):,} parts")
    plain = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    if any(part.compress_type not in plain for part in parts):
        raise DamagedError
    unpacked = sum(part.file_size for part in parts)
    if unpacked > _MOST_UNPACKED:
        raise _bomb(title, f"it would take {unpacked / 1024**3:,.1f} GiB unpacked, more than 1 GiB")
    for part in parts:
        if part.file_size > _SMALL_PART and part.file_size > _MOST_RATIO * part.compress_size:
            times = part.file_size // max(part.compress_size, 1)
            raise _bomb(title, f"a part of it grows {times:,} times when it is unpacked")
    return archive


def _directory_bytes(stream: BinaryIO) -> int:
    """How large the zip file says its directory is; Python's reader takes all of it at once."""
    stream.seek(0, 2)
    size = stream.tell()
    stream.seek(max(0, size - 66_000))
    end = stream.read()
    stream.seek(0)
    place = end.rfind(b"PK\5\6")
    if place < 0 or len(end) < place + 22:
        raise DamagedError
    (declared,) = struct.unpack_from("<I", end, place + 12)
    wide = end.rfind(b"PK\6\6", 0, place)
    if wide >= 0 and len(end) >= wide + 48:
        (wide_size,) = struct.unpack_from("<Q", end, wide + 40)
        declared = max(declared if declared != 0xFFFFFFFF else 0, wide_size)
    return int(declared)


def _bomb(title: str, why: str) -> UsageError:
    return UsageError(
        f"{title} is refused before it is unpacked: {why}",
        hint="save only the sheet with the list, as a new XLSX file or as CSV UTF-8",
        code="workbook_too_large",
    )


def _too_much(title: str) -> UsageError:
    return UsageError(
        f"{title} has more text than can be read in little memory",
        hint="save the sheet with the list as CSV UTF-8, which is read line by line",
        code="workbook_too_large",
    )


def read_part(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """The bytes of a part, piece by piece, no more than its directory entry declares.

    Raises:
        DamagedError: there is no such part, or it is not what the directory says.
    """
    try:
        with archive.open(name) as part:
            while piece := part.read(_CHUNK_BYTES):
                yield piece
    except _UNREADABLE_PART as error:
        raise DamagedError from error


class Scanner(DefusedExpatParser):
    """An XML part in UTF-8, read as a stream of tags; no entity and no document type passes."""

    _parser: Any  # of the class above, which its types do not name

    def __init__(self) -> None:
        super().__init__(forbid_dtd=True)
        self._fed = 0
        self._start = b""

    def start_element(self, name: str, attributes: Mapping[str, str]) -> None:
        """A tag begins; `name` and the names of attributes are as they are written."""

    def end_element(self, name: str) -> None:
        """A tag ends."""

    def reset(self) -> None:
        """Start again, without the handlers that nobody needs."""
        super().reset()
        parser = self._parser
        parser.CharacterDataHandler = None
        parser.ProcessingInstructionHandler = None
        parser.CommentHandler = None
        parser.StartCdataSectionHandler = None
        parser.EndCdataSectionHandler = None

    @property
    def offset(self) -> int:
        """Where in the part the present tag begins, in bytes."""
        return max(0, int(self._parser.CurrentByteIndex))

    def take(self, piece: bytes) -> None:
        """Scan the next bytes of a part.

        Raises:
            DamagedError: it is no XML in UTF-8, or has a tag of a megabyte.
        """
        if len(self._start) < _DECLARATION_BYTES:
            self._start = (self._start + piece)[:_DECLARATION_BYTES]
            declared = _ENCODING.match(self._start.removeprefix(b"\xef\xbb\xbf"))
            # In another encoding another reader would see other tags.
            if declared is not None and declared[1].lower() not in (b"utf-8", b"us-ascii"):
                raise DamagedError
        if b"\0" in piece:
            raise DamagedError
        self._fed += len(piece)
        self._parse(piece, last=False)
        if self._fed - self.offset > _LONGEST_TAG:
            raise DamagedError

    def finish(self) -> None:
        """The part is at its end. Raises DamagedError when its XML is not."""
        self._parse(b"", last=True)

    def scan(self, pieces: Iterator[bytes]) -> None:
        """Scan a part from its start to its end. Raises DamagedError as `take` does."""
        for piece in pieces:
            self.take(piece)
        self.finish()

    def _parse(self, piece: bytes, *, last: bool) -> None:
        try:
            if last:
                self.close()
            else:
                self.feed(piece)
        except (SAXException, DefusedXmlException, ValueError) as error:
            raise DamagedError from error


def local_name(name: str) -> str:
    """A name of XML without its prefix."""
    return name.rpartition(":")[2]


class _Workbook(Scanner):
    """Which sheets there are, and from when days are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.sheets: list[tuple[str, bool, str]] = []
        self.since_1904 = False

    def start_element(self, name: str, attributes: Mapping[str, str]) -> None:
        named = {local_name(key): value for key, value in attributes.items()}
        if local_name(name) == "sheet":
            hidden = named.get("state", "visible") != "visible"
            self.sheets.append((named.get("name", ""), hidden, named.get("id", "")))
        elif local_name(name) == "workbookPr":
            self.since_1904 = named.get("date1904") in {"1", "true"}


class _Links(Scanner):
    """Which part belongs to which id."""

    def __init__(self) -> None:
        super().__init__()
        self.sheets: dict[str, str] = {}

    def start_element(self, name: str, attributes: Mapping[str, str]) -> None:
        is_sheet = attributes.get("Type", "").endswith("/worksheet")
        if local_name(name) == "Relationship" and is_sheet:
            target = attributes.get("Target", "")
            absolute = target.startswith("/")
            self.sheets[attributes.get("Id", "")] = target[1:] if absolute else f"xl/{target}"


class _SharedTexts(Scanner):
    """How many texts cells share."""

    def __init__(self) -> None:
        super().__init__()
        self.texts = 0

    def start_element(self, name: str, attributes: Mapping[str, str]) -> None:
        if local_name(name) == "si":
            self.texts += 1


class _Rows(Scanner):
    """The rows of a sheet, rewritten piece by piece; each piece is a sheet of its own."""

    def __init__(self, made: zipfile.ZipFile) -> None:
        super().__init__()
        self._made = made
        self._bytes = bytearray()
        self._bytes_begin = 0
        self._is_skipping = False
        self._piece = bytearray()
        self._piece_first = 0
        self._piece_columns = 0
        self._count = 0
        self._row = 0
        self._row_text = ""
        self._row_begins = -1
        self._row_tag = ""
        self._row_has_number = True
        self._column = 0
        self._columns = 0
        self._has_error = False
        self._hidden = 0
        self._first_hidden: list[int] = []
        self._too_long: list[int] = []

    def take(self, piece: bytes) -> None:
        self._bytes += piece
        super().take(piece)
        if self._row_begins < 0:
            self._forget(self.offset)
        elif len(self._bytes) > _LONGEST_ROW:
            self._is_skipping = True
            self._forget(self.offset)

    def start_element(self, name: str, attributes: Mapping[str, str]) -> None:
        # Millions of tags come by here: the usual ones have no prefix to take off.
        tag = name if name in _USUAL_TAGS else local_name(name)
        if tag == "c":
            self._cell(attributes)
        elif tag == "row":
            self._begin_row(name, attributes)

    def end_element(self, name: str) -> None:
        if name not in _USUAL_TAGS and local_name(name) == "row":
            self._end_row(self.offset)

    def pieces(self) -> Pieces:
        """What was written, after the end of the part."""
        self._write_piece()
        return Pieces(self._count, self._hidden, tuple(self._first_hidden), tuple(self._too_long))

    def _begin_row(self, name: str, attributes: Mapping[str, str]) -> None:
        number = attributes.get("r")
        row = self._row + 1
        if number is not None:
            if not number.isascii() or not number.isdecimal():
                raise DamagedError
            row = int(number[:_LONGEST_NUMBER])
        if row <= self._row or row > MOST_ROWS or self._row_begins >= 0:
            raise DamagedError
        if attributes.get("hidden") in {"1", "true"}:
            self._hidden += 1
            if len(self._first_hidden) < _FIRST_HIDDEN:
                self._first_hidden.append(row)
        self._row, self._row_text = row, str(row)
        self._row_begins, self._row_tag = self.offset, name
        self._row_has_number = number is not None
        self._column = self._columns = 0
        self._has_error = self._is_skipping = False

    def _cell(self, attributes: Mapping[str, str]) -> None:
        if self._row_begins < 0:
            raise DamagedError
        reference = attributes.get("r")
        if reference is None:
            self._column += 1
        else:
            letters = reference.removesuffix(self._row_text)
            # A cell that says it is in another row would be put there.
            if letters == reference:
                raise DamagedError
            self._column = _column(letters)
        if self._column > self._columns:
            self._columns = self._column
            if self._column > MOST_COLUMNS:
                raise DamagedError
        if attributes.get("t") == "e":
            self._has_error = True

    def _end_row(self, ends: int) -> None:
        """Add the row to the piece; `ends` is where its end tag begins."""
        begins, self._row_begins = self._row_begins, -1
        content = bytes(self._bytes[begins - self._bytes_begin : ends - self._bytes_begin])
        self._forget(ends)
        if self._is_skipping:
            self._too_long.append(self._row)
            return
        self._make_room(len(content))
        tag = self._row_tag.encode()
        if not self._row_has_number:
            content = content.replace(b"<" + tag, b'<%b r="%d"' % (tag, self._row), 1)
        if self._has_error:
            # The reader says nothing of an error; as a text it is named for what it is.
            content = _ERROR_TYPE.sub(rb"\1\2str\2", content)
        # `<row r="7"/>` begins and ends at the same place.
        self._piece += content + b"</%b>" % tag if content else b""

    def _make_room(self, size: int) -> None:
        """Begin another piece when this row would make the present one too large."""
        columns = max(self._piece_columns, self._columns)
        rows = self._row - self._piece_first + 1
        is_large = rows > _PIECE_ROWS or rows * columns > _PIECE_CELLS
        if self._piece and (is_large or len(self._piece) + size > _PIECE_BYTES):
            self._write_piece()
        if not self._piece:
            self._piece_first, columns = self._row, self._columns
        self._piece_columns = columns

    def _write_piece(self) -> None:
        if not self._piece:
            return
        self._count += 1
        with self._made.open(f"xl/worksheets/{self._count}.xml", "w") as part:
            part.write(f'<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
            part.write(self._piece)
            part.write(b"</sheetData></worksheet>")
        self._piece.clear()

    def _forget(self, offset: int) -> None:
        if offset > self._bytes_begin:
            del self._bytes[: offset - self._bytes_begin]
            self._bytes_begin = offset


@functools.lru_cache(MOST_COLUMNS)
def _column(letters: str) -> int:
    """The number of a column, A is 1. Raises DamagedError for what is no name of a column."""
    if not letters.isascii() or not letters.isalpha():
        raise DamagedError
    column = 0
    for letter in letters[:_LONGEST_NUMBER].upper():
        column = column * _ALPHABET + ord(letter) - ord("A") + 1
    return column


class Package:
    """An XLSX file, of which one sheet is to be read. `packed_bytes` is the size of the file."""

    def __init__(self, title: str, archive: zipfile.ZipFile, packed_bytes: int) -> None:
        self._title = title
        self._archive = archive
        self._packed_bytes = packed_bytes
        workbook, links = _Workbook(), _Links()
        workbook.scan(self._small_part("xl/workbook.xml"))
        links.scan(self._small_part("xl/_rels/workbook.xml.rels"))
        self._since_1904 = workbook.since_1904
        self.sheets = [
            SheetEntry(name, hidden, links.sheets.get(link))
            for name, hidden, link in workbook.sheets
        ]

    def lay_anew(self, sheet: SheetEntry, path: Path) -> Pieces:
        """Write a sheet with cells, in pieces, as a package of its own at `path`.

        Raises:
            UsageError: it would take too much memory.
            DamagedError: a part is missing or broken.
        """
        names = self._archive.namelist()
        has_shared, has_styles = _SHARED in names, _STYLES in names
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
            rows = _Rows(made)
            rows.scan(read_part(self._archive, sheet.part or ""))
            pieces = rows.pieces()
            if has_styles:
                with made.open(_STYLES, "w") as copy:
                    for piece in self._small_part(_STYLES):
                        copy.write(piece)
            if has_shared:
                self._copy_shared(made)
            _write_frame(made, pieces.sheets, has_shared, has_styles, self._since_1904)
        return pieces

    def _small_part(self, name: str) -> Iterator[bytes]:
        with contextlib.suppress(KeyError):
            if self._archive.getinfo(name).file_size > _SMALL_PART:
                raise _too_much(self._title)
        return read_part(self._archive, name)

    def _copy_shared(self, made: zipfile.ZipFile) -> None:
        """The texts that cells share. A reader holds all of them in memory, so they are counted."""
        allowed = _SHARED_MEMORY + _SHARED_MEMORY_PER_BYTE * self._packed_bytes
        texts, size = _SharedTexts(), 0
        with made.open(_SHARED, "w") as copy:
            for piece in read_part(self._archive, _SHARED):
                texts.take(piece)
                size += len(piece)
                if size + texts.texts * _BYTES_PER_TEXT > min(allowed, _MOST_SHARED_MEMORY):
                    raise _too_much(self._title)
                copy.write(piece)
        texts.finish()


def _write_frame(
    made: zipfile.ZipFile, count: int, has_shared: bool, has_styles: bool, since_1904: bool
) -> None:
    """The parts that say which others there are."""
    numbers = range(1, count + 1)
    sheets = "".join(f'<sheet name="{n}" sheetId="{n}" r:id="s{n}"/>' for n in numbers)
    links = [_link(f"s{n}", "worksheet", f"worksheets/{n}.xml") for n in numbers]
    links += [_link("shared", "sharedStrings", "sharedStrings.xml")] if has_shared else []
    links += [_link("styles", "styles", "styles.xml")] if has_styles else []
    date1904 = '<workbookPr date1904="1"/>' if since_1904 else ""
    made.writestr("_rels/.rels", _links([_link("book", "officeDocument", "xl/workbook.xml")]))
    made.writestr("xl/_rels/workbook.xml.rels", _links(links))
    made.writestr(
        "xl/workbook.xml",
        f'<workbook xmlns="{_MAIN}" xmlns:r="{_LINKS}">{date1904}'
        f"<sheets>{sheets}</sheets></workbook>",
    )


def _link(name: str, kind: str, target: str) -> str:
    return f'<Relationship Id="{name}" Type="{_LINKS}/{kind}" Target="{target}"/>'


def _links(links: list[str]) -> str:
    return f'<Relationships xmlns="{_PACKAGE}">{"".join(links)}</Relationships>'
