"""Help, version, usage errors and TAB answer without loading anything heavy."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = [
    "aiohttp",
    "asyncio",
    "apprise",
    "babel",
    "httpx",
    "jinja2",
    "keyring",
    "defusedxml",
    "python_calamine",
    "phonenumbers",
    "platformdirs",
    "pydantic",
    "pydantic_settings",
    "rich",
    "sqlglot",
    "sqlite_utils",
    "starlette",
    "uvicorn",
]
NOT_FOR_WATCHING = [
    "broadcast.checks",
    "contacts.stops",
    "ledger.model",
    "onboarding.model",
    "sending.takeover",
    "templates.model",
]
PROBE = """
import atexit, sys
atexit.register(lambda: print("loaded:", *(m for m in {heavy!r} if m in sys.modules)))
from wacoex_cli.__main__ import main
sys.argv[0] = "wacoex"
sys.exit(main())
"""


def start(
    *arguments: str, program: str = PROBE.format(heavy=HEAVY), **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["--help"], 0),
        (["channel", "add", "--help"], 0),
        (["events", "listen", "--help"], 0),
        (["help", "broadcast", "send"], 0),
        (["chanel"], 2),
        (["channel", "list", "--bogus"], 2),
        (["channel", "list", "--bogus", "--json"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_answers_without_heavy_libraries(arguments: list[str], code: int) -> None:
    ended = start(*arguments)

    assert ended.stdout.splitlines()[-1] == "loaded:"
    assert ended.returncode == code


def test_completes_in_bash_without_heavy_libraries() -> None:
    ended = start(_WACOEX_COMPLETE="complete_bash", COMP_WORDS="wacoex channel res", COMP_CWORD="2")

    assert ended.stdout.splitlines() == ["restore", "loaded:"]


@pytest.mark.parametrize(
    ("shell", "offered"),
    [("bash", "shop"), ("zsh", "shop:+6560000001"), ("fish", "shop\t+6560000001")],
)
def test_completes_names_without_heavy_libraries(run, state, shell: str, offered: str) -> None:
    used = {"WACOEX_STATE": str(state.path)}
    run("channel", "add", "shop", "--phone", "+6560000001", env=used)

    ended = start(
        _WACOEX_COMPLETE=f"complete_{shell}",
        COMP_WORDS="wacoex channel show s",
        COMP_CWORD="3",
        _TYPER_COMPLETE_ARGS="wacoex channel show s",
        **used,
    )

    # platformdirs says where config.toml is, here as everywhere; it costs a few milliseconds.
    assert ended.stdout.splitlines() == [offered, "loaded: platformdirs"]


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["--help"], {}),
        (["chanel", "--json"], {}),
        ([], {"_WACOEX_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "wacoex chan"}),
    ],
)
def test_the_list_of_commands_is_known_without_any_of_them(
    arguments: list[str], environ: dict[str, str]
) -> None:
    loaded = "m for m in sys.modules if m.startswith('wacoex_cli') and m.endswith('commands')"
    program = PROBE.replace("m for m in {heavy!r} if m in sys.modules", loaded)

    assert start(*arguments, program=program, **environ).stdout.splitlines()[-1] == "loaded:"


def test_only_the_command_that_is_used_is_loaded() -> None:
    loaded = "m for m in sys.modules if m.startswith('wacoex_cli') and m.endswith('commands')"
    program = PROBE.replace("m for m in {heavy!r} if m in sys.modules", loaded)

    ended = start("channel", "add", "--help", program=program)

    assert ended.stdout.splitlines()[-1] == "loaded: wacoex_cli.channels.commands"


def test_status_without_broadcasts_and_journeys_loads_nothing_of_them(run, state) -> None:
    used = {"WACOEX_STATE": str(state.path)}
    run("channel", "add", "shop", "--phone", "+6560000001", env=used)
    run("status", "--offline", env=used)  # brings the projections up to date
    program = PROBE.format(heavy=[f"wacoex_cli.{name}" for name in NOT_FOR_WATCHING])

    ended = start("status", "--offline", program=program, **used)

    assert "shop" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "loaded:"


def test_version_loads_not_even_typer() -> None:
    program = (
        "import sys; from wacoex_cli.__main__ import main; main(); print('typer' in sys.modules)"
    )

    assert start("--version", program=program).stdout == "wacoex 0.1.0\nFalse\n"
