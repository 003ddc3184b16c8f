"""In which language of a template each person of a list gets the message."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.audience.phone_cells import shortened
from wacoex_cli.audience.recipients_file import columns_hint
from wacoex_cli.errors import UsageError, counted
from wacoex_cli.templates import rule
from wacoex_cli.templates.model import LANGUAGE, Placeholder, Template, placeholders
from wacoex_cli.templates.values import ParameterSource, is_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from wacoex_cli.channels.model import Provider

_EXAMPLES = 3
# As many different cells of the column as are kept in memory: there are far fewer languages.
_KEPT_CELLS = 10_000


class Filling(NamedTuple):
    """How the message of one language is filled, and how long its parts may be."""

    sources: tuple[ParameterSource, ...]
    limits: tuple[rule.TextLimit, ...]


class Languages:
    """The languages of one broadcast: those of the template that a column of the list names.

    `column` None: everybody gets the fallback, the template itself. A cell names a language as Meta
    does (`es_MX`, also `es-mx`). `es` takes the only Spanish one, whatever its country; `es_MX`
    takes `es`, but never the Spanish of another country. What is empty or names nothing takes the
    fallback.

    A language that cannot be sent is refused after all rows were read, if one of them names it.

    Raises:
        UsageError: the list has no such column.
    """

    def __init__(
        self,
        fallback: Template,
        versions: Sequence[Template],
        column: str | None,
        columns: Sequence[str],
        provider: Provider,
    ) -> None:
        if column is not None and column not in columns:
            raise UsageError(
                f"the list has no column `{column}` (for `--lang-column`)",
                hint=columns_hint(column, columns),
                code="unknown_column",
            )
        self._column, self._provider = column, provider
        self._fallback = fallback.language
        self._versions = [fallback]
        if column is not None:
            self._versions += [each for each in versions if each.language != fallback.language]
        self._refused: dict[str, UsageError] = {}
        self.template = fallback
        self._refuse(lambda version: rule.check_sendable(version, provider))
        self._fillings: dict[str, Filling] = {}
        self._known: dict[str, str | None] = {}
        self._rows: dict[str, array[int]] = {}
        self._cells: dict[str, str] = {}
        self._without: dict[str, array[int]] = {"empty": array("q"), "unknown": array("q")}
        self._unknown: dict[str, None] = {}

    def _refuse(self, check: Callable[[Template], object]) -> None:
        """Leave out the languages that a check finds something against.

        Raises UsageError for the fallback.
        """
        for version in self._versions:
            if version.language not in self._refused:
                try:
                    check(version)
                except UsageError as error:
                    if version.language == self._fallback:
                        raise
                    self._refused[version.language] = error
        fallback, *others = self._versions
        self.template = fallback.with_translations(
            each for each in others if each.language not in self._refused
        )

    def resolve(
        self, given: Sequence[ParameterSource], columns: Sequence[str]
    ) -> tuple[ParameterSource, ...]:
        """The sources of all languages together, each key once, in the order of `placeholders`.

        Raises:
            UsageError: as `rule.resolve_sources` for the fallback, or for a key that no language
                has.
        """
        elsewhere = {place.key for place in placeholders(self.template)}
        found: dict[str, ParameterSource] = {}
        means: dict[str, Placeholder] = {}

        def resolve(version: Template) -> None:
            places = {place.key: place for place in placeholders(version)}
            mine = [each for each in given if each.key in places or each.key not in elsewhere]
            sources = rule.resolve_sources(version, mine, columns)
            rule.check_carried(version, sources, self._provider)
            for key, place in places.items():
                _demand_same(version, place, means.setdefault(key, place))
            for source in sources:
                found.setdefault(source.key, source)

        self._refuse(resolve)
        keys = [place.key for place in placeholders(self.template)]
        return tuple(found[key] for key in keys if key in found)

    def settle(self, sources: Sequence[ParameterSource]) -> tuple[ParameterSource, ...]:
        """What is kept with the broadcast: the settled sources, and that of the language."""
        if self._column is not None:
            language = ParameterSource(LANGUAGE, column=self._column, default=self._fallback)
            sources = (language, *sources)
        for version in self.template.versions:
            theirs = tuple(_in_language(version, sources))
            self._fillings[version.language] = Filling(theirs, rule.text_limits(version, theirs))
        return tuple(sources)

    def filling(self, language: str) -> Filling:
        """How the message of that language is filled."""
        return self._fillings[language]

    def of(self, values: Mapping[str, str]) -> str:
        """The language of the message for a person with these cells."""
        found = self._named(values)
        return found if found in self._fillings else self._fallback

    def note(self, row: int, values: Mapping[str, str]) -> None:
        """Remember which language a row gets, and why."""
        found = self._named(values)
        self._rows.setdefault(found or self._fallback, array("q")).append(row)
        if self._column is None or found is not None:
            return
        cell = values.get(self._column, "").strip()
        if is_nothing(cell):
            self._without["empty"].append(row)
            return
        self._without["unknown"].append(row)
        if len(self._unknown) < _EXAMPLES:
            self._unknown[shortened(cell)] = None

    def _named(self, values: Mapping[str, str]) -> str | None:
        """The language that a row names; None where its cell names none of the template's."""
        if self._column is None:
            return self._fallback
        cell = values.get(self._column, "")
        if cell not in self._known:
            if len(self._known) >= _KEPT_CELLS:
                self._known.clear()
            self._known[cell] = found = self._meant(cell)
            if found and _plain(cell) != _plain(found) and len(self._cells) < _KEPT_CELLS:
                self._cells[cell.strip()] = found
        return self._known[cell]

    def _meant(self, cell: str) -> str | None:
        wanted = _plain(cell)
        codes = {_plain(version.language): version.language for version in self._versions}
        if is_nothing(cell) or wanted in codes:
            return codes.get(wanted)
        language, _, country = wanted.partition("_")
        if country:
            return codes.get(language)
        alike = [code for plain, code in codes.items() if plain.partition("_")[0] == language]
        return alike[0] if len(alike) == 1 else None

    def used(self) -> Template:
        """The template with the languages that rows get, after all were read.

        Raises:
            UsageError: a row names a language that cannot be sent.
        """
        errors = [(self._refused[code], code) for code in self._rows if code in self._refused]
        if errors:
            first = errors[0][0]
            raise UsageError(
                "; ".join(
                    f"{counted(len(self._rows[code]), 'row')} of the list"
                    f" {'is' if len(self._rows[code]) == 1 else 'are'} in `{code}`, but"
                    f" {error.message}"
                    for error, code in errors
                ),
                hint=f"{first.hint}; or leave these rows out with `--where`",
                code=first.code,
            )
        return self.template.with_translations(
            each for each in self.template.translations if each.language in self._rows
        )

    def to_json(self, count: Callable[[Sequence[int]], int]) -> dict[str, Any]:
        """`languages` and `fallback` of a plan; `count` says how many rows will be sent."""
        return {
            "languages": [
                {"language": code, "recipients": count(self._rows.get(code, ()))}
                for code in (version.language for version in self.template.versions)
                if code in self._rows
            ],
            "fallback": {
                "column": self._column,
                "language": self._fallback,
                "empty": count(self._without["empty"]),
                "unknown": count(self._without["unknown"]),
                "examples": list(self._unknown),
                "read_as": [
                    {"cell": cell, "language": code}
                    for cell, code in self._cells.items()
                    if code in self._rows
                ],
            },
        }


def _in_language(
    version: Template, sources: Sequence[ParameterSource]
) -> Iterator[ParameterSource]:
    """The sources as a row of that language fills them; what it has no place for stays empty."""
    places = {place.key: place for place in placeholders(version)}
    for source in sources:
        if source.key == LANGUAGE:
            yield ParameterSource(LANGUAGE, text=version.language)
        elif source.key in places:
            yield replace(source, is_optional=places[source.key].is_optional)
        elif source.value is None:
            yield ParameterSource(source.key, text="", is_optional=True)
        else:
            yield source


def _demand_same(version: Template, place: Placeholder, known: Placeholder) -> None:
    if (place.kind, place.media) != (known.kind, known.media):
        raise UsageError(
            f"placeholder `{place.key}` of template `{version.name}` ({version.language}) is"
            f" {place.meaning()}, in another language {known.meaning()}",
            hint="send this language by a broadcast of its own",
            code="languages_differ",
        )


def _plain(code: str) -> str:
    return code.strip().replace("-", "_").casefold()


def languages_text(data: Mapping[str, Any]) -> Iterator[str]:
    """The `to_json` of the languages, for a person; nothing without a column."""
    fallback = data["fallback"]
    if fallback["column"] is None:
        return
    for found in data["languages"]:
        yield f"  in {found['language']}: {counted(found['recipients'], 'recipient')}"
    for read in fallback["read_as"]:
        yield f"  {read['cell']!r} in column `{fallback['column']}` is sent in {read['language']}"
    if n := fallback["empty"]:
        yield f"  without a language, so in {fallback['language']}: {counted(n, 'recipient')}"
    if n := fallback["unknown"]:
        shown = ", ".join(map(repr, fallback["examples"]))
        yield (
            f"  in a language that the template does not have, so in {fallback['language']}:"
            f" {counted(n, 'recipient')} ({shown})"
        )
