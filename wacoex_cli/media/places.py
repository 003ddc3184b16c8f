"""Which values of a frozen broadcast are files, and which of them all its rows share. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.media.model import is_link, sha256_of
from wacoex_cli.templates.model import Template, ValueKind, placeholders
from wacoex_cli.templates.values import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class MediaPlaces(NamedTuple):
    """The files of the messages of a broadcast.

    `fixed` are references that every message has, with the format of their header; `in_rows` says
    which of the values that a row keeps are references, each with its format.
    """

    fixed: tuple[tuple[str, str], ...] = ()
    in_rows: Mapping[int, str] = {}

    @property
    def hashes(self) -> set[str]:
        """The content hashes of the files of this machine that every message shows."""
        return {sha256 for reference, _ in self.fixed if (sha256 := sha256_of(reference))}

    @property
    def links(self) -> list[tuple[str, str]]:
        """The links that every message has, with the format of their header."""
        return [(reference, form) for reference, form in self.fixed if is_link(reference)]

    def references(self, values: Sequence[str]) -> list[str]:
        """All references of one message, given the values that its row keeps."""
        return [
            *(reference for reference, _ in self.fixed),
            *(values[place] for place in self.in_rows if place < len(values) and values[place]),
        ]


NO_MEDIA = MediaPlaces()
"""What a broadcast has whose messages show no file."""


def places_in(template: str, sources: str) -> MediaPlaces:
    """Those of a broadcast, by its frozen template and sources (JSON)."""
    return places_of(
        Template.from_json(json.loads(template)),
        [ParameterSource.from_json(kept) for kept in json.loads(sources)],
    )


def places_of(template: Template, sources: Sequence[ParameterSource]) -> MediaPlaces:
    """Those of a template that is filled from such sources."""
    forms = {
        place.key: place.media or "IMAGE"
        for place in placeholders(template)
        if place.kind is ValueKind.MEDIA
    }
    fixed = [
        (str(source.value), forms[source.key])
        for source in sources
        if source.key in forms and source.value is not None
    ]
    kept = [source.key for source in sources if source.value is None]
    in_rows = {place: forms[key] for place, key in enumerate(kept) if key in forms}
    return MediaPlaces(tuple(fixed), in_rows)
