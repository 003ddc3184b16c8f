"""Files of values: TOML, YAML and JSON, and the skeleton of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.world import WABA_ID
from wacoex_cli.templates.components import MessageForm
from wacoex_cli.templates.conversions import conversions, settle
from wacoex_cli.templates.model import Template, placeholders
from wacoex_cli.templates.rule import check_sendable, resolve_sources
from wacoex_cli.templates.values import ParameterSource, fill, values_of
from wacoex_cli.templates.values_file import skeleton, sources_in

NOW = from_text("2026-11-29T07:00:00.000Z")
TEMPLATES = {
    (node.values["name"], node.values["language"]): Template.from_meta(node.values)
    for node in default_world().templates(WABA_ID)
}
MENU, CARDS = TEMPLATES["new_menu", "en_US"], TEMPLATES["cake_cards", "en_US"]
BEST, TABLE = TEMPLATES["best_sellers", "en_US"], TEMPLATES["book_table", "en_US"]


def written(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("v.toml", '1 = { column = "name" }\nheader = "https://a.example/1.jpg"\n'),
        ("v.toml", '[1]\ncolumn = "name"\n[header]\ncolumn = "picture"\n'),
        ("v.yaml", "1: {column: name}\nheader: https://a.example/1.jpg\n"),
        ("v.yml", "1:\n  column: name\nheader: column:picture\n"),
        ("v.json", '{"1": {"column": "name"}, "header": "https://a.example/1.jpg"}'),
        ("v.json", '\ufeff{"1": {"column": "name"}, "header": "id:12"}'),
    ],
)
def test_toml_yaml_and_json_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    sources = {source.key: source for source in sources_in(written(tmp_path, name, text), MENU)}

    assert sources.keys() == {"1", "header"}
    assert sources["1"] == ParameterSource("1", column="name")
    header = sources["header"]
    assert (header.column, header.value) in [
        (None, "https://a.example/1.jpg"),
        (None, "id:12"),
        ("picture", None),
    ]


def test_keys_may_be_written_flat_or_as_tables_inside_each_other(tmp_path: Path) -> None:
    flat = written(tmp_path, "flat.toml", '"card.0.1" = 2\n"card.0.button.1" = "lemon"\n')
    deep = written(tmp_path, "deep.toml", '[[card]]\n1 = "2"\nbutton.1 = "lemon"\n')

    assert sources_in(flat, CARDS) == sources_in(deep, CARDS)


def test_a_structure_is_kept_as_it_is(tmp_path: Path) -> None:
    text = '[[products]]\ntitle = "Cakes"\nitems = ["A-1", 7]\n'
    [products] = sources_in(written(tmp_path, "v.toml", text), BEST)
    assert products.value == [{"title": "Cakes", "items": ["A-1", 7]}]

    [settled] = settle([products], conversions(BEST, Provider.META, "UTC", NOW))
    assert settled.value == [{"title": "Cakes", "items": ["A-1", "7"]}]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("v.toml", "1 = ", "not valid TOML"),
        ("v.yaml", "1: [", "not valid YAML"),
        ("v.json", "{", "not valid JSON"),
        ("v.json", "[" * 100_000, "not valid JSON"),
        ("v.toml", "\xff", "not valid TOML"),
        ("v.yaml", "- 1\n", "must hold names with values"),
        ("v.csv", "1,2\n", "must end in .toml, .yaml, .yml or .json"),
        ("v.toml", "1 = true", "the value of `1` is true"),
        ("v.toml", '1 = ""', "the value of `1` is empty"),
        ("v.yaml", "1:\n", "the value of `1` is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        sources_in(written(tmp_path, name, text), MENU)
    assert caught.value.code == "bad_values"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none\.toml"):
        sources_in(tmp_path / "none.toml", MENU)


def test_a_name_that_the_template_does_not_have_suggests_the_nearest(tmp_path: Path) -> None:
    sources = sources_in(written(tmp_path, "v.toml", 'heder = "id:1"'), MENU)
    with pytest.raises(UsageError, match="no placeholder `heder`") as caught:
        resolve_sources(MENU, sources, [])
    assert caught.value.hint == "did you mean `header`?"


def sendable() -> list[Template]:
    found = []
    for template in TEMPLATES.values():
        try:
            check_sendable(template)
        except UsageError:
            continue
        found.append(template)
    return found


@pytest.mark.parametrize("template", sendable(), ids=lambda template: template.name)
def test_the_skeleton_of_every_template_fills_it_unchanged(
    tmp_path: Path, template: Template
) -> None:
    path = written(tmp_path, "values.toml", "\n".join(skeleton(template)))
    columns = ["first_name"]

    given = sources_in(path, template)
    sources = settle(
        resolve_sources(template, given, columns), conversions(template, Provider.META, "UTC", NOW)
    )
    kept = fill(sources, {"first_name": "Ana"})

    assert kept is not None
    sent: list[dict[str, Any]] = MessageForm(template).components(values_of(sources, kept))
    assert json.dumps(sent)
    assert bool(sent) == any(not place.is_optional for place in placeholders(template))


def test_optional_values_are_comments_in_the_skeleton() -> None:
    lines = list(skeleton(TABLE))
    assert '# "button.0" = "unused"  # flow token of button 0' in lines
    assert '# "button.0.data" = { }  # data of the flow of button 0' in lines
