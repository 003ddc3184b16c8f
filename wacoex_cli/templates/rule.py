"""What a template asks for, whether wacoex can send it, and the values for one person."""

from __future__ import annotations

import difflib
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from wacoex_cli.errors import UsageError
from wacoex_cli.templates.model import Placeholder, Template, kind_of
from wacoex_cli.templates.placeholders import placeholders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Meta refuses a parameter with line breaks, tabs or more than four spaces in a row (132018).
_REFUSED_SPACE = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]| {5}")
_SPACE = re.compile(r"[ \t\n\v\f\r\x85\u2028\u2029]+")

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
class Source:
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
) -> tuple[Source, ...]:
    """One source for each placeholder, in the order of `placeholders`.

    `params` maps keys to columns, `texts` maps keys to one value for everybody. A named
    placeholder that neither mentions takes the column of exactly its name.

    Raises:
        UsageError: an unknown key or column, a key given twice, or a placeholder without source.
    """
    wanted = placeholders(template)
    _check_keys(template, wanted, params, texts)
    for key, column in params.items():
        _check_column(key, column, columns)
    sources = [_source_of(place, template, params, texts, columns) for place in wanted]
    missing = [place for place, source in zip(wanted, sources, strict=True) if source is None]
    if missing:
        raise _without_source(template, missing, columns)
    return tuple(source for source in sources if source is not None)


def fill(sources: Sequence[Source], values: Mapping[str, str]) -> tuple[str, ...] | None:
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


def empty_keys(sources: Sequence[Source], values: Mapping[str, str]) -> tuple[str, ...]:
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
    template: Template,
    wanted: Sequence[Placeholder],
    params: Mapping[str, str],
    texts: Mapping[str, str],
) -> None:
    known = [place.key for place in wanted]
    for key in [*params, *texts]:
        if key not in known:
            names = ", ".join(f"`{name}`" for name in known)
            raise UsageError(
                f"template `{template.name}` has no placeholder `{key}`",
                hint=_nearest(key, known)
                or (
                    f"it has {names}" if known else "it has none: leave `--param` and `--text` out"
                ),
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


def _check_column(key: str, column: str, columns: Sequence[str]) -> None:
    if column not in columns:
        raise UsageError(
            f"the recipients file has no column `{column}` (for placeholder `{key}`)",
            hint=_nearest(column, columns) or _listed(columns),
            code="unknown_column",
        )


def _source_of(
    place: Placeholder,
    template: Template,
    params: Mapping[str, str],
    texts: Mapping[str, str],
    columns: Sequence[str],
) -> Source | None:
    if place.key in params:
        return Source(place.key, column=params[place.key])
    if place.key in texts:
        return Source(place.key, text=texts[place.key])
    if template.is_named and place.where != "button" and place.name in columns:
        return Source(place.key, column=place.name)
    return None


def _without_source(
    template: Template, missing: Sequence[Placeholder], columns: Sequence[str]
) -> UsageError:
    keys = ", ".join(f"`{place.key}`" for place in missing)
    options = " ".join(f"--param {place.key}=COLUMN" for place in missing)
    example = f" (for example `{missing[0].example}`)" if missing[0].example else ""
    return UsageError(
        f"template `{template.name}` has nothing to put in for {keys}{example}",
        hint=f"add `{options}`, or `--text {missing[0].key}=VALUE`; {_listed(columns)}",
        code="missing_parameter",
    )


def _nearest(word: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean `{near[0]}`?" if near else None


def _listed(columns: Sequence[str]) -> str:
    return "the file has the columns " + ", ".join(f"`{column}`" for column in columns)
