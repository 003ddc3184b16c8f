"""What a template asks for, whether wacoex can send it, and the values for one person."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import UsageError
from wacoex_cli.templates.model import (
    BRACES,
    MEDIA_FORMATS,
    Template,
    ValueKind,
    component_of,
    kind_of,
    placeholders,
)
from wacoex_cli.templates.values import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOST_IN_HEADER = 60
_MOST_IN_BODY = 1_024
_MOST_IN_URL = 2_000

_COMPONENTS = frozenset({"HEADER", "BODY", "FOOTER", "BUTTONS"})
_HEADERS = frozenset({"TEXT", "LOCATION", *MEDIA_FORMATS}) - {"GIF"}
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
    template: Template, given: Sequence[ParameterSource], columns: Sequence[str]
) -> tuple[ParameterSource, ...]:
    """One source for each placeholder that has to be filled, in the order of `placeholders`.

    `given` are those that somebody named. A named placeholder of a text that nobody named takes the
    column of exactly its name; an optional one may stay without.

    Raises:
        UsageError: an unknown key or column, a key given twice, or a placeholder without source.
    """
    wanted = placeholders(template)
    _check_keys(template, [place.key for place in wanted], given)
    listed = "the file has the columns " + ", ".join(f"`{column}`" for column in columns)
    for source in given:
        if source.column is not None and source.column not in columns:
            raise UsageError(
                f"the recipients file has no column `{source.column}`"
                f" (for placeholder `{source.key}`)",
                hint=_nearest(source.column, columns) or listed,
                code="unknown_column",
            )
    by_key = {source.key: source for source in given}
    sources, missing = [], []
    for place in wanted:
        is_named_text = template.is_named and place.kind is ValueKind.TEXT and place.index is None
        if place.key in by_key:
            sources.append(replace(by_key[place.key], is_optional=place.is_optional))
        elif is_named_text and place.name in columns:
            source = ParameterSource(place.key, column=place.name, is_optional=place.is_optional)
            sources.append(source)
        elif not place.is_optional:
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
    kept = [source.key for source in sources if source.value is None]
    place_of = {key: place for place, key in enumerate(kept)}
    fixed = {source.key: str(source.value) for source in sources if source.value is not None}

    def limit(part: str, most: int, text: str, keys: Sequence[str]) -> TextLimit:
        own = len(BRACES.sub("", text)) + sum(len(fixed.get(key, "")) for key in keys)
        return TextLimit(part, most, own, tuple(place_of[key] for key in keys if key in place_of))

    def in_text(part: str, most: int, text: str, prefix: str) -> TextLimit:
        return limit(part, most, text, [f"{prefix}{name}" for name in BRACES.findall(text)])

    header = component_of(template.components, "HEADER")
    body = component_of(template.components, "BODY")
    found = [
        in_text("header", _MOST_IN_HEADER, str(header.get("text", "")), "header."),
        in_text("body", _MOST_IN_BODY, str(body.get("text", "")), ""),
    ]
    for index, button in enumerate(template.buttons):
        if kind_of(button) == "URL":
            url = str(button.get("url", ""))
            found.append(limit("URL of a button", _MOST_IN_URL, url, [f"button.{index}"]))
    return tuple(limit for limit in found if limit.places)


def beyond_limit(limits: Sequence[TextLimit], values: Sequence[str]) -> str | None:
    """Which part of a message would have more characters than Meta takes; None when all fit."""
    for limit in limits:
        length = limit.fixed + sum(len(values[place]) for place in limit.places)
        if length > limit.most:
            return f"the {limit.part} would have {length:,} characters, Meta takes {limit.most:,}"
    return None


def _unfillable(template: Template) -> Iterator[str]:
    if template.category == "AUTHENTICATION":
        yield "a one-time password (category AUTHENTICATION)"
    for part in template.components:
        kind = kind_of(part)
        if kind not in _COMPONENTS:
            yield f"a component of type {kind or 'unknown'}"
        media = str(part.get("format", "TEXT")).upper()
        if kind == "HEADER" and media not in _HEADERS:
            yield f"a header of format {media}"
    for button in template.buttons:
        if kind_of(button) not in _BUTTONS:
            yield f"a button of type {kind_of(button) or 'unknown'}"


def _check_keys(template: Template, known: Sequence[str], given: Sequence[ParameterSource]) -> None:
    names = ", ".join(f"`{name}`" for name in known)
    listed = (
        f"it has {names}" if known else "it has no placeholders: leave `--param` and `--text` out"
    )
    seen: dict[str, ParameterSource] = {}
    for source in given:
        key = source.key
        if key not in known:
            raise UsageError(
                f"template `{template.name}` has no placeholder `{key}`",
                hint=_nearest(key, known) or listed,
                code="unknown_placeholder",
            )
        if key in seen:
            raise _given_twice(seen[key], source)
        seen[key] = source
        if source.text is not None and not source.text.strip():
            raise UsageError(
                f"the text for placeholder `{key}` is empty",
                hint="Meta refuses empty parameters; give it a text",
            )


def _given_twice(first: ParameterSource, second: ParameterSource) -> UsageError:
    key = first.key
    if first.column is not None and second.text is not None:
        return UsageError(
            f"placeholder `{key}` has both a column and a text",
            hint=f"give either `--param {key}=COLUMN` or `--text {key}=VALUE`",
        )
    return UsageError(
        f"placeholder `{key}` is filled twice",
        hint="leave it out in the file of values, or on the command line",
    )


def _nearest(word: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean `{near[0]}`?" if near else None


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
