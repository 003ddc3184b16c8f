"""Every page of help: short enough to read, whole sentences, examples that work."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from typer._click.core import Context
from typer.core import TyperCommand, TyperGroup

from wacoex_cli.app import app
from wacoex_cli.terminal.help import first_sentence

ROOT = app
Path = tuple[str, ...]


def commands(
    group: TyperGroup, path: Path = ()
) -> Iterator[tuple[Path, TyperCommand | TyperGroup]]:
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        else:
            assert isinstance(command, TyperCommand)
            yield (*path, name), command


assert isinstance(ROOT, TyperGroup)
PAGES = list(commands(ROOT))
LEAVES = [(path, item) for path, item in PAGES if isinstance(item, TyperCommand)]


def name(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else ""


def examples(command: TyperCommand | TyperGroup) -> list[str]:
    """The examples of a command, one a line, without what the shell does with the output."""
    joined = (command.epilog or "").replace("\\\n", " ")
    return [re.split(r" [>|] ", line)[0] for line in joined.splitlines()]


def parse(words: list[str]) -> Path:
    """Parse a command line as the program would; returns the command it reaches."""
    context = ROOT.make_context("wacoex", list(words))
    path: Path = ()
    while isinstance(context.command, TyperGroup):
        rest = [*context._protected_args, *context.args]
        found, command, rest = context.command.resolve_command(context, rest)
        assert found is not None
        assert command is not None
        context = command.make_context(found, rest, parent=context)
        path = (*path, found)
    return path


@pytest.mark.parametrize(("path", "command"), PAGES, ids=name)
def test_both_spellings_of_help_work_everywhere(run, path: Path, command) -> None:
    short, long = run(*path, "-h"), run(*path, "--help")

    assert (short.code, short.err) == (0, "")
    assert short.out == long.out
    assert short.out.startswith(f"Usage: {' '.join(['wacoex', *path])} ")


@pytest.mark.parametrize(("path", "command"), PAGES, ids=name)
def test_help_is_whole_and_fits_80_columns(run, path: Path, command) -> None:
    page = run(*path, "--help", env={"COLUMNS": "80"}).out

    above, _, rest = page.partition("\nExamples:\n")
    shown_examples, _, below = rest.partition("\n\n")
    lines = [*above.splitlines(), *below.splitlines()]
    assert command.help
    assert [line for line in lines[1:] if line.endswith("...")] == []
    assert [line for line in lines if len(line) > 80] == []
    # A command to copy may be long where a name or an id is.
    assert [line for line in shown_examples.splitlines() if len(line) > 100] == []


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=name)
def test_every_command_has_examples_that_parse(path: Path, command: TyperCommand) -> None:
    shown = examples(command)

    assert 1 <= len(shown) <= 4
    for line in shown:
        program, *words = shlex.split(line)
        assert program == "wacoex"
        assert parse(words) == path


@pytest.mark.parametrize("line", examples(ROOT))
def test_the_examples_of_the_first_page_parse(line: str) -> None:
    assert parse(shlex.split(line)[1:])


def test_every_parameter_is_explained() -> None:
    silent = [
        (path, parameter.name)
        for path, command in PAGES
        for parameter in command.get_params(Context(command, help_option_names=["-h", "--help"]))
        if not (getattr(parameter, "help", None) or getattr(parameter, "hidden", False))
    ]
    assert silent == []


def test_the_first_page_lists_commands_in_the_order_of_use(run) -> None:
    page = run("--help").out

    order = re.findall(r"^  ([a-z]+)  ", page, flags=re.MULTILINE)
    known = [
        "auth",
        "channel",
        "connect",
        "offboard",
        "status",
        "reminder",
        "partner",
        "device",
        "events",
        "doctor",
        "explain",
        "template",
        "broadcast",
        "optout",
        "config",
        "state",
        "completion",
        "demo",
        "sandbox",
    ]
    assert [entry for entry in order if entry in known] == known


def test_the_table_says_what_the_commands_say() -> None:
    answer = {name: entry.first_line for name, entry in ROOT.entries.items()}

    assert answer == {name: first_sentence(made.help) for name, made in ROOT.commands.items()}


def test_a_list_of_commands_wraps_instead_of_cutting(run) -> None:
    page = run("broadcast", "--help", env={"COLUMNS": "60"}).out

    assert "  resume     Continue a broadcast that was paused,\n" in page
    assert "             interrupted or killed.\n" in page


def test_required_parts_have_no_braces(run) -> None:
    assert "rename [OPTIONS] OLD NEW\n" in run("channel", "rename", "-h").out


@pytest.mark.parametrize(("path", "command"), PAGES, ids=name)
def test_help_shows_examples_first_and_the_global_options_once(run, path: Path, command) -> None:
    page = run(*path, "--help").out
    headings = re.findall(r"^([A-Z][a-z ]+):$", page, flags=re.MULTILINE)

    assert not command.epilog or headings[0] == "Examples"
    assert ("Global options" in headings) == (path == ())
    assert page.endswith("And the global options: wacoex --help\n") == (path != ())


def test_the_options_of_a_long_command_are_in_groups(run) -> None:
    page = run("broadcast", "send", "--help").out
    headings = re.findall(r"^([A-Z][a-z ]+):$", page, flags=re.MULTILINE)

    assert headings == [
        *("Examples", "Arguments", "Message and list", "Pace and guards", "Output", "Options")
    ]
    guards = page.partition("Pace and guards:")[2].partition("Output:")[0]
    assert "--canary N" in guards
    assert "--template" not in guards


@pytest.mark.parametrize(("path", "command"), PAGES, ids=name)
def test_help_as_a_command_prints_the_same_page(run, path: Path, command) -> None:
    assert run("help", *path).out == run(*path, "--help").out


@pytest.mark.parametrize("topic", ["inactivity", "WX206", "131049", "broadcast"])
def test_docs_help_and_explain_open_one_page(run, topic: str) -> None:
    page = run("explain", topic)

    assert (page.code, page.err) == (0, "")
    assert run("docs", topic).out == page.out
    if topic != "broadcast":  # a command too: `help` means that
        assert run("help", topic).out == page.out


def test_docs_lists_guides_before_topics(run) -> None:
    listed = run("docs", "--json").data["pages"]
    names = [page["id"] for page in listed]

    assert names[:2] == ["start", "reminder"]
    assert names.index("limits") < names.index("inactivity")
    assert run("docs", tty=True).out.splitlines()[-1].startswith("to read one: wacoex docs TOPIC")


def test_a_topic_that_does_not_exist_is_refused_with_the_nearest_name(run) -> None:
    for command in ("help", "docs"):
        ended = run(command, "inactivty")

        assert ended.code == 2
        assert "did you mean `inactivity`?" in ended.err
