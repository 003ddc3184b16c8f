"""README and docs are true: commands parse, blocks print what the page shows, tables are whole."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.tools import pictures, reference
from tests.support.consoles import PAGES, agrees, blocks, opened, plain, print_again, words_of
from wacoex_cli import errors
from wacoex_cli.app import app
from wacoex_cli.findings import catalogue, guides
from wacoex_cli.foundation.settings import VARIABLES
from wacoex_cli.terminal.options import group

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}

_SERVES = "it runs until Ctrl-C"
_ASKS = "it asks a person step by step, about the phone in their hand"
_STORES = "it asks for a secret without showing it, and wants a keyring"
_JQ = """wacoex status --json | jq -r '.data.channels[] | select(.verdict != "ok") | .channel'"""
# The blocks that cannot run here, by page and first command, each with its reason.
CANNOT_RUN = {
    ("README.md", "git clone <this repository> wacoex && cd wacoex"): "it installs the program",
    ("README.md", "make demo"): "it installs the program; tests/test_demo.py runs the demo",
    ("README.md", "wacoex sandbox start"): _SERVES,
    ("docs/start.md", "wacoex sandbox start"): _SERVES,
    ("docs/start.md", ". ./sandbox.env"): "it changes the shell; every block here runs in it",
    ("docs/start.md", "wacoex auth login meta-token --channel shop"): _STORES,
    ("docs/reminder.md", "wacoex auth login notify-urls"): _STORES,
    ("docs/reminder.md", "wacoex reminder schedule install"): "it changes the crontab of the user",
    ("docs/reminder.md", "wacoex reminder schedule show"): "it reads the crontab of the user",
    ("README.md", "wacoex connect shop --check"): _ASKS,
    ("docs/connect.md", "wacoex connect shop --check"): _ASKS,
    ("docs/connect.md", "wacoex offboard shop"): _ASKS,
    ("docs/connect.md", "wacoex connect shop"): _ASKS,
    ("docs/diagnose.md", "wacoex device probe"): _ASKS,
    ("docs/events.md", "wacoex events listen"): _SERVES,
    ("docs/scripts.md", _JQ): "jq is another program",
}


def commands_in(text: str) -> Iterator[str]:
    """Every `wacoex ...` line of the other code blocks, continuation lines joined."""
    for block in re.findall(r"```(?:sh|ini|text)\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"(?:ExecStart=\S*/|[0-9*].* (?:\S*/)?|.*\$\()(wacoex (?!\().*)", line)
            if found:
                yield re.split(r" [|>;&]| 2>|\)", found[1])[0].strip()
    yield from (" ".join(found.split()) for found in re.findall(r"`(wacoex [^`]+)`", text))


OTHER_COMMANDS = sorted({(page, line) for page in PAGES for line in commands_in(TEXTS[page])})
BLOCKS = [block for page in PAGES for block in blocks(page)]


def parse(command: Any, arguments: list[str], name: str = "wacoex") -> list[str]:
    """Parse a command line as the program would, without running it; returns its path."""
    context = command.make_context(name, arguments)
    if not hasattr(command, "resolve_command"):
        return [name]
    rest = [*context._protected_args, *context.args]
    sub_name, sub, left = command.resolve_command(context, rest)
    context.obj = None
    return [name, *parse(sub, left, sub_name)]


def paths(command: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command of the program."""
    for name, sub in getattr(command, "commands", {}).items():
        if hasattr(sub, "commands"):
            yield from paths(sub, (*prefix, name))
        else:
            yield (*prefix, name)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_every_block_prints_what_the_page_shows(page: str) -> None:
    differences = []
    with opened(page) as console:
        for block in blocks(page):
            if (page, block.first) in CANNOT_RUN:
                continue
            for shown in block.shown:
                printed = console.enter(shown)
                if not agrees(printed, shown.output):
                    where = f"{page}, block at line {block.line}"
                    differences.append("\n".join((where, f"$ {shown.command}", *printed)))

    assert not differences, "\n\n".join(["`make docs` prints them anew:", *differences])


def test_few_blocks_cannot_run_and_each_of_them_exists() -> None:
    known = {(block.page, block.first) for block in BLOCKS}

    assert len(CANNOT_RUN) <= 25
    assert set(CANNOT_RUN) <= known


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_every_command_of_every_block_parses(block: Any) -> None:
    for shown in block.shown:
        words = words_of(shown.command)
        if words and words not in (["--version"], ["--help"]):
            assert parse(app, words)[0] == "wacoex"


@pytest.mark.parametrize(("page", "line"), OTHER_COMMANDS)
def test_every_command_in_the_text_parses(page: str, line: str) -> None:
    words = [word for word in words_of(line) if word not in {"ID", "TEXT", "TOPIC", "NAME"}]
    at: Any = app
    while words and hasattr(at, "commands"):
        name, *words = words
        assert name in at.commands, f"{page}: {line}"
        at = at.commands[name]
    options = {option for parameter in at.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options, f"{page}: {line}"


def test_a_difference_is_seen_and_times_do_not_count() -> None:
    stands = ["ok  shop  in 12 days  2026-11-29 10:00 UTC", "..."]

    assert agrees(["ok shop  in 1 day  2027-01-02 23:59 UTC", "more", "lines"], stands)
    assert not agrees(["warning  shop  in 1 day  2027-01-02 23:59 UTC"], stands)
    assert not agrees(["error: nothing"], [])
    assert agrees(["anything"], [])
    assert plain("at 20/s it takes 8 s") == plain("at 5/s it takes 31.5 s")


@pytest.mark.timeout(400)
def test_printing_again_changes_only_wrong_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    block = (
        "```console\n$ wacoex channel list --json | wc -l\n{}\n$ wacoex channel list\n...\n```\n"
    )
    page.write_text(f"# Page\n\n{block.format('?')}", encoding="utf-8")

    assert print_again(str(page), ()) == 1
    assert page.read_text(encoding="utf-8") == f"# Page\n\n{block.format('1')}"
    assert print_again(str(page), ()) == 0


def test_a_wheel_carries_every_guide_and_the_man_page() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    wheel = build["build"]["targets"]["wheel"]

    assert wheel["force-include"] == {
        f"docs/{name}.md": f"wacoex_cli/docs/{name}.md" for name in guides.NAMES
    }
    assert wheel["shared-data"]["docs/reference/wacoex.1"] == "share/man/man1/wacoex.1"


def test_the_readme_is_short_and_shows_what_it_looks_like() -> None:
    assert len(README.splitlines()) <= 250
    pictures = re.findall(r"!\[.+?\]\((\S+)\)", README)
    assert [Path(name).suffix for name in pictures] == [".svg", ".png"]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", TEXTS[page]):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_every_guide_is_listed_in_docs_and_in_the_readme() -> None:
    assert {guide.id for guide in guides.everything()} == {
        *(Path(page).stem for page in PAGES if page.startswith("docs/")),
    } - {"architecture"}
    for name in guides.NAMES:
        assert f"docs/{name}.md" in README
    assert not set(guides.NAMES) & set(catalogue.names())


@pytest.mark.parametrize("guide", list(guides.everything()), ids=lambda guide: guide.id)
@pytest.mark.parametrize("columns", [40, 100])
def test_a_terminal_shows_every_word_of_a_guide(run, guide: Any, columns: int) -> None:
    shown = run("docs", guide.id, tty=True, env={"COLUMNS": str(columns)}).out

    assert guide.title.split()[0] in shown
    for code in re.findall(r"^    \$ (wacoex \S+ \S+)", guide.body, re.MULTILINE):
        assert code in shown
    assert "```" not in shown


def test_the_guides_name_every_environment_variable() -> None:
    for name in VARIABLES:
        assert f"`{name}`" in TEXTS["docs/configuration.md"]


def test_the_guides_name_every_exit_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    statuses = {kind.exit_status for kind in kinds if issubclass(kind, errors.WacoexError)}
    for status in {*statuses, 0, 3, 7, 130, 143}:
        assert re.search(rf"^\| {status} \|", TEXTS["docs/scripts.md"], re.MULTILINE), status


def test_every_command_is_shown_or_named_in_a_guide() -> None:
    text = " ".join(" ".join(TEXTS.values()).split())
    for path in paths(app):
        assert f"wacoex {' '.join(path)}" in text


def test_readme_and_guides_name_real_make_targets() -> None:
    for target in set(re.findall(r"`make ([a-z]+)|^\$ make ([a-z]+)", README, re.MULTILINE)):
        assert re.search(rf"^{''.join(target)}:", MAKEFILE, re.MULTILINE), target


@pytest.mark.parametrize("name", list(reference.FILES))
def test_the_reference_and_the_man_page_are_what_the_commands_say(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == reference.FILES[name](), "run `make docs`"


def test_the_reference_holds_every_command_and_every_option() -> None:
    text = reference.markdown()

    for path in paths(app):
        assert f"## wacoex {' '.join(path)}\n" in text
    assert "`--canary N`" in text
    assert text.count("`--no-input`") == 1


def test_the_man_page_is_sound() -> None:
    text = reference.manual()

    assert ".SH EXIT STATUS\n.TP\n\\fB0\\fR\ndone\n" in text
    for name in VARIABLES:
        assert f"\\fB{name}\\fR" in text
    macros = {"TH", "SH", "SS", "TP", "PP", "nf", "fi", '\\"'}
    requests = {line.split(" ")[0][1:] for line in text.splitlines() if line.startswith(".")}
    assert requests <= macros
    if shutil.which("groff"):
        checked = subprocess.run(
            ["groff", "-man", "-ww", "-z", "-T", "utf8"], input=text, text=True, capture_output=True
        )
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.timeout(400)
def test_the_pictures_are_current() -> None:
    noted = json.loads(pictures.MADE_FROM.read_text(encoding="utf-8"))

    assert noted == pictures.made_from(), "run `make pictures`, and look at them"
    drawn = (pictures.PICTURES / "status.svg").read_text(encoding="utf-8")
    assert "critical" in drawn
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")


def test_a_group_made_alone_parses_too() -> None:
    """The parser this file relies on refuses what the program refuses."""
    empty = group("", "Nothing in here.")
    with pytest.raises(Exception, match="No such command"):
        parse(empty, ["bogus"])
