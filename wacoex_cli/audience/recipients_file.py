"""A file of recipients: how it is opened, and which of its columns holds the phone numbers."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import stat
import tempfile
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Self, cast

from wacoex_cli.audience import formats
from wacoex_cli.audience.delimited import read_delimited
from wacoex_cli.audience.model import ListNotes, Sheet, SourceRow
from wacoex_cli.audience.ndjson import read_ndjson, refuse_array
from wacoex_cli.audience.phone_cells import shortened
from wacoex_cli.errors import UsageError
from wacoex_cli.templates.values import is_nothing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_MOST_SHEETS = 5

_WHATSAPP = """
    whatsapp; whatsapp number; whatsapp no; whatsapp phone; whatsapp phone number; phone whatsapp
    whatsapp id; wa id; wa number; wa; numero whatsapp; numero de whatsapp; telefono whatsapp
    nomor whatsapp; nomor wa; no wa; no whatsapp; whatsapp nummer; whatsapp numarasi
    رقم الواتساب; واتساب
    וואטסאפ; ватсап; व्हाट्सएप; whatsapp号码
"""
_MOBILE = """
    mobile; mobile number; mobile no; mobile phone; mobile phone number; cell; cell phone
    cell phone number; cell number; cellphone; msisdn; handphone; handphone number; hp; hp no
    celular; numero celular; numero de celular; movil; telefono movil; numero movil
    telemovel; telefone celular; portable; telephone portable; mobil; mobilnummer; mobiltelefon
    handy; handynummer; cellulare; numero di cellulare; mobiel; mobiel nummer; nomor hp; no hp
    telefon bimbit; nombor telefon bimbit; cep; cep telefonu; cep no; komorka; numer komorkowy
    мобильный; мобильный телефон; сотовый; мобільний; جوال; رقم الجوال; موبايل; رقم الموبايل
    נייד; טלפון נייד; मोबाइल; मोबाइल नंबर; 手机; 手机号; 手机号码; 手機; 手機號碼; 携帯; 携帯電話
    携帯電話番号; 휴대폰; 휴대폰번호; 핸드폰; มือถือ; เบอร์มือถือ; di động; số di động
"""
_PHONE = """
    phone; phone number; phone no; phone 1 value; telephone; telephone number; telephone no; tel
    tel no; e164; contact number; contact no; telefono; numero de telefono; numero di telefono
    telefone; numero de telefone; fone; numero de telephone; telefon; telefonnummer; rufnummer
    telefoon; telefoonnummer; telepon; nomor telepon; no telepon; no telp; nombor telefon
    no telefon; telefon numarasi; numer telefonu; telefonni cislo; puhelin; puhelinnumero
    телефон; номер телефона; номер телефону; τηλέφωνο; هاتف; الهاتف; رقم الهاتف; تلفن; شماره تلفن
    טלפון; מספר טלפון; फ़ोन; फ़ोन नंबर; ফোন; 电话; 电话号码; 電話; 電話號碼; 電話番号; 전화
    전화번호; โทรศัพท์; เบอร์โทร; เบอร์โทรศัพท์; điện thoại; số điện thoại; sđt
"""
_NUMBER = "number; to; numero; nummer; nomor; nombor; номер; 号码; 號碼; 番号; 번호"


def plain(name: str) -> str:
    """A name without case, accents, spaces and signs: `Nº de Teléfono` and `no_de_telefono`."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", name).casefold()))


def _names(listed: str) -> frozenset[str]:
    return frozenset(plain(name) for name in listed.replace("\n", ";").split(";")) - {""}


# From the most to the least specific; within a group no name says more than another.
PHONE_NAMES = tuple(_names(listed) for listed in (_WHATSAPP, _MOBILE, _PHONE, _NUMBER))

_WA_ID_NAMES = frozenset({"waid", "whatsappid"})
# WhatsApp writes its ids with the country code and without a plus sign, wherever the list is from.
_WA_ID = re.compile(r"[1-9][0-9]{6,14}")

_USER_ID_NAMES = tuple(
    map(
        _names,
        (
            "bsuid; wa bsuid; whatsapp bsuid; business scoped user id",
            "wa user id; whatsapp user id",
            "user id",
        ),
    )
)

_FIRST = """
    first name; firstname; given name; name; full name; contact name; customer name; customer
    nombre; nombre completo; nome; nome completo; prenom; nom; vorname; voornaam; naam; nama
    nama depan; imie; isim; ad; имя; όνομα; الاسم; שם; नाम; 名字; 姓名; 名前; 이름; ชื่อ; tên; họ tên
"""
NAME_NAMES = _names(_FIRST)
"""What a column of people's names is called."""


def first_name(values: Mapping[str, str]) -> str | None:
    """The first filled value of a row whose column is called like a name; None without one."""
    found = (
        value.strip() for column, value in values.items() if value and plain(column) in NAME_NAMES
    )
    return next((value for value in found if not is_nothing(value)), None)


_SHOWN_NAMES = ("phone", "phone_number", "mobile", "whatsapp", "msisdn", "tel", "number", "to")
_LIKE_DATA = re.compile(r"\d{6}")
_LIKE_A_NUMBER = re.compile(r"'?\+?[\d(][\d ()./-]{6,}")
# The groups of names that say that a number can get messages.
_NAMED_FOR_MESSAGES = 2


def check_header(title: str, columns: Sequence[str]) -> None:
    """Raise UsageError when the header is empty or names a column twice."""
    if not any(columns):
        raise UsageError(
            f"{title} has no header",
            hint="the first line names the columns, for example `phone,first_name`",
            code="no_header",
        )
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise UsageError(
            f"{title} has two columns named `{twice[0]}`",
            hint="rename or remove one of them",
            code="duplicate_column",
        )


class PhoneColumn(NamedTuple):
    """The column that was taken for the numbers, and those that look like one too.

    `is_certain`: it is the only one, was named by a person, or is the only one called WhatsApp, or
    the only one called mobile where none is called WhatsApp.
    """

    name: str
    others: tuple[str, ...] = ()
    is_certain: bool = True


def choose_phone_column(
    title: str, columns: Sequence[str], wanted: str | None = None
) -> PhoneColumn:
    """The column with the phone numbers: the `wanted` one, else that with the most specific name.

    Of equally good names the first is taken, and is not certain.

    Raises:
        UsageError: there is no such column, or no name is known.
    """
    if wanted is not None:
        return PhoneColumn(_named(title, columns, wanted))
    groups = [[name for name in columns if plain(name) in names] for names in PHONE_NAMES]
    *telling, plainest = groups
    for place, found in enumerate(telling):
        if found:
            others = [*found[1:], *(name for group in telling[place + 1 :] for name in group)]
            only = len(found) == 1 and place < _NAMED_FOR_MESSAGES
            return PhoneColumn(found[0], tuple(others), only or not others)
    if plainest:
        return PhoneColumn(plainest[0], tuple(plainest[1:]), len(plainest) == 1)
    if user_ids := user_id_column(columns):
        return PhoneColumn(user_ids)
    raise _no_phone_column(title, columns)


def user_id_column(columns: Sequence[str]) -> str | None:
    """The column that is named for user ids, the most specific name first; None without one."""
    found = (name for names in _USER_ID_NAMES for name in columns if plain(name) in names)
    return next(found, None)


def header_place(rows: Sequence[Sequence[str]], wanted: str | None) -> int | None:
    """Which of the first rows is the header: the first that names a phone column; else None.

    Rows above it are titles. A row with something like a phone number is data, and ends the search.
    """
    for place, row in enumerate(rows):
        names = [formats.header_name(cell) for cell in row]
        if any(_LIKE_A_NUMBER.fullmatch(name) for name in names):
            return None
        known = PHONE_NAMES if place == 0 else PHONE_NAMES[:-1]
        if _names_a_phone_column(names, wanted, (*known, *_USER_ID_NAMES)):
            return place
    return None


def _names_a_phone_column(
    names: Sequence[str], wanted: str | None, known: Sequence[frozenset[str]]
) -> bool:
    if wanted is not None:
        return plain(wanted) in map(plain, filter(None, names))
    return any(plain(name) in group for name in names for group in known)


def column_meant(wanted: str, columns: Sequence[str]) -> str | None:
    """The column of that name, or the only one that differs from it in case and signs alone."""
    if wanted in columns:
        return wanted
    found = [column for column in columns if plain(column) == plain(wanted)]
    return found[0] if len(found) == 1 else None


def columns_hint(wanted: str, columns: Sequence[str]) -> str:
    """What to write in place of a column that the list does not have."""
    near = difflib.get_close_matches(wanted, columns, n=1)
    listed = ", ".join(f"`{column}`" for column in columns)
    return f"did you mean `{near[0]}`?" if near else f"its columns are {listed}"


def _named(title: str, columns: Sequence[str], wanted: str) -> str:
    found = column_meant(wanted, columns)
    if found is None:
        raise UsageError(
            f"{title} has no column `{wanted}` for `--phone-column`",
            hint=columns_hint(wanted, columns),
            code="no_phone_column",
        )
    return found


def _no_phone_column(title: str, columns: Sequence[str]) -> UsageError:
    if any(_LIKE_DATA.search(column) for column in columns):
        return UsageError(
            f"{title} has no header: its first line holds data",
            hint="put the names of the columns on the first line, for example `phone,first_name`",
            code="no_header",
        )
    found = ", ".join(f"`{column}`" for column in columns if column)
    names = ", ".join(f"`{name}`" for name in _SHOWN_NAMES)
    return UsageError(
        f"{title} has no phone column among {found}",
        hint=f"name it with `--phone-column`, or call it one of {names};"
        " columns are separated by comma, semicolon, tab or |",
        code="no_phone_column",
    )


_ZIP = b"PK\x03\x04"
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_MAGIC_BYTES = 4
# Longer than any number, even one in a link.
_LONG = 400
_KEPT_IN_MEMORY = 8 * 1024 * 1024


class RecipientsFile:
    """An open recipients file, to be read once, from top to bottom, in little memory."""

    def __init__(
        self,
        title: str,
        stream: BinaryIO,
        phone_column: str | None,
        *,
        must_have: bool,
    ) -> None:
        self.title = title
        self._stream = stream
        self._sheet, self.encoding = _sheet(title, stream, phone_column, must_have=must_have)
        check_header(title, self._sheet.columns)
        self.columns = tuple(name for name in self._sheet.columns if name)
        is_there = phone_column and plain(phone_column) in map(plain, self.columns)
        if not (must_have or is_there):
            phone_column = None
        self._chosen = choose_phone_column(title, self.columns, phone_column)
        self.phone_column = self._chosen.name
        self.user_id_column = user_id_column(self.columns)

    def __iter__(self) -> Iterator[SourceRow]:
        """The records in order; blank ones are passed over.

        A column of WhatsApp's ids (`wa_id`) holds international digits, which get their plus sign.
        A record that cannot be read, or whose phone cell is typed as something else than text or a
        whole number, has a fault.

        Raises:
            UsageError: the file as a whole cannot be read.
        """
        phone_column, user_id_column = self.phone_column, self.user_id_column or ""
        holds_ids = plain(phone_column) in _WA_ID_NAMES
        for line, values, fault, kinds in self._sheet.records:
            phone = values.get(phone_column, "")
            if holds_ids and _WA_ID.fullmatch(phone.strip()):
                phone = f"+{phone.strip()}"
            user_id = values.get(user_id_column, "")
            if fault is None and not kinds and len(phone) < _LONG and len(user_id) < _LONG:
                yield SourceRow(line, phone, values, None, user_id)
                continue
            if fault is None and (kind := kinds.get(phone_column)):
                fault = f"{kind}, not a phone number"
            yield SourceRow(line, shortened(phone), values, fault, shortened(user_id))

    def demand_certain_column(self) -> None:
        """Raise UsageError when another column may as well hold the numbers to send to."""
        if self._chosen.is_certain:
            return
        listed = " and ".join(f"`{name}`" for name in (self._chosen.name, *self._chosen.others))
        raise UsageError(
            f"{self.title} has more than one phone column: {listed}",
            hint="name the one to send to with `--phone-column`, or rename the others",
            code="several_phone_columns",
        )

    @property
    def notes(self) -> ListNotes:
        """How the list was read."""
        sheet = self._sheet
        return ListNotes(
            phone_column=self.phone_column,
            user_id_column=self.user_id_column,
            other_phone_columns=self._chosen.others,
            encoding=self.encoding,
            title_lines=tuple(
                line._replace(text=shortened(line.text)) for line in sheet.title_lines
            ),
            sheet=sheet.name,
            other_sheets=sheet.other_sheets,
            hidden_rows=sheet.hidden_rows[0],
            first_hidden_rows=sheet.hidden_rows[1],
        )

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
    return _recipients(title, stream, phone_column, must_have=True)


def open_excluded(source: Path, phone_column: str | None) -> RecipientsFile:
    """Open a file of people to leave out; it need not have the column that the list has.

    Raises:
        UsageError: as for `open_recipients`.
    """
    return _recipients(f"`{source}`", _opened(source), phone_column, must_have=False)


def _recipients(
    title: str, stream: BinaryIO, phone_column: str | None, *, must_have: bool
) -> RecipientsFile:
    try:
        return RecipientsFile(title, stream, phone_column, must_have=must_have)
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


def _sheet(
    title: str, stream: BinaryIO, phone_column: str | None, *, must_have: bool
) -> tuple[Sheet, str | None]:
    """The sheet, and the encoding of a text file."""

    def find_header(rows: Sequence[Sequence[str]]) -> int | None:
        found = header_place(rows, phone_column)
        return header_place(rows, None) if found is None and not must_have else found

    magic = stream.read(_MAGIC_BYTES)
    stream.seek(0)
    if magic in (_ZIP, _OLD_OFFICE):
        from wacoex_cli.audience.workbook import read_workbook

        return read_workbook(title, stream, find_header), None
    encoding = formats.encoding_of(title, stream)
    rest = formats.lines(title, stream, encoding)
    for before, line in enumerate(rest):
        if line.isspace():
            continue
        if line.lstrip().startswith("["):
            raise refuse_array(title)
        if line.lstrip().startswith("{"):
            return read_ndjson(title, line, rest, before), encoding
        return read_delimited(title, line, rest, before, find_header), encoding
    raise UsageError(
        f"{title} is empty",
        hint="the first line names the columns, for example `phone,first_name`",
        code="no_header",
    )


def list_text(data: Mapping[str, Any]) -> Iterator[str]:
    """What a person should know about how the list was read, where it is not plain."""
    if data["encoding"] == formats.WINDOWS:
        yield "  the list is not UTF-8, so wacoex read it as Windows-1252: check the accents"
    for title in data["title_lines"]:
        yield f"  line {title['line']} above the header is left out: {title['text']}"
    if data["user_id_column"] not in (None, data["phone_column"]):
        yield f"  without a number, wacoex takes the user id in column `{data['user_id_column']}`"
    if data["other_phone_columns"]:
        others = ", ".join(f"`{name}`" for name in data["other_phone_columns"])
        yield (
            f"  wacoex takes the numbers from column `{data['phone_column']}`, not from {others};"
            " `--phone-column` names another"
        )
    if data["other_sheets"]:
        others = ", ".join(
            f"`{sheet['name']}`{' (hidden)' if sheet['hidden'] else ''}"
            for sheet in data["other_sheets"][:_MOST_SHEETS]
        )
        more = len(data["other_sheets"]) - _MOST_SHEETS
        yield (
            f"  sheet `{data['sheet']}` is read; not read: {others}"
            f"{f' and {more} more' if more > 0 else ''}"
        )
    if n := data["hidden_rows"]["rows"]:
        first = ", ".join(map(str, data["hidden_rows"]["first"]))
        rows = "1 hidden row" if n == 1 else f"{n} hidden rows"
        yield f"  {rows} of the sheet are in the plan too: {first}{', ...' if n > 5 else ''}"
