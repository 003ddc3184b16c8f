"""No output, no file and no option gives a secret away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.app import app
from wacoex_cli.foundation.settings import SECRET_VARIABLES
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID, World

MARKED = {
    variable: f"MARK{number}-{name}-0123456789"
    for number, (name, variable) in enumerate(SECRET_VARIABLES.items())
} | {"WACOEX_META_TOKEN": DEFAULT_TOKEN}
# They run until they are stopped, start programs of their own, or change the crontab of whoever
# runs the tests.
ENDLESS = {
    ("demo",),
    ("events", "listen"),
    ("reminder", "schedule", "install"),
    ("reminder", "schedule", "remove"),
    ("sandbox", "start"),
}
LOUDNESS = [["-qq"], [], ["-v"], ["-vv", "--debug"], ["-vv", "--json"]]
SHOP = ("--phone", PHONE, "--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID)


def commands(at: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    found = at or app
    if not hasattr(found, "commands"):
        yield path, found
        return
    for name, one in found.commands.items():
        yield from commands(one, (*path, name))


def command_lines() -> Iterator[list[str]]:
    """Each command bare, which is often a usage error, and with a word where it takes one."""
    for path, one in commands():
        if path in ENDLESS:
            continue
        yield list(path)
        if any(parameter.param_type_name == "argument" for parameter in one.params):
            yield [*path, "shop"]
            yield [*path, "meta-token"]


def test_no_option_asks_for_a_secret() -> None:
    for path, one in commands():
        for parameter in one.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                is_telling = any(word in option for word in ("token", "secret", "password"))
                is_option = option.startswith("-")
                assert not (is_option and is_telling) or option.endswith("-file"), path


@pytest.mark.parametrize("loudness", LOUDNESS, ids=" ".join)
def test_no_command_gives_a_secret_away(
    run, world: World, tmp_path: Path, loudness: list[str]
) -> None:
    run("channel", "add", "shop", *SHOP)
    for line in command_lines():
        done = run(*line, *loudness, env=MARKED)

        for secret in MARKED.values():
            assert secret not in done.out + done.err, line
    for directory, _, names in os.walk(tmp_path):
        for name in names:
            content = (Path(directory) / name).read_bytes()
            assert not any(secret.encode() in content for secret in MARKED.values()), name


@pytest.mark.parametrize("loudness", LOUDNESS, ids=" ".join)
def test_logging_in_gives_nothing_away(
    run, world: World, keyring_entries: dict[tuple[str, str], str], loudness: list[str]
) -> None:
    for typed in ("MARK with space", "MARK\x07bell", "EAAMARKunknown-0123456789"):
        done = run("auth", "login", "meta-token", *loudness, stdin=typed)

        assert done.code in {2, 4}
        assert "MARK" not in done.out + done.err
    assert keyring_entries == {}


@pytest.mark.parametrize("loudness", LOUDNESS, ids=" ".join)
def test_what_is_stored_is_shown_by_its_end_at_most(
    run, keyring_entries: dict[tuple[str, str], str], loudness: list[str]
) -> None:
    for arguments in (["respondio-token"], ["webhook-verify-token", "--insecure-file"]):
        run("auth", "login", *arguments, stdin="MARK-0123456789-0123456789")
    for line in (["auth", "status"], ["config", "show"], ["auth", "logout", "respondio-token"]):
        done = run(*line, *loudness)

        assert "MARK" not in done.out + done.err
