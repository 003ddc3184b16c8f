"""What stands in a cell in place of a phone number, in words for the person who wrote it."""

from __future__ import annotations

import re

from wacoex_cli.contacts.user_ids import why_no_user_id
from wacoex_cli.foundation.phone_numbers import holds_two, misread, normalise

_SHORTENED = re.compile(r"'?\+?[0-9](?:[.,][0-9]*)?[eE]\+?[0-9]{1,2}")
_NATIONAL = re.compile(r"'?[0-9 ().\-/]+")
_PLACEHOLDERS = frozenset(
    {"-", "--", "---", "\u2013", "\u2014", ".", "?", "x", "0", "null", "none", "nil", "nan", "n/a"}
    | {"na", "n.a.", "undefined", "unknown", "(null)", "(none)", "(blank)", "leer", "keine", "\\n"}
)
# The errors of Excel, LibreOffice and Google Sheets.
_ERROR = re.compile(r"#(?:N/A|NV|REF!|VALUE!|WERT!|NAME\?|DIV/0!|NUM!|NULL!|SPILL!|CALC!|#+|"
                    r"ERROR!|GETTING_DATA|FIELD!|BLOCKED!|UNKNOWN!|CONNECT!|BUSY!)|Err:[0-9]{3}",
                    re.IGNORECASE)  # fmt: skip
_EXTENSION = re.compile(
    r"(?P<number>.*?[0-9)])\s*[,;]?\s*"
    r"(?P<word>x|ext\.?|extn\.?|extension|app\.?|durchwahl|dw\.?|klappe|nst\.?|poste|int\.?|interno"
    r"|ramal|anexo|doorkies|;ext=|#)\s*[.:]?\s*[0-9]{1,7}",
    re.IGNORECASE,
)
_LABEL = re.compile(r"(?P<label>[^\W\d_][^\d+:=]{0,30}?)\s*[.:=]?\s*(?P<number>\+?[(0-9].*)")
_MOST_SHOWN = 60


def why_invalid(text: str, country: str | None) -> str:
    """What is wrong with a text that is no phone number; `country` is the one of `--country`."""
    text = text.strip()
    if not text:
        return "no number in this row"
    if _SHORTENED.fullmatch(text):
        return (
            f"a spreadsheet shortened this number to {text} and its digits are lost:"
            " format the column as text and enter or export it again"
        )
    if _ERROR.fullmatch(text):
        return f"an error of the spreadsheet ({text}), not a number"
    if text.casefold() in _PLACEHOLDERS:
        return f"a placeholder ({text}), not a number"
    if kind := why_no_user_id(text):
        return kind
    if kind := misread(text):
        return f"{kind} ({shortened(text)}), not a phone number"
    if holds_two(text, country):
        return "two numbers in one cell: keep only the number to send to"
    if (found := _EXTENSION.fullmatch(text)) and normalise(found["number"], country):
        return f"a number with an extension ({shortened(text)}): WhatsApp has no extensions"
    if (found := _LABEL.fullmatch(text)) and normalise(found["number"], country):
        return f"a label before the number ({found['label'].strip()}): keep only the number"
    if country is None and _NATIONAL.fullmatch(text):
        return "no + and country code, and no --country"
    where = f" of {country}" if country else ""
    return f"not a phone number{where}"


def shortened(text: str) -> str:
    """The start of a text, fit for a table."""
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
