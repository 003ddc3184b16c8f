"""Plain help pages: commands and options in named sections, examples at the end."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from typer.core import TyperCommand, TyperGroup

GLOBAL_PANEL = "Global options"
# Typer lists commands before groups; people meet them in this order.
_HEADINGS = ("Set up", "Watch", "Send", "State", "Try it")
_COMMANDS = (
    *("auth", "channel", "connect", "offboard"),
    *("status", "reminder", "partner", "device", "events", "mac", "doctor", "explain"),
    *("template", "broadcast", "optout"),
    *("config", "state", "completion"),
    *("demo", "sandbox"),
)


class PlainCommand(TyperCommand):
    """A command whose help separates its own options from those every command has."""

    def get_short_help_str(self, limit: int = 0) -> str:
        return _first_sentence(self.help)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        # Typer puts braces around what is required; in our notation they hold a choice.
        return [re.sub(r"^\{([^{}]+)\}$", r"\1", one) for one in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_parameters(self.get_params(ctx), ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_examples(self.epilog, formatter)


class PlainGroup(TyperGroup):
    """A group whose help lists its commands under the headings they were added with."""

    def get_short_help_str(self, limit: int = 0) -> str:
        return _first_sentence(self.help)

    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return names if ctx.parent else sorted(names, key=_position)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_examples(self.epilog, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        _write_parameters(self.get_params(ctx), ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        width = max((len(name) for name, _ in commands), default=0)
        sections = _by_heading(
            (
                getattr(one, "rich_help_panel", None) or "Commands",
                (name.ljust(width), one.get_short_help_str()),
            )
            for name, one in commands
            if not one.hidden
        )
        for heading, rows in sorted(sections, key=_place):
            with formatter.section(heading):
                formatter.write_dl(rows)


def _place(section: tuple[str, object]) -> int:
    heading, _ = section
    return _HEADINGS.index(heading) if heading in _HEADINGS else len(_HEADINGS)


def _position(name: str) -> int:
    return _COMMANDS.index(name) if name in _COMMANDS else len(_COMMANDS)


def _first_sentence(help: str | None) -> str:
    """What a list of commands says about one of them, however many lines it takes."""
    paragraph = inspect.cleandoc(help or "").partition("\n\n")[0]
    return re.split(r"(?<=\.)\s", " ".join(paragraph.split()), maxsplit=1)[0]


def _write_parameters(parameters: Iterable[Any], ctx: Any, formatter: Any) -> None:
    records = ((_heading(one), one.get_help_record(ctx)) for one in parameters)
    for heading, rows in _by_heading((name, row) for name, row in records if row):
        with formatter.section(heading):
            formatter.write_dl(rows)


def _heading(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return "Arguments"
    if parameter.name == "help":
        return GLOBAL_PANEL
    return getattr(parameter, "rich_help_panel", None) or "Options"


def _by_heading(
    rows: Iterable[tuple[str, tuple[str, str]]],
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    sections: dict[str, list[tuple[str, str]]] = {}
    for heading, row in rows:
        sections.setdefault(heading, []).append(row)
    yield from sections.items()


def _write_examples(examples: str | None, formatter: Any) -> None:
    if examples:
        with formatter.section("Examples"):
            for line in examples.splitlines():
                formatter.write(f"{' ' * formatter.current_indent}{line}\n")
