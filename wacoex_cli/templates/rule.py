"""What a template asks for, whether wacoex can send it, and the values for one person."""

from __future__ import annotations

import difflib
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels.model import Provider
from wacoex_cli.contacts.persons import USER_ID_PREFIX
from wacoex_cli.errors import UsageError
from wacoex_cli.templates.model import BRACES, Template, kind_of, placeholders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Meta refuses a parameter with line breaks, tabs or more than four spaces in a row (132018).
_REFUSED_SPACE = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]| {5}")
_SPACE = re.compile(r"[ \t\n\v\f\r\x85\u2028\u2029]+")

_MOST_IN_HEADER = 60
_MOST_IN_BODY = 1_024
_MOST_IN_URL = 2_000

_COMPONENTS = frozenset({"HEADER", "BODY", "FOOTER", "BUTTONS"})
_BUTTONS = frozenset({"QUICK_REPLY", "URL", "PHONE_NUMBER"})
_STATUS_HINTS = {
    "PENDING": "wait for Meta's review, which usually takes less than a day",
    "IN_APPEAL": "wait for the answer to the appeal, or use another template",
    "REJECTED": "read the reason in WhatsApp Manager, edit the template and submit it again",
    "PAUSED": "Meta paused it because of low quality: 3 hours the first time, 6 hours the second;"
    " wait, or use another template",
    "DISABLED": "Meta disabled it because of low quality; write a new template",
    "PENDING_DELETION": "it is being deleted; use another template",
    "DELETED": "it was deleted; use another template",
    "LIMIT_EXCEEDED": "the WABA has too many templates; delete some that are not used",
    "ARCHIVED": "take it out of the archive in WhatsApp Manager, or use another template",
}


@dataclass(frozen=True)
class ParameterSource:
    """Where the value of a placeholder comes from: a column, or one text for everybody."""

    key: str
    column: str | None = None
    text: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """A copy to keep, as JSON values."""
        return asdict(self)


def check_sendable(template: Template) -> None:
    """Raise UsageError unless the template is approved and made of parts wacoex can fill."""
    title = f"template `{template.name}` ({template.language})"
    if template.status != "APPROVED":
        raise UsageError(
            f"{title} cannot be sent: its status is {template.status}",
            hint=_STATUS_HINTS.get(template.status, "use an approved template"),
            code="template_not_approved",
        )
    if unfillable := next(_unfillable(template), None):
        raise UsageError(
            f"{title} has {unfillable}, which wacoex cannot fill",
            hint="use a template with a text header, a body, and reply, phone or URL buttons",
            code="template_unsupported",
        )


def resolve_sources(
    template: Template,
    params: Mapping[str, str],
    texts: Mapping[str, str],
    columns: Sequence[str],
) -> tuple[ParameterSource, ...]:
    """One source for each placeholder, in the order of `placeholders`.

    `params` maps keys to columns, `texts` maps keys to one value for everybody. A named
    placeholder that neither mentions takes the column of exactly its name.

    Raises:
        UsageError: an unknown key or column, a key given twice, or a placeholder without source.
    """
    wanted = placeholders(template)
    _check_keys(template, [place.key for place in wanted], params, texts)
    listed = "the file has the columns " + ", ".join(f"`{column}`" for column in columns)
    for key, column in params.items():
        if column not in columns:
            raise UsageError(
                f"the recipients file has no column `{column}` (for placeholder `{key}`)",
                hint=_nearest(column, columns) or listed,
                code="unknown_column",
            )
    sources, missing = [], []
    for place in wanted:
        if place.key in texts:
            sources.append(ParameterSource(place.key, text=texts[place.key]))
        elif place.key in params:
            sources.append(ParameterSource(place.key, column=params[place.key]))
        elif template.is_named and place.where != "button" and place.name in columns:
            sources.append(ParameterSource(place.key, column=place.name))
        else:
            missing.append(place)
    if missing:
        keys = ", ".join(f"`{place.key}`" for place in missing)
        options = " ".join(f"--param {place.key}=COLUMN" for place in missing)
        example = f" (for example `{missing[0].example}`)" if missing[0].example else ""
        raise UsageError(
            f"template `{template.name}` has nothing to put in for {keys}{example}",
            hint=f"add `{options}`, or `--text {missing[0].key}=VALUE`; {listed}",
            code="missing_parameter",
        )
    return tuple(sources)


def fill(sources: Sequence[ParameterSource], values: Mapping[str, str]) -> tuple[str, ...] | None:
    """The values of one row for a message, None when one of them is empty.

    Outer spaces go. White space that Meta refuses inside a parameter becomes single spaces.
    """
    filled = []
    for source in sources:
        value = (values.get(source.column, "") if source.column else source.text or "").strip()
        if not value:
            return None
        filled.append(_SPACE.sub(" ", value) if _REFUSED_SPACE.search(value) else value)
    return tuple(filled)


def what_is_empty(sources: Sequence[ParameterSource], values: Mapping[str, str]) -> str:
    """Why `fill` gives nothing for a row: the columns that are empty in it, each once."""
    columns = dict.fromkeys(source.column for source in sources if source.column)
    empty = [f"`{column}`" for column in columns if not values.get(column, "").strip()]
    return f"{', '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty" if empty else ""


class TextLimit(NamedTuple):
    """How many characters a part of a message may have, and what they come from.

    `fixed` are those of the template itself, `places` the values that are put in, in the order of
    `fill`; a value that stands twice counts twice.
    """

    part: str
    most: int
    fixed: int
    places: tuple[int, ...]


def text_limits(template: Template, sources: Sequence[ParameterSource]) -> tuple[TextLimit, ...]:
    """The parts of a message that have something to put in, with their limits.

    Source: Meta, template components and "text object" of a message (header 60, body 1,024, URL
    2,000 characters, each with what is put in); a longer message fails with 132005.
    """
    place_of = {source.key: place for place, source in enumerate(sources)}
    texts = [
        ("header", _MOST_IN_HEADER, "header.", str(template.component("HEADER").get("text", ""))),
        ("body", _MOST_IN_BODY, "", str(template.component("BODY").get("text", ""))),
    ]
    found = [
        TextLimit(
            part,
            most,
            len(BRACES.sub("", text)),
            tuple(place_of[f"{prefix}{name}"] for name in BRACES.findall(text)),
        )
        for part, most, prefix, text in texts
    ]
    for index, button in enumerate(template.buttons):
        if (place := place_of.get(f"button.{index}")) is not None:
            url = BRACES.sub("", str(button.get("url", "")))
            found.append(TextLimit("URL of a button", _MOST_IN_URL, len(url), (place,)))
    return tuple(limit for limit in found if limit.places)


def beyond_limit(limits: Sequence[TextLimit], values: Sequence[str]) -> str | None:
    """Which part of a message would have more characters than Meta takes; None when all fit."""
    for limit in limits:
        length = limit.fixed + sum(len(values[place]) for place in limit.places)
        if length > limit.most:
            return f"the {limit.part} would have {length:,} characters, Meta takes {limit.most:,}"
    return None


def empty_keys(sources: Sequence[ParameterSource], values: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of the placeholders that a row leaves empty: why `fill` gave None."""
    return tuple(source.key for source in sources if fill([source], values) is None)


def _unfillable(template: Template) -> Iterator[str]:
    if template.category == "AUTHENTICATION":
        yield "a one-time password (category AUTHENTICATION)"
    for part in template.components:
        kind = kind_of(part)
        if kind not in _COMPONENTS:
            yield f"a component of type {kind or 'unknown'}"
        media = str(part.get("format", "TEXT")).upper()
        if kind == "HEADER" and media != "TEXT":
            yield f"a header of format {media}"
    for button in template.buttons:
        if kind_of(button) not in _BUTTONS:
            yield f"a button of type {kind_of(button) or 'unknown'}"


def _check_keys(
    template: Template, known: Sequence[str], params: Mapping[str, str], texts: Mapping[str, str]
) -> None:
    names = ", ".join(f"`{name}`" for name in known)
    listed = (
        f"it has {names}" if known else "it has no placeholders: leave `--param` and `--text` out"
    )
    for key in [*params, *texts]:
        if key not in known:
            raise UsageError(
                f"template `{template.name}` has no placeholder `{key}`",
                hint=_nearest(key, known) or listed,
                code="unknown_placeholder",
            )
        if key in params and key in texts:
            raise UsageError(
                f"placeholder `{key}` has both a column and a text",
                hint=f"give either `--param {key}=COLUMN` or `--text {key}=VALUE`",
            )
        if key in texts and not texts[key].strip():
            raise UsageError(
                f"the text for placeholder `{key}` is empty",
                hint="Meta refuses empty parameters; give it a text",
            )


def _nearest(word: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean `{near[0]}`?" if near else None


def message_body(
    template: Template,
    keys: Sequence[str],
    values: Sequence[str],
    to: str,
    attempt_id: str,
) -> dict[str, Any]:
    """The JSON of one template message. Source: "Meta: send messages".

    `keys` are those of the resolved sources, `values` what `fill` gave for them, `to` is E.164
    with its plus, or `user_id:...` (Meta: business-scoped user ids), and `attempt_id` comes back in
    every status event.
    """
    person = {"to": to}
    if to.startswith(USER_ID_PREFIX):
        person = {"recipient": to.removeprefix(USER_ID_PREFIX)}
    content: dict[str, Any] = {"name": template.name, "language": {"code": template.language}}
    if keys:
        content["components"] = _components(template.is_named, keys, values)
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **person,
        "type": "template",
        "template": content,
        "biz_opaque_callback_data": attempt_id,
    }


def why_not_to_user_ids(template: Template, provider: Provider) -> str | None:
    """Why a template cannot go to a person by a user id; None where it can.

    respond.io knows contacts by their numbers; Meta sends login codes to numbers only (131062).
    Sources: "respond.io: identifiers of contacts", "Meta: error codes".
    """
    if provider is Provider.RESPONDIO:
        return "respond.io sends to numbers only, and wacoex does not know this person's number"
    if template.category == "AUTHENTICATION":
        return (
            "Meta sends login codes to numbers only (131062), and wacoex does not know this"
            " person's number"
        )
    return None


def preview(template: Template, values: Sequence[str]) -> str:
    """The text a person will read, values in placeholder order.

    Buttons stand in square brackets, the media of a header as `(IMAGE)`.
    """
    keys = (place.key for place in placeholders(template))
    known = dict(zip(keys, values, strict=True))
    media = template.header_format
    header = f"({media})"
    if media in (None, "TEXT"):
        header = _filled(template.component("HEADER"), "header.", known)
    parts = [
        header,
        _filled(template.component("BODY"), "", known),
        _filled(template.component("FOOTER"), "", {}),
        "\n".join(_button(index, button, known) for index, button in enumerate(template.buttons)),
    ]
    return "\n\n".join(part for part in parts if part)


def _components(is_named: bool, keys: Sequence[str], values: Sequence[str]) -> list[dict[str, Any]]:
    header: list[dict[str, str]] = []
    body: list[dict[str, str]] = []
    buttons: list[dict[str, Any]] = []
    for key, value in zip(keys, values, strict=True):
        parameter = {"type": "text", "text": value}
        place, dot, name = key.partition(".")
        if dot and place == "button":
            button = {"type": "button", "sub_type": "url", "index": name}
            buttons.append({**button, "parameters": [parameter]})
            continue
        if is_named:
            parameter["parameter_name"] = name if dot else key
        (header if dot else body).append(parameter)
    texts = (("header", header), ("body", body))
    filled = [{"type": kind, "parameters": given} for kind, given in texts if given]
    return [*filled, *buttons]


def _filled(part: Mapping[str, Any], prefix: str, known: Mapping[str, str]) -> str:
    text = str(part.get("text", ""))
    return BRACES.sub(lambda found: known.get(f"{prefix}{found[1]}", found[0]), text)


def _button(index: int, button: Mapping[str, Any], known: Mapping[str, str]) -> str:
    label = f"[{button.get('text', '')}]"
    if kind_of(button) == "PHONE_NUMBER":
        return f"{label} {button.get('phone_number', '')}"
    if kind_of(button) != "URL":
        return label
    value = known.get(f"button.{index}")
    url = str(button.get("url", ""))
    return f"{label} {url if value is None else BRACES.sub(lambda _: value, url)}"
