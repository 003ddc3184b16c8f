"""Plain help pages: examples first, then commands and options in named sections."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from typer._click.shell_completion import CompletionItem
from typer.core import TyperCommand, TyperGroup

GLOBAL_PANEL = "Global options"
_SEE_GLOBAL = "And the global options: wacoex --help"
CommandPath = tuple[str, ...]


class ListedCommand(NamedTuple):
    """A command or group by what lists say about it; `make` makes it when it is used."""

    first_line: str
    make: "Callable[[], PlainCommand | PlainGroup]"
    heading: str = "Commands"


class _Made(Mapping[str, "PlainCommand | PlainGroup"]):
    """The commands of a group by name, each made when it is taken out."""

    def __init__(self, entries: Mapping[str, ListedCommand]) -> None:
        self._entries = entries

    def __getitem__(self, name: str) -> "PlainCommand | PlainGroup":
        return self._entries[name].make()

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _plain(help: str, examples: Iterable[str], params: list[Any]) -> dict[str, Any]:
    """What commands and groups have in common: no markup, examples, `-h`."""
    return {
        "help": help,
        "epilog": "\n".join(examples),
        "params": params,
        "rich_markup_mode": None,
        "context_settings": {"help_option_names": ["-h", "--help"]},
    }


class _Page:
    """The order of a help page: usage, what it does, examples, then what it takes."""

    epilog: str | None
    path: CommandPath

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page; Typer calls this."""
        page: Any = self
        page.format_usage(ctx, formatter)
        page.format_help_text(ctx, formatter)
        self.format_epilog(ctx, formatter)
        page.format_options(ctx, formatter)
        if self.path:
            formatter.write(f"\n{_SEE_GLOBAL}\n")

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.splitlines():
                    formatter.write(f"{' ' * formatter.current_indent}{line}\n")


class PlainCommand(_Page, TyperCommand):
    """A command whose help separates its own options from those every command has.

    A check answers in the four exit codes of monitoring systems, so any failure of it is 3.
    """

    def __init__(
        self,
        path: CommandPath,
        help: str,
        examples: Iterable[str],
        *,
        params: list[Any],
        callback: Callable[..., int],
        is_check: bool,
    ) -> None:
        super().__init__(path[-1], **_plain(help, examples, params), callback=callback)
        self.path = path
        self.is_check = is_check

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        # Typer puts braces around what is required; in our notation they hold a choice.
        return [
            re.sub(r"^\{([^{}]+)\}$", r"\1", word) for word in super().collect_usage_pieces(ctx)
        ]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_parameters(own_parameters(self, ctx), ctx, formatter)


class PlainGroup(_Page, TyperGroup):
    """A group that lists its commands without making them, in the order they were added."""

    def __init__(
        self,
        path: CommandPath,
        help: str,
        examples: Iterable[str] = (),
        *,
        params: list[Any],
        callback: Callable[..., None],
    ) -> None:
        name = path[-1] if path else ""
        plain = _plain(help, examples, params)
        super().__init__(name=name, **plain, callback=callback, no_args_is_help=True)
        self.path = path
        self.entries: dict[str, ListedCommand] = {}
        self.commands = _Made(self.entries)  # type: ignore[assignment]  # Typer only reads it

    def add(self, group: "PlainGroup") -> None:
        """Put a group below this one."""
        self.entries[group.path[-1]] = ListedCommand(first_sentence(group.help), lambda: group)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.entries)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[CompletionItem]:
        named = [
            CompletionItem(name, help=entry.first_line)
            for name, entry in self.entries.items()
            if name.startswith(incomplete)
        ]
        return [*named, *super(TyperGroup, self).shell_complete(ctx, incomplete)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        _write_parameters(own_parameters(self, ctx), ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.entries), default=0)
        sections = _by_heading(
            (entry.heading, (name.ljust(width), entry.first_line))
            for name, entry in self.entries.items()
        )
        for heading, rows in sections:
            with formatter.section(heading):
                formatter.write_dl(rows)


def own_parameters(command: "PlainCommand | PlainGroup", ctx: Any) -> list[Any]:
    """What a command takes itself; of the program itself that is everything."""
    given: list[Any] = command.get_params(ctx)
    return [each for each in given if not command.path or heading_of(each) != GLOBAL_PANEL]


def first_sentence(help: str | None) -> str:
    """What a list of commands says about one of them, however many lines it takes."""
    paragraph = inspect.cleandoc(help or "").partition("\n\n")[0]
    return re.split(r"(?<=\.)\s", " ".join(paragraph.split()), maxsplit=1)[0]


def _write_parameters(parameters: Iterable[Any], ctx: Any, formatter: Any) -> None:
    # Named groups of options come before the rest of them.
    given = sorted(parameters, key=lambda each: heading_of(each) in {"Options", GLOBAL_PANEL})
    records = ((heading_of(each), each.get_help_record(ctx)) for each in given)
    for heading, rows in _by_heading((name, row) for name, row in records if row):
        with formatter.section(heading):
            formatter.write_dl(rows)


def heading_of(parameter: Any) -> str:
    """The section of a help page that holds an argument or an option."""
    if parameter.param_type_name == "argument":
        return "Arguments"
    if parameter.name == "help":
        return GLOBAL_PANEL
    return getattr(parameter, "rich_help_panel", None) or "Options"


def _by_heading(
    rows: Iterable[tuple[str, tuple[str, str]]],
) -> Iterable[tuple[str, list[tuple[str, str]]]]:
    sections: dict[str, list[tuple[str, str]]] = {}
    for heading, row in rows:
        sections.setdefault(heading, []).append(row)
    return sections.items()
