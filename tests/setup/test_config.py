"""`wacoex config`: current settings and secrets, which stay secret, and `.env.example`."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wacoex_cli
from wacoex_cli.app import app
from wacoex_cli.foundation.settings import SECRET_VARIABLES, VARIABLES, Settings, read_sources
from wacoex_cli.foundation.settings_cache import load_settings
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID, World


@pytest.fixture
def config(isolated_home: Path) -> Path:
    path = isolated_home / ".config/wacoex/config.toml"
    path.parent.mkdir(parents=True)
    return path


def by_name(entries: list[dict[str, Any]]) -> dict[str, tuple[Any, str]]:
    return {entry["name"]: (entry["value"], entry["source"]) for entry in entries}


def test_every_setting_and_secret_is_shown(run) -> None:
    data = run("config", "show", "--json").data

    assert [entry["name"] for entry in data["settings"]] == list(Settings._fields)
    assert [entry["name"] for entry in data["secrets"]] == list(SECRET_VARIABLES)


def test_each_value_is_shown_with_the_place_it_comes_from(run, config: Path) -> None:
    config.write_text(
        'meta_app_id = "1"\ntimezone = "Asia/Tokyo"\n[channels.shop]\ntimezone = "Asia/Singapore"\n'
    )
    Path(".env").write_text("WACOEX_META_API_VERSION=v27.0\n")
    env = {"WACOEX_META_CONFIG_ID": "2"}

    shown = by_name(run("config", "show", "-c", "shop", "--json", env=env).data["settings"])

    assert shown["channel"] == ("shop", "--channel")
    assert shown["meta_config_id"] == ("2", "WACOEX_META_CONFIG_ID in the environment")
    assert shown["meta_api_version"] == ("v27.0", "WACOEX_META_API_VERSION in .env")
    assert shown["timezone"] == ("Asia/Singapore", f"timezone of a channel in {config}")
    assert shown["meta_app_id"] == ("1", f"meta_app_id in {config}")
    assert shown["breaker_rows"] == (20, "default")


def test_the_last_four_characters_of_a_secret_are_shown(run) -> None:
    Path(".env").write_text("WACOEX_META_APP_SECRET=app-secret-0123456789\n")
    Path(".env").chmod(0o600)
    env = {"WACOEX_META_TOKEN": "EAAtoken-0123456789", "WACOEX_RESPONDIO_TOKEN": "two words"}

    done = run("config", "show", env=env)

    assert [line.split("\t") for line in done.out.splitlines()[-7:]] == [
        ["meta-token", "****6789", "WACOEX_META_TOKEN"],
        ["meta-app-secret", "****6789", "WACOEX_META_APP_SECRET in .env"],
        [
            "respondio-token",
            "",
            "WACOEX_RESPONDIO_TOKEN holds a space, a line break or another unusual character",
        ],
        ["respondio-signing-key", "", "not set"],
        ["webhook-verify-token", "", "not set"],
        ["notify-urls", "", "not set"],
        ["heartbeat-url", "", "not set"],
    ]


def test_the_paths_are_shown_whether_they_exist_or_not(run, config: Path) -> None:
    config.write_text("")

    found = {path["name"]: path for path in run("config", "path", "--json").data["paths"]}

    assert found["config.toml"] == {"name": "config.toml", "path": str(config), "exists": True}
    assert found["config directory"]["path"] == str(config.parent)
    assert found["state"]["exists"] is False
    assert found[".env"]["path"] == str(Path(".env").absolute())
    assert not Path(found["state"]["path"]).parent.exists(), "looking creates nothing"


def test_a_limit_of_an_error_is_a_number_of_rows_or_a_share(run, config: Path) -> None:
    config.write_text('[breaker_limits]\nambiguous = 5\n"131026" = 200\n"131049" = "20%"\n')

    shown = by_name(run("config", "show", "--json").data["settings"])

    answer = "{'ambiguous': 5, '131026': 200, '131049': 0.2}"
    assert shown["breaker_limits"] == (answer, f"breaker_limits in {config}")


EXAMPLE = Path(wacoex_cli.__file__).parents[1] / ".env.example"
LINE = re.compile(r"^#(WACOEX_[A-Z_]+)=(\S+)$", re.MULTILINE)


def test_every_variable_is_named_once() -> None:
    named = [name for name, _ in LINE.findall(EXAMPLE.read_text())]

    assert sorted(named) == sorted(VARIABLES)
    assert set(SECRET_VARIABLES.values()) <= set(named)


def test_everything_is_commented_out_and_explained_in_the_line_above() -> None:
    lines = EXAMPLE.read_text().splitlines()

    assert all(line.startswith("#") for line in lines if line)
    for before, line in itertools.pairwise(lines):
        if LINE.match(line):
            assert before.startswith("# ")
            assert before.endswith(".")


def test_the_examples_are_valid(tmp_path: Path) -> None:
    path = tmp_path / "example.env"
    path.write_text(LINE.sub(r"\1=\2", EXAMPLE.read_text()))
    sources = read_sources(env_file=path, environ={})

    settings = load_settings(sources)

    assert list(sources.warnings()) == []
    assert settings.channel == "shop"


def test_the_defaults_are_those_of_the_program() -> None:
    answer = dict(LINE.findall(EXAMPLE.read_text()))

    for name in ("meta_base_url", "meta_api_version", "meta_sdk_url"):
        assert answer[f"WACOEX_{name.upper()}"] == Settings._field_defaults[name]


MARKED = {
    variable: f"MARK{number}-{name}-0123456789"
    for number, (name, variable) in enumerate(SECRET_VARIABLES.items())
} | {"WACOEX_META_TOKEN": DEFAULT_TOKEN}
# They run until they are stopped, start programs of their own, or change the crontab of the
# person who runs the tests.
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
    for name, command in found.commands.items():
        yield from commands(command, (*path, name))


def command_lines() -> Iterator[list[str]]:
    """Each command bare, which is often a usage error, and with a word where it takes one."""
    for path, command in commands():
        if path in ENDLESS:
            continue
        yield list(path)
        if any(parameter.param_type_name == "argument" for parameter in command.params):
            yield [*path, "shop"]
            yield [*path, "meta-token"]


def test_no_option_asks_for_a_secret() -> None:
    for path, command in commands():
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                is_telling = any(word in option for word in ("token", "secret", "password"))
                is_option = option.startswith("-")
                assert not (is_option and is_telling) or option.endswith("-file"), path


@pytest.mark.parametrize("loudness", LOUDNESS, ids=" ".join)
def test_no_command_shows_a_secret(run, world: World, tmp_path: Path, loudness: list[str]) -> None:
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
def test_logging_in_shows_no_secret(
    run, world: World, keyring_entries: dict[tuple[str, str], str], loudness: list[str]
) -> None:
    for typed in ("MARK with space", "MARK\x07bell", "EAAMARKunknown-0123456789"):
        done = run("auth", "login", "meta-token", *loudness, stdin=typed)

        assert done.code in {2, 4}
        assert "MARK" not in done.out + done.err
    assert keyring_entries == {}


@pytest.mark.parametrize("loudness", LOUDNESS, ids=" ".join)
def test_at_most_the_end_of_a_stored_secret_is_shown(
    run, keyring_entries: dict[tuple[str, str], str], loudness: list[str]
) -> None:
    for arguments in (["respondio-token"], ["webhook-verify-token", "--insecure-file"]):
        run("auth", "login", *arguments, stdin="MARK-0123456789-0123456789")
    for line in (["auth", "status"], ["config", "show"], ["auth", "logout", "respondio-token"]):
        done = run(*line, *loudness)

        assert "MARK" not in done.out + done.err
