"""`wacoex config`: which value counts, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.foundation.settings import SECRET_VARIABLES, Settings


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


def test_of_a_secret_the_last_four_characters_are_shown(run) -> None:
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

    found = {one["name"]: one for one in run("config", "path", "--json").data["paths"]}

    assert found["config.toml"] == {"name": "config.toml", "path": str(config), "exists": True}
    assert found["config directory"]["path"] == str(config.parent)
    assert found["state"]["exists"] is False
    assert found[".env"]["path"] == str(Path(".env").absolute())
    assert not Path(found["state"]["path"]).parent.exists(), "looking creates nothing"


def test_a_limit_of_an_error_is_a_number_of_rows_or_a_share(run, config: Path) -> None:
    config.write_text('[breaker_limits]\nambiguous = 5\n"131026" = 200\n"131049" = "20%"\n')

    shown = by_name(run("config", "show", "--json").data["settings"])

    told = "{'ambiguous': 5, '131026': 200, '131049': 0.2}"
    assert shown["breaker_limits"] == (told, f"breaker_limits in {config}")
