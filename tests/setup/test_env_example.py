"""`.env.example` names every variable, and its examples are fit."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import wacoex_cli
from wacoex_cli.foundation.settings import SECRET_VARIABLES, VARIABLES, Settings, read_sources
from wacoex_cli.foundation.settings_cache import load_settings

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


def test_the_examples_are_fit(tmp_path: Path) -> None:
    path = tmp_path / "example.env"
    path.write_text(LINE.sub(r"\1=\2", EXAMPLE.read_text()))
    sources = read_sources(env_file=path, environ={})

    settings = load_settings(sources)

    assert list(sources.warnings()) == []
    assert settings.channel == "shop"


def test_the_defaults_are_those_of_the_program() -> None:
    told = dict(LINE.findall(EXAMPLE.read_text()))

    for name in ("meta_base_url", "meta_api_version", "meta_sdk_url"):
        assert told[f"WACOEX_{name.upper()}"] == Settings._field_defaults[name]
