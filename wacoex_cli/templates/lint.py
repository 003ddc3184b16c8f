"""What Meta would refuse in a template, before it is sent for review. Pure.

Sources: "Meta: template components" and "Meta: message template guidelines". Which rule gives which
subcode is uncertain; other providers and people name 2388040 (too long), 2388047, 2388072, 2388073
(format of header, body, footer), 2388293 (too many variables), 2388299 (a variable at an end) and
2388043 (a missing example). wacoex shows what Meta says of each.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.errors import counted
from wacoex_cli.templates.files import EXAMPLE
from wacoex_cli.templates.model import NAMED, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from wacoex_cli.templates.files import Draft

ERROR, WARNING = "error", "warning"
HANDLE = "handle"
"""The rule of the example that Meta never gives back, and demands when a template is written."""

_NAME = re.compile(r"[a-z0-9_]{1,512}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Za-z]{2,4})?")
_PLACE = re.compile(r"\{\{(.*?)\}\}")
_NAMED_PLACE = re.compile(r"[a-z][a-z0-9_]*")
_STRAY = re.compile(r"\{\{|\}\}")
# Pictures, flags and what joins them; signs such as © are letters here.
_EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f]")
_MOST_CHARACTERS = {"HEADER": 60, "BODY": 1024, "FOOTER": 60}
_MOST_IN_CARD = 160
_MOST_IN_BUTTON, _MOST_IN_URL, _MOST_IN_PHONE, _MOST_IN_CODE = 25, 2000, 20, 15
_MOST_BUTTONS = 10
_MOST_OF_A_KIND = {
    "QUICK_REPLY": 10,
    "URL": 2,
    **dict.fromkeys(
        ("PHONE_NUMBER", "COPY_CODE", "CATALOG", "MPM", "SPM", "FLOW", "VOICE_CALL", "OTP"), 1
    ),
}
_ALONE = ("CATALOG", "MPM", "SPM", "OTP")
_WITHOUT_TEXT = ("COPY_CODE", "OTP", "CATALOG", "MPM", "SPM")
_FORMATS = ("TEXT", "IMAGE", "VIDEO", "GIF", "DOCUMENT", "LOCATION", "PRODUCT")
_WITH_FILE = ("IMAGE", "VIDEO", "GIF", "DOCUMENT")
_PARTS = (
    *("HEADER", "BODY", "FOOTER", "BUTTONS", "CAROUSEL", "LIMITED_TIME_OFFER"),
    "CALL_PERMISSION_REQUEST",
)
_FEWEST_CARDS, _MOST_CARDS = 2, 10
_LINK_HOSTS = ("//wa.me/", "//chat.whatsapp.com/", "//api.whatsapp.com/")
_AFTER_LAST_WORD = " \n.!?,;:)"


class BrokenRule(NamedTuple):
    """One thing that Meta refuses (`error`) or often refuses (`warning`), and what to do."""

    rule: str
    level: str
    place: str
    text: str
    hint: str


def lint(draft: Draft) -> list[BrokenRule]:
    """The rules that a template breaks, in the order of its parts; none when Meta may take it.

    Whether Meta finds its text proper, only the review says.
    """
    return list(_problems(draft))


def refused(draft: Draft) -> list[BrokenRule]:
    """The problems for which Meta surely refuses to create or to edit it."""
    return [each for each in lint(draft) if each.level == ERROR or each.rule == HANDLE]


def _problems(draft: Draft) -> Iterator[BrokenRule]:
    if not _NAME.fullmatch(draft.name):
        yield _error(
            "name", "name", f"`{draft.name}` is not a name that Meta takes", "use a-z, 0-9 and _"
        )
    if not _LANGUAGE.fullmatch(draft.language):
        yield _error(
            "language", "language", f"`{draft.language}` is not a language code", "such as `en_US`"
        )
    kinds = [kind_of(part) for part in draft.components]
    for kind in dict.fromkeys(kinds):
        if kind not in _PARTS:
            yield _error("component", kind, f"Meta has no component {kind}", "take it out")
        elif kinds.count(kind) > 1:
            yield _error("component", kind.lower(), f"{kind} is in it twice", "keep one of them")
    if "BODY" not in kinds:
        yield _error("component", "body", "the template has no body", 'add `type = "BODY"`')
    is_named = draft.parameter_format == NAMED
    is_authentication = draft.category == "AUTHENTICATION"
    for part in draft.components:
        kind = kind_of(part)
        if kind in _MOST_CHARACTERS and not is_authentication:
            yield from _text_problems(part, kind, kind.lower(), is_named, _MOST_CHARACTERS[kind])
        elif kind == "BUTTONS":
            yield from _button_problems(part.get("buttons"), "button", draft.category)
        elif kind == "CAROUSEL":
            yield from _card_problems(part.get("cards"), is_named, draft.category)


def _text_problems(
    part: Mapping[str, Any], kind: str, where: str, is_named: bool, most: int
) -> Iterator[BrokenRule]:
    form = str(part.get("format") or "TEXT").upper() if kind == "HEADER" else "TEXT"
    if form not in _FORMATS:
        yield _error("header", where, f"Meta has no header {form}", f"use {', '.join(_FORMATS)}")
    elif form in _WITH_FILE:
        handles = _example(part).get("header_handle")
        if part.get(EXAMPLE) is not None:
            return
        if not isinstance(handles, list) or not handles:
            yield BrokenRule(
                HANDLE,
                WARNING,
                where,
                f"the {form} has no example: Meta demands one for a new template and for an edit",
                f'add `{EXAMPLE} = "menu.jpg"`: a file beside this one, which a push uploads',
            )
        elif any(str(handle).startswith("http") for handle in handles):
            yield _error(
                "example", where, "`header_handle` is a link", "give the handle of an uploaded file"
            )
    if form != "TEXT":
        return
    text = part.get("text")
    if not isinstance(text, str) or not text.strip():
        yield _error("text", where, "the text is missing", "add `text`")
        return
    if len(text) > most:
        yield _error(
            "length", where, f"{len(text)} characters, {most} are allowed", "make it shorter"
        )
    if kind == "HEADER" and re.search(r"[\n*_~`]", _PLACE.sub("", text)):
        yield _error(
            "format", where, "a header takes no line break and no * _ ~ `", "take them out"
        )
    if kind == "HEADER" and _EMOJI.search(text):
        yield _error("format", where, "a header takes no emoji", "put it into the body")
    if kind == "BODY" and "\n\n\n" in text.replace("\r\n", "\n"):
        yield BrokenRule(
            "format",
            WARNING,
            where,
            "there are more than two line breaks in a row",
            "keep two: Meta does not say this, but has refused such texts",
        )
    yield from _place_problems(part, kind, where, text, is_named)


def _place_problems(
    part: Mapping[str, Any], kind: str, where: str, text: str, is_named: bool
) -> Iterator[BrokenRule]:
    written = [place.strip() for place in _PLACE.findall(text)]
    names = list(dict.fromkeys(written))
    if _STRAY.search(_PLACE.sub("", text)):
        yield _error("variable", where, "a variable is not closed", "write {{1}} or {{first_name}}")
    if not names:
        return
    if kind == "FOOTER":
        yield _error("variable", where, "a footer takes no variables", "write plain text")
        return
    if kind == "HEADER" and len(names) > 1:
        yield _error("variable", where, "a header takes one variable", "keep one of them")
    if is_named:
        wrong = [name for name in names if not _NAMED_PLACE.fullmatch(name)]
        if wrong:
            yield _error(
                "variable",
                where,
                f"{{{{{wrong[0]}}}}} is not a name of a variable",
                "use a-z, 0-9 and _, a letter first; or set parameter_format to POSITIONAL",
            )
    elif names != [str(number + 1) for number in range(len(names))]:
        shown = ", ".join(f"{{{{{name}}}}}" for name in names)
        yield _error(
            "variable",
            where,
            f"the variables are {shown}",
            "number them {{1}}, {{2}} in order; names need parameter_format = NAMED",
        )
    yield from _example_problems(part, kind, where, names, is_named)
    if kind == "BODY":
        yield from _balance_problems(where, text, len(written))


def _example_problems(
    part: Mapping[str, Any], kind: str, where: str, names: Sequence[str], is_named: bool
) -> Iterator[BrokenRule]:
    example, key = _example(part), f"{kind.lower()}_text"
    if is_named:
        rows = example.get(f"{key}_named_params")
        rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        given = {str(row.get("param_name")) for row in rows if row.get("example")}
        missing = [name for name in names if name not in given]
        extra = sorted(given - set(names))
    else:
        rows = example.get(key)
        rows = rows if isinstance(rows, list) else []
        values = rows[0] if rows and isinstance(rows[0], list) else rows
        missing = [name for number, name in enumerate(names) if not any(values[number:][:1])]
        extra = [str(value) for value in values[len(names) :]]
    if missing:
        shown = ", ".join(f"{{{{{name}}}}}" for name in missing)
        yield _error("example", where, f"no example for {shown}", f"add it to `example.{key}...`")
    if extra:
        yield _error("example", where, f"an example for nothing: {extra[0]}", "take it out")


def _balance_problems(where: str, text: str, count: int) -> Iterator[BrokenRule]:
    if text.lstrip().startswith("{{"):
        yield _error("ends", where, "it begins with a variable", "put a word before it")
    if text.rstrip(_AFTER_LAST_WORD).endswith("}}"):
        yield _error(
            "ends",
            where,
            "it ends with a variable",
            "put a word after it: a full stop is not enough",
        )
    if re.search(r"\}\}\s*\{\{", text):
        yield BrokenRule(
            "ratio",
            WARNING,
            where,
            "there is no word between two variables",
            "put a word between them: Meta often refuses this",
        )
    words = sum(any(map(str.isalnum, word)) for word in _PLACE.sub(" ", text).split())
    if words < 2 * count:
        yield _error(
            "ratio",
            where,
            f"{counted(words, 'word')} for {counted(count, 'variable')}",
            "write more text or take a variable out: Meta calls this too many variables",
        )
    elif words < 3 * count + 1:
        yield BrokenRule(
            "ratio",
            WARNING,
            where,
            f"{counted(words, 'word')} for {counted(count, 'variable')}",
            "Meta does not say its limit; three words for each variable were always enough",
        )


def _button_problems(buttons: object, where: str, category: str) -> Iterator[BrokenRule]:
    if not isinstance(buttons, list) or not buttons:
        yield _error("buttons", where, "there is no button in it", "add one, or take BUTTONS out")
        return
    known = [button for button in buttons if isinstance(button, dict)]
    kinds = [kind_of(button) for button in known]
    if len(buttons) > _MOST_BUTTONS:
        yield _error("buttons", where, f"{len(buttons)} buttons, 10 are allowed", "take some out")
    for kind in dict.fromkeys(kinds):
        most = _MOST_OF_A_KIND.get(kind)
        if most is None:
            yield _error("buttons", where, f"Meta has no button {kind}", "take it out")
        elif kinds.count(kind) > most:
            yield _error("buttons", where, f"{kinds.count(kind)} {kind}, {most} allowed", "fewer")
        elif kind in _ALONE and len(kinds) > 1:
            yield _error(
                "buttons", where, f"{kind} takes no other button beside it", "take the others out"
            )
    replies = [kind == "QUICK_REPLY" for kind in kinds]
    if sum(before != after for before, after in pairwise(replies)) > 1:
        yield _error(
            "order",
            where,
            "other buttons separate the quick replies",
            "put all quick replies together, before or after the others",
        )
    if "COPY_CODE" in kinds and category == "UTILITY":
        yield _error("buttons", where, "a UTILITY template takes no COPY_CODE", "use MARKETING")
    for number, (kind, button) in enumerate(zip(kinds, known, strict=True), start=1):
        yield from _single_button(kind, button, f"{where} {number}")


def _single_button(kind: str, button: Mapping[str, Any], where: str) -> Iterator[BrokenRule]:
    text = button.get("text")
    if kind not in _WITHOUT_TEXT and not (isinstance(text, str) and text.strip()):
        yield _error("text", where, "the text is missing", "add `text`")
    elif isinstance(text, str) and len(text) > _MOST_IN_BUTTON:
        yield _error("length", where, f"{len(text)} characters, 25 are allowed", "make it shorter")
    if isinstance(text, str) and "{{" in text:
        yield _error("variable", where, "the text of a button takes no variables", "plain text")
    if kind == "PHONE_NUMBER":
        phone = str(button.get("phone_number", ""))
        if not re.fullmatch(r"\+?[0-9]+", phone) or len(phone) > _MOST_IN_PHONE:
            yield _error(
                "phone", where, f"`{phone}` is not a phone number", "with country code, digits only"
            )
    elif kind == "COPY_CODE":
        example = button.get("example")
        code = example[0] if isinstance(example, list) and example else example
        if not code or len(str(code)) > _MOST_IN_CODE:
            yield _error(
                "example", where, "an example of the code is needed", "15 characters at most"
            )
    elif kind == "URL":
        yield from _url_problems(str(button.get("url", "")), button.get("example"), where)


def _url_problems(url: str, example: object, where: str) -> Iterator[BrokenRule]:
    places = _PLACE.findall(url)
    if not url.startswith(("https://", "http://")):
        yield _error("url", where, f"`{url}` is not an address", "it begins with https://")
    if len(url) > _MOST_IN_URL:
        yield _error("length", where, f"{len(url)} characters, 2000 are allowed", "make it shorter")
    if any(host in url for host in _LINK_HOSTS):
        yield _error(
            "url", where, "Meta takes no link to WhatsApp in a button", "use a quick reply"
        )
    if len(places) > 1 or (places and not url.endswith("}}")):
        yield _error("url", where, "an address takes one variable, at its end", "move it there")
    if places and places[0].strip() != "1":
        yield _error("variable", where, f"{{{{{places[0]}}}}} in an address", "write {{1}}")
    if places and not example:
        yield _error("example", where, "no example of the whole address", "add `example`")


def _card_problems(cards: object, is_named: bool, category: str) -> Iterator[BrokenRule]:
    known = [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []
    if not _FEWEST_CARDS <= len(known) <= _MOST_CARDS:
        yield _error(
            "cards", "carousel", f"{len(known)} cards, 2 to 10 are allowed", "add or remove"
        )
    shapes = []
    for number, card in enumerate(known, start=1):
        parts = [part for part in card.get("components") or () if isinstance(part, dict)]
        buttons: list[str] = []
        for part in parts:
            kind, where = kind_of(part), f"card {number} {kind_of(part).lower()}"
            if kind in ("HEADER", "BODY"):
                yield from _text_problems(part, kind, where, is_named, _MOST_IN_CARD)
            elif kind == "BUTTONS":
                yield from _button_problems(part.get("buttons"), f"card {number} button", category)
                buttons = [kind_of(button) for button in part.get("buttons") or ()]
            else:
                yield _error("cards", where, f"a card takes no {kind}", "take it out")
        shapes.append((sorted(map(kind_of, parts)), buttons))
    if any(before != after for before, after in pairwise(shapes)):
        yield _error(
            "cards",
            "carousel",
            "the cards differ in parts or buttons",
            "give each card the parts of the first",
        )


def _example(part: Mapping[str, Any]) -> Mapping[str, Any]:
    example = part.get("example")
    return example if isinstance(example, dict) else {}


def _error(rule: str, place: str, text: str, hint: str) -> BrokenRule:
    return BrokenRule(rule, ERROR, place, text, hint)
