"""Templates at Meta or respond.io: found by name and language, and as people see them."""

from __future__ import annotations

import difflib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from wacoex_cli.channels.model import Provider
from wacoex_cli.channels.registry import choose_channel, meta_for, respondio_for
from wacoex_cli.errors import UsageError
from wacoex_cli.templates.model import (
    BRACES,
    NAMED,
    POSITIONAL,
    Template,
    is_extra,
    kind_of,
    placeholders,
)
from wacoex_cli.templates.preview import preview
from wacoex_cli.templates.rule import check_sendable
from wacoex_cli.templates.values_file import skeleton
from wacoex_cli.terminal.layout import Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.respondio import RespondIO
    from wacoex_cli.terminal.options import Invocation


class TemplateList(Protocol):
    """An API that lists all templates of a WABA or of a channel of respond.io."""

    async def templates(self, owner_id: str, /, *, name: str | None = None) -> list[dict[str, Any]]:
        """Records in Meta's words; with `name` those whose name is or contains it."""
        ...


async def find_template(
    templates: TemplateList, owner_id: str, name: str, language: str
) -> Template:
    """The template of exactly this name and language, whatever its status.

    `owner_id` is the WABA's, or that of the channel at respond.io.

    Raises:
        UsageError: there is none (code `unknown_template`); the hint names what there is.
        CredentialError, RefusedError, TemporaryError: the server could not be asked.
    """
    return in_language(await find_versions(templates, owner_id, name), language)


def in_language(versions: Sequence[Template], language: str) -> Template:
    """The version in a language. Raises UsageError like `find_template`."""
    for version in versions:
        if version.language == language:
            return version
    name = versions[0].name
    languages = ", ".join(
        f"`{known}`" for known in sorted(version.language for version in versions)
    )
    raise UsageError(
        f"template `{name}` does not exist in language `{language}`",
        hint=f"it exists in {languages}; choose one with `--lang`",
        code="unknown_template",
    )


async def find_versions(templates: TemplateList, owner_id: str, name: str) -> list[Template]:
    """The template of exactly this name in every language it has; raises like `find_template`."""
    # Meta's filter is a search: `promo` finds `promo_2` too.
    found = await templates.templates(owner_id, name=name)
    versions = [Template.from_meta(record) for record in found if record.get("name") == name]
    if versions:
        return versions
    names = sorted({str(record["name"]) for record in await templates.templates(owner_id)})
    hint = "`wacoex template list` shows them all" if names else "there are no templates yet"
    if near := difflib.get_close_matches(name, names, n=3):
        hint = "did you mean " + ", ".join(f"`{known}`" for known in near) + "?"
    raise UsageError(f"there is no template `{name}`", hint=hint, code="unknown_template")


Node = dict[str, Any]


class RespondIOTemplates:
    """The templates of respond.io's channels, as records in Meta's words."""

    def __init__(self, respondio: RespondIO) -> None:
        self._respondio = respondio

    async def templates(self, owner_id: str, *, name: str | None = None) -> list[Node]:
        """The templates of the channel of that id, or those of exactly that name.

        Raises what `RespondIO.templates` raises.
        """
        listed = map(in_metas_words, await self._respondio.templates(int(owner_id)))
        return [record for record in listed if record and name in (None, record["name"])]


def in_metas_words(record: Mapping[str, Any]) -> Node | None:
    """A template of respond.io as Meta would give it; None for one without a name or a language.

    respond.io writes in small letters, gives `components` as a list or as its JSON text, and says
    neither how parameters are given nor, mostly, the quality. Source: "respond.io: templates".
    """
    name, language = record.get("name"), record.get("languageCode")
    if not (isinstance(name, str) and name and isinstance(language, str) and language):
        return None
    components = _components(record.get("components"))
    quality = record.get("qualityScore")
    status, category = _text(record.get("status")), _text(record.get("category"))
    return {
        "id": str(record.get("templateId") or record.get("id") or ""),
        "name": name,
        "language": language,
        "status": status.upper(),
        "category": category.upper(),
        "components": components,
        "parameter_format": _parameter_format(components),
        "quality_score": quality if isinstance(quality, str | dict) else None,
        "rejected_reason": _text(record.get("statusDetail")) if status == "rejected" else None,
    }


def _components(value: object) -> list[Node]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    parts = value if isinstance(value, list) else []
    return [_component(part) for part in parts if isinstance(part, dict)]


def _component(part: Mapping[str, Any]) -> Node:
    """A component with its own kinds in capitals, as Meta writes them."""
    kinds = {name: _text(part[name]).upper() for name in ("type", "format") if part.get(name)}
    whole: Node = {**part, **kinds, "example": _example(part.get("example"))}
    if "cards" in part:
        cards = part["cards"] if isinstance(part["cards"], list) else []
        whole["cards"] = [
            {"components": _components(card.get("components"))}
            for card in cards
            if isinstance(card, dict)
        ]
    if "buttons" in part:
        buttons = part["buttons"] if isinstance(part["buttons"], list) else []
        whole["buttons"] = [
            {**button, "type": kind_of(button)} for button in buttons if isinstance(button, dict)
        ]
    return {name: value for name, value in whole.items() if value is not None}


def _example(value: object) -> Node | None:
    """The examples that have the form of Meta's; None without any."""
    lists = value.items() if isinstance(value, dict) else ()
    found = {
        name: [
            entry
            for entry in given
            if isinstance(entry, dict) or not name.endswith("_named_params")
        ]
        for name, given in lists
        if isinstance(given, list)
    }
    return found or None


def _parameter_format(components: Sequence[Mapping[str, Any]]) -> str:
    names = [name for part in components for name in BRACES.findall(str(part.get("text", "")))]
    return POSITIONAL if all(name.isdecimal() for name in names) else NAMED


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Shelf:
    """The templates that a channel's provider holds, and whose they are there."""

    provider: Provider
    listing: TemplateList
    owner_id: str

    async def all(self) -> list[Template]:
        """Every template, by name and language; raises what `TemplateList.templates` raises."""
        found = map(Template.from_meta, await self.listing.templates(self.owner_id))
        return sorted(found, key=lambda template: (template.name, template.language))

    async def versions(self, name: str) -> list[Template]:
        """One template in every language it has; raises like `reading.find_versions`."""
        return await find_versions(self.listing, self.owner_id, name)

    async def version(self, name: str, language: str | None) -> Template:
        """One template in that language, else the first one; raises like `find_template`."""
        if language is None:
            return (await self.versions(name))[0]
        return await find_template(self.listing, self.owner_id, name, language)


def shelf_of(workspace: Workspace, invocation: Invocation) -> Shelf:
    """The templates of the channel that a command means.

    Raises UsageError without the channel, or without the id that names it there, CredentialError
    without a token.
    """
    channel = choose_channel(workspace, invocation)
    if channel.provider is Provider.META:
        meta = meta_for(workspace, channel)
        return Shelf(channel.provider, meta, channel.demand_waba_id())
    listing = RespondIOTemplates(respondio_for(workspace, channel))
    return Shelf(channel.provider, listing, str(channel.demand_respondio_channel_id()))


COLUMNS = (
    Column("name", 9, least=16),
    Column("language", 8, fit="keep"),
    Column("status", 7, fit="keep"),
    Column("category", 5, fit="keep", may_drop=True),
    Column("placeholders", 6, least=12, may_drop=True),
    Column("quality", 4, fit="keep", may_drop=True),
    Column("header", 3, fit="keep", may_drop=True),
    Column("buttons", 2, least=10, may_drop=True),
)


def row(template: Template) -> tuple[str | None, ...]:
    """The cells of `COLUMNS`."""
    return (
        template.name,
        template.language,
        template.status,
        template.category,
        " ".join(place.key for place in placeholders(template) if not place.is_optional),
        template.quality,
        template.header_format,
        " ".join(map(kind_of, template.buttons)),
    )


def data(source: str, templates: Sequence[Template]) -> dict[str, Any]:
    """The JSON of a list: what its source, `meta` or `respondio`, says, and what it means.

    `why_not` says why wacoex cannot send a template, and is null when it can.
    """
    named = ("text", "url", "phone_number")
    return {
        "source": source,
        "templates": [
            {
                **template.to_json(),
                "header": template.header_format,
                "placeholders": [asdict(place) for place in placeholders(template)],
                "buttons": [
                    {
                        "index": index,
                        "type": kind_of(button),
                        **{name: button.get(name) for name in named},
                    }
                    for index, button in enumerate(template.buttons)
                ],
                "why_not": _why_not(template, Provider(source)),
            }
            for template in templates
        ],
    }


def lines(template: Template, provider: Provider) -> Iterator[str]:
    """A template for a person: its state, its text, and how it is filled in."""
    places, quality = placeholders(template), template.quality
    graded = f"quality {quality}" if quality else f"quality not given by {provider.known_as}"
    yield f"{template.name} ({template.language}): {template.status}, {template.category}, {graded}"
    if template.rejected_reason:
        yield f"  rejected: {template.rejected_reason}"
    shown = {place.key: f"{{{{{place.key}}}}}" for place in places if not place.is_optional}
    text = preview(template, shown)
    yield from (f"  | {line}" for line in text.splitlines())
    if why_not := _why_not(template, provider):
        yield f"  {why_not}"
        return
    needed = [place for place in places if not place.is_optional]
    if not needed:
        yield "  nothing to fill"
    else:
        yield "  " + " ".join(f"--param {place.key}=COLUMN" for place in needed)
        yield f"  placeholders ({template.parameter_format.lower()}):"
    for place in needed:
        example = f", for example {place.example}" if place.example else ""
        yield f"    {place.key}: {place.meaning()}{example}"
    own = [place for place in places if not is_extra(template, place.card)]
    if optional := [place for place in own if place.is_optional]:
        yield "  may be left out:"
        yield from (f"    {place.key}: {place.meaning()}" for place in optional)
    if places:
        yield f"  a file for --values (wacoex template skeleton {template.name} > values.toml):"
        yield from (f"    {line}".rstrip() for line in list(skeleton(template))[2:])


def _why_not(template: Template, provider: Provider) -> str | None:
    try:
        check_sendable(template, provider)
    except UsageError as error:
        return f"{error.message}; {error.hint}"
    return None
