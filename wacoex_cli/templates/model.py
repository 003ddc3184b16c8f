"""A message template in Meta's words, and the places in it that are filled in."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMED = "NAMED"
POSITIONAL = "POSITIONAL"

Place = Literal["header", "body", "button"]


@dataclass(frozen=True)
class Template:
    """One template in one language. `components` stay as Meta, or respond.io, gave them.

    `quality` is GREEN, YELLOW, RED or UNKNOWN; None when nobody says.
    """

    name: str
    language: str
    status: str
    category: str
    parameter_format: str
    components: tuple[dict[str, Any], ...]
    template_id: str
    quality: str | None = None
    rejected_reason: str | None = None

    @classmethod
    def from_meta(cls, record: Mapping[str, Any]) -> Template:
        """A record of `message_templates`. Source: "Meta: templates"."""
        return cls(
            name=str(record["name"]),
            language=str(record["language"]),
            status=str(record.get("status", "")).upper(),
            category=str(record.get("category", "")).upper(),
            parameter_format=str(record.get("parameter_format") or POSITIONAL).upper(),
            components=tuple(record.get("components") or ()),
            template_id=str(record.get("id", "")),
            quality=_quality(record.get("quality_score")),
            rejected_reason=_reason(record.get("rejected_reason")),
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Template:
        """The template whose `to_json` this is."""
        return cls(**{**value, "components": tuple(value["components"])})

    def to_json(self) -> dict[str, Any]:
        """A copy to keep, as JSON values: later changes at Meta do not reach it."""
        return {**asdict(self), "components": list(deepcopy(self.components))}

    @property
    def is_named(self) -> bool:
        """Whether placeholders have names (`{{first_name}}`) rather than numbers (`{{1}}`)."""
        return self.parameter_format == NAMED

    def component(self, kind: str) -> dict[str, Any]:
        """The component of that type (`BODY`, `HEADER`, ...); empty when there is none."""
        wanted = (part for part in self.components if kind_of(part) == kind)
        return next(wanted, {})

    @property
    def header_format(self) -> str | None:
        """TEXT, or the kind of media (IMAGE, VIDEO, DOCUMENT, LOCATION); None without a header."""
        header = self.component("HEADER")
        return str(header.get("format") or "TEXT").upper() if header else None

    @property
    def buttons(self) -> tuple[dict[str, Any], ...]:
        """The buttons in Meta's order: their place is their index."""
        return tuple(self.component("BUTTONS").get("buttons") or ())


@dataclass(frozen=True)
class Placeholder:
    """One place to fill in.

    `key` names it on the command line: `1` or `first_name` in the body, `header.1` or
    `header.first_name` in the header, `button.0` for the URL of the first button. `index` is the
    button's.
    """

    key: str
    where: Place
    index: int | None
    example: str | None

    @property
    def name(self) -> str:
        """The name or number inside the braces, as far as there is one: without the place."""
        return self.key.removeprefix("header.")


def kind_of(part: Mapping[str, Any]) -> str:
    """The type of a component or a button, in capitals."""
    return str(part.get("type", "")).upper()


def _quality(value: object) -> str | None:
    score = value.get("score") if isinstance(value, dict) else value
    return score.upper() if isinstance(score, str) and score else None


def _reason(value: object) -> str | None:
    # Meta says NONE for a template that was not rejected.
    return value.upper() if isinstance(value, str) and value.upper() not in ("", "NONE") else None
