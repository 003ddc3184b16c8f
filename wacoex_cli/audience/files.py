"""Opening a recipients file: CSV, TSV, NDJSON or XLSX, from a path or standard input."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from wacoex_cli.audience import columns, delimited, ndjson, text, xlsx
from wacoex_cli.audience.model import Sheet, SourceRow
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ZIP = b"PK\x03\x04"
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_MAGIC_BYTES = 4
_KEPT_IN_MEMORY = 8 * 1024 * 1024


class RecipientsFile:
    """An open recipients file, to be read once, from top to bottom, in little memory."""

    def __init__(
        self,
        title: str,
        stream: BinaryIO,
        phone_column: str | None = None,
        *,
        must_have: bool = True,
    ) -> None:
        self.title = title
        self._stream = stream
        self._sheet, self.encoding = _sheet(title, stream)
        columns.check_header(title, self._sheet.columns)
        self.columns = tuple(name for name in self._sheet.columns if name)
        if phone_column and not (must_have or columns.has_column(self.columns, phone_column)):
            phone_column = None
        self.phone_column = columns.phone_column(title, self.columns, phone_column)

    def __iter__(self) -> Iterator[SourceRow]:
        """The records in order; blank ones are passed over.

        Raises:
            UsageError: a record cannot be read; the message names its line.
        """
        phone_column = self.phone_column
        for line, values in self._sheet.records:
            yield SourceRow(line, values.get(phone_column, ""), values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._stream.close()


def open_recipients(
    source: Path | None,
    *,
    stdin: BinaryIO | None = None,
    stdin_is_terminal: bool = False,
    phone_column: str | None = None,
) -> RecipientsFile:
    """Open the file at `source`, or `stdin` when `source` is None, and read its header.

    `phone_column` names the column with the numbers; without it the header decides.

    Raises:
        UsageError: it cannot be opened or decoded, or has no header or no phone column.
    """
    title = "standard input" if source is None else f"`{source}`"
    stream = _spooled_stdin(stdin, stdin_is_terminal) if source is None else _opened(source)
    try:
        return RecipientsFile(title, stream, phone_column)
    except BaseException:
        stream.close()
        raise


def open_excluded(source: Path, phone_column: str | None) -> RecipientsFile:
    """Open a file of people to leave out; it need not have the column that the list has.

    Raises:
        UsageError: as for `open_recipients`.
    """
    stream = _opened(source)
    try:
        return RecipientsFile(f"`{source}`", stream, phone_column, must_have=False)
    except BaseException:
        stream.close()
        raise


def _opened(path: Path) -> BinaryIO:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise UsageError(
            f"cannot read `{path}`: {(error.strerror or str(error)).lower()}",
            hint="check the path and its permissions",
            code="unreadable_file",
        ) from error
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    with stream:
        return _spooled(stream)


def _spooled_stdin(stdin: BinaryIO | None, is_terminal: bool) -> BinaryIO:
    if stdin is None or is_terminal or stdin.isatty():
        raise UsageError(
            "no recipients on standard input: it is a terminal",
            hint="pipe a list into wacoex, or name a file instead of `-`",
            code="unreadable_file",
        )
    return _spooled(stdin)


def _spooled(stream: BinaryIO) -> BinaryIO:
    """A copy that can be read from its start again; a large one goes to a private nameless file."""
    copy = tempfile.SpooledTemporaryFile(_KEPT_IN_MEMORY)  # noqa: SIM115  # the caller closes it
    try:
        shutil.copyfileobj(stream, copy)
        copy.seek(0)
    except BaseException:
        copy.close()
        raise
    return cast("BinaryIO", copy)


def _sheet(title: str, stream: BinaryIO) -> tuple[Sheet, str | None]:
    """The sheet, and the encoding of a text file."""
    magic = stream.read(_MAGIC_BYTES)
    stream.seek(0)
    if magic == _ZIP:
        return xlsx.read(title, stream), None
    if magic == _OLD_OFFICE:
        raise UsageError(
            f"{title} is an old `.xls` or a workbook with a password",
            hint="save it in Excel as XLSX without a password, or as CSV UTF-8",
            code="unreadable_file",
        )
    encoding = text.encoding_of(title, stream)
    rest = text.lines(title, stream, encoding)
    for before, line in enumerate(rest):
        if line.isspace():
            continue
        if line.lstrip().startswith("["):
            raise ndjson.refuse_array(title)
        read = ndjson.read if line.lstrip().startswith("{") else delimited.read
        return read(title, line, rest, before), encoding
    raise UsageError(
        f"{title} is empty",
        hint="the first line names the columns, for example `phone,first_name`",
        code="no_header",
    )
