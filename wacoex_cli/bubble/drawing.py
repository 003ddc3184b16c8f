"""The bubble of a message: every component of its template, drawn without a network."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup, escape

from wacoex_cli.foundation.masking import rendered
from wacoex_cli.media.places import places_of
from wacoex_cli.media.store import MediaStore
from wacoex_cli.media.thumbnails import Album, FileGlimpse
from wacoex_cli.templates.model import Template
from wacoex_cli.templates.preview import ButtonView, HeaderView, MessageView, view
from wacoex_cli.templates.values import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wacoex_cli.foundation.state import State
    from wacoex_cli.ledger.model import Broadcast

    Plain = Callable[[str], str]
    Look = Callable[[str, str | None], FileGlimpse]

# Characters of no language: they stand around the name of a column, and for what is set aside.
_COLUMN, _END, _ASIDE = "\ue000", "\ue001", "\ue002"
_NO_MARKS = dict.fromkeys(map(ord, (_COLUMN, _END, _ASIDE)))
_NAME = re.compile(f"{_COLUMN}([^{_END}]*){_END}")
_BEFORE_QUERY = re.compile(rf"((?:{_COLUMN}[^{_END}]*{_END}|[^?{_COLUMN}])*)\?.")
_MONOSPACE = re.compile(r"```(.+?)```|`([^`\n]+)`", re.DOTALL)
_QUOTE = re.compile(r"^&gt; ?(.*)\n?", re.MULTILINE)
_BULLET = re.compile(r"^[*-] (?=\S)", re.MULTILINE)
_STYLE = re.compile(r"(?<!\w)([*_~])(?=\S)([^\n]*?\S)\1(?!\w)")
_TAGS = {"*": "b", "_": "i", "~": "s"}

MEDIA_WORDS = {"IMAGE": "Picture", "VIDEO": "Video", "GIF": "GIF", "DOCUMENT": "Document"}
_DOES = {
    "VOICE_CALL": "calls you on WhatsApp",
    "QUICK_REPLY": "sends this as a reply",
    "CATALOG": "opens the catalogue",
    "MPM": "opens the list of products",
    "SPM": "opens the product",
    "FLOW": "opens a form",
    "OTP": "copies the code",
}
_PHONE = (
    "M6 3h4l2 5-2.5 1.5a11 11 0 0 0 5 5L16 12l5 2v4a2 2 0 0 1-2 2A16 16 0 0 1 4 5a2 2 0 0 1 2-2Z"
)
_BAG = "M5 8h14l1 13H4ZM9 11V7a3 3 0 0 1 6 0v4"
_LIST = "M9 6h11M9 12h11M9 18h11M4 6h1M4 12h1M4 18h1"
_COPY = "M9 9h11v11H9ZM5 15H4V4h11v1"
ICONS = {
    "URL": "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
    "PHONE_NUMBER": _PHONE,
    "VOICE_CALL": f"{_PHONE}M15 3a6 6 0 0 1 6 6M15 7a2 2 0 0 1 2 2",
    "QUICK_REPLY": "M10 5 4 11l6 6v-4c5 0 8 1.5 10 5 0-6-3.5-10-10-10Z",
    "COPY_CODE": _COPY,
    "OTP": _COPY,
    "CATALOG": "M4 9v11h16V9M3 9l2-5h14l2 5ZM9 20v-6h6v6",
    "MPM": _LIST,
    "SPM": _BAG,
    "PRODUCT": _BAG,
    "FLOW": "M6 3h12v18H6ZM9 8h6M9 12h6M9 16h3",
    "IMAGE": "M3 5h18v14H3ZM3 16l5-5 4 4 4-4 5 5M8 9h.01",
    "DOCUMENT": "M6 2h8l4 4v16H6ZM14 2v4h4M9 12h6M9 16h6",
    "OFFER": "M3 12V4h8l10 10-7 7ZM7.5 8h.01",
    "OTHER": "M6 12h.01M12 12h.01M18 12h.01",
}
"""Each drawn with lines in a square of 24 by 24."""


class Bubble(NamedTuple):
    """A drawn message. `is_personal` says that a part of it differs from person to person."""

    html: Markup
    is_personal: bool
    has_pictures: bool


class HeaderFile(NamedTuple):
    """The file of a header; `column` is where it comes from when people get different ones."""

    glimpse: FileGlimpse
    column: str | None


def style_sheet() -> str:
    """The rules for a bubble. They use the colours of the page."""
    return files(__package__).joinpath("bubble.css").read_text(encoding="utf-8")


def bubble_of(
    state: State,
    broadcast: Broadcast,
    plain: Plain,
    time: Callable[[str], str],
    *,
    shows_all: bool,
) -> Bubble:
    """The message of a broadcast, with thumbnails of its pictures.

    Where a column names the files, it shows that of the first recipient, if others get the same.
    A file of one person alone is shown with `shows_all` only. `plain` and `time` are as for `draw`.
    """
    template = Template.from_json(json.loads(broadcast.template))
    sources = list(map(ParameterSource.from_json, json.loads(broadcast.parameter_sources)))
    kept = [source.key for source in sources if source.value is None]
    cells = {}
    for place in places_of(template, sources).in_rows:
        found = MediaStore(state).first_in(broadcast.broadcast_id, place)
        if found is not None and (found.is_shared or shows_all):
            cells[kept[place]] = found.reference
    return draw(template, sources, cells, Album(state).look, plain, time)


def draw(
    template: Template,
    sources: Sequence[ParameterSource],
    cells: Mapping[str, str],
    look: Look,
    plain: Plain,
    time: Callable[[str], str],
) -> Bubble:
    """The message of a template that is filled from these sources. Pure, but for `look`.

    A value from a column is shown as the name of the column, because it differs from person to
    person, and what was sent to one of them is nobody else's business. `cells` are references to
    files, by the keys of placeholders, that are shown anyway. `look` says what is known of a
    file, `plain` how a text may be shown: with masked numbers; `time` writes a moment.
    """
    columns = {source.key: _bare(source.column) for source in sources if source.column}
    values = {
        source.key: _value(source, cells) for source in sources if _value(source, cells) is not None
    }
    message = view(Template.from_json(_bare(template.to_json())), values)

    def words(text: str) -> Markup:
        return _with_columns(str(escape(plain(text))))

    def file_of(header: HeaderView) -> HeaderFile:
        column, shown = columns.get(header.key), header.shown
        if shown is None:
            return HeaderFile(FileGlimpse(header.file_name or ""), None)
        if column is not None and header.key not in cells:
            return HeaderFile(FileGlimpse("", why="another one for each person"), column)
        return HeaderFile(look(shown, header.file_name or names.get(shown)), column)

    def ends(moment: str) -> Markup:
        return words(moment if _COLUMN in moment else time(moment))

    names = {str(source.value): source.file for source in sources if source.file}
    html = rendered(
        __package__,
        "bubble.html.jinja",
        message=message,
        icons=ICONS,
        media_words=MEDIA_WORDS,
        words=words,
        plain=plain,
        styled=lambda text: _styled(plain(text)),
        does=lambda button: words(_does(button)),
        file_of=file_of,
        ends=ends,
        code_of=_code,
    )
    return Bubble(Markup(html), "<mark>" in html, "<img " in html)  # noqa: S704 - jinja escapes


def _value(source: ParameterSource, cells: Mapping[str, str]) -> Any:
    if source.column:
        return cells.get(source.key) or f"{_COLUMN}{_bare(source.column)}{_END}"
    return _bare(source.text if source.value is None else source.value)


def _bare(value: Any) -> Any:
    """A JSON value whose texts have none of the characters that mean something here."""
    return json.loads(json.dumps(value, ensure_ascii=False).translate(_NO_MARKS))


def _styled(text: str) -> Markup:
    """WhatsApp's own marks as HTML: *bold*, _italic_, ~struck~, `fixed`, quotes and bullets."""
    aside: list[str] = []

    def set_aside(found: re.Match[str]) -> str:
        aside.append(f'<span class="fixed">{found[1] or found[2]}</span>')
        return _ASIDE

    names = _NAME.findall(text)
    made = _MONOSPACE.sub(set_aside, str(escape(_NAME.sub(_COLUMN, text))))
    made = _QUOTE.sub(r'<span class="quote">\1</span>', _BULLET.sub("• ", made))
    made = re.sub(r"(?:^|(?<=>))[^<]+", lambda found: _with_tags(found[0]), made)
    made = re.sub(_ASIDE, lambda _: aside.pop(0), made)
    for name in names:
        made = made.replace(_COLUMN, f"<mark>{escape(name)}</mark>", 1)
    return Markup(made)  # noqa: S704 - escaped above


def _with_tags(text: str) -> str:
    return _STYLE.sub(
        lambda found: f"<{_TAGS[found[1]]}>{_with_tags(found[2])}</{_TAGS[found[1]]}>", text
    )


def _with_columns(escaped: str) -> Markup:
    made = _NAME.sub(r"<mark>\1</mark>", escaped)
    return Markup(made.translate(_NO_MARKS))  # noqa: S704 - the caller has escaped it


def _code(message: MessageView) -> str | None:
    """The code that a button of the message copies."""
    return next((button.value for button in message.buttons if button.kind == "COPY_CODE"), None)


def _does(button: ButtonView) -> str:
    """What a button does when a person taps it."""
    if button.kind == "URL":
        # What stands behind a question mark counts clicks, and means nothing to a reader.
        query = _BEFORE_QUERY.match(button.value or "")
        return f"opens {f'{query[1]}?…' if query else button.value}"
    if button.kind == "PHONE_NUMBER":
        return f"calls {button.value}"
    if button.kind == "COPY_CODE":
        return f"copies {button.value or 'a code'}"
    return _DOES.get(button.kind, button.kind.replace("_", " ").lower())
