"""Plain help pages: commands and options in named sections, examples at the end."""

from collections.abc import Iterable, Iterator
from typing import Any

from typer.core import TyperCommand, TyperGroup

GLOBAL_PANEL = "Global options"
# Typer lists commands before groups; people meet them in this order.
_HEADINGS = ("Set up", "Watch", "Send", "State", "Try it")


class PlainCommand(TyperCommand):
    """A command whose help separates its own options from those every command has."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_parameters(self.get_params(ctx), ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.epilog:
            with formatter.section("Examples"):
                _write_lines(self.epilog.splitlines(), formatter)


class PlainGroup(TyperGroup):
    """A group whose help lists its commands under the headings they were added with."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        _write_parameters(self.get_params(ctx), ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        width = max((len(name) for name, _ in commands), default=0)
        sections = _by_heading(
            (
                getattr(one, "rich_help_panel", None) or "Commands",
                (name.ljust(width), one.get_short_help_str(formatter.width - width - 6)),
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


def _write_lines(lines: Iterable[str], formatter: Any) -> None:
    for line in lines:
        formatter.write(f"{' ' * formatter.current_indent}{line}\n")
