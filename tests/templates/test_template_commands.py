"""`wacoex template list | show` against the sandbox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wacoex_cli.sandbox import world as pretend
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import running


@pytest.fixture
def practice(run, monkeypatch) -> Iterator[None]:
    with running(default_world()) as base_url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", base_url)
        monkeypatch.setenv("WACOEX_META_TOKEN", pretend.DEFAULT_TOKEN)
        ids = ("--phone-number-id", pretend.PHONE_NUMBER_ID, "--waba-id", pretend.WABA_ID)
        assert run("channel", "add", "practice", "--phone", pretend.PHONE, *ids).code == 0
        yield


@pytest.mark.usefixtures("practice")
def test_list_shows_for_each_template_what_matters_for_sending(run):
    lines = run("template", "list").out.splitlines()

    assert "appointment\ten_US\tAPPROVED\tUTILITY\theader.1 1 button.0\tGREEN\tTEXT\tURL" in lines
    assert "spring_sale\ten_US\tAPPROVED\tMARKETING\tfirst_name\tGREEN\t\tQUICK_REPLY" in lines
    assert "new_menu\ten_US\tAPPROVED\tMARKETING\theader 1\tGREEN\tIMAGE\t" in lines
    assert "flash_sale\ten_US\tPAUSED" in "\n".join(lines)


@pytest.mark.usefixtures("practice")
def test_the_json_of_a_template_names_every_place_and_button(run):
    [shown] = run("template", "show", "appointment", "--json").data["templates"]

    assert (shown["status"], shown["category"], shown["quality"]) == (
        "APPROVED",
        "UTILITY",
        "GREEN",
    )
    assert (shown["parameter_format"], shown["header"]) == ("POSITIONAL", "TEXT")
    common = {"kind": "text", "card": None, "media": None, "is_optional": False}
    assert shown["placeholders"] == [
        {"key": "header.1", "where": "header", "index": None, "example": "Monday", **common},
        {"key": "1", "where": "body", "index": None, "example": "Ana", **common},
        {
            "key": "button.0",
            "where": "button",
            "index": 0,
            "example": "https://bakery.example/a/17",
            **common,
        },
    ]
    assert shown["buttons"] == [
        {
            "index": 0,
            "type": "URL",
            "text": "Change it",
            "url": "https://bakery.example/a/{{1}}",
            "phone_number": None,
        }
    ]
    assert shown["why_not"] is None
    listed = run("template", "list", "--json").data["templates"]
    assert shown in listed


@pytest.mark.usefixtures("practice")
def test_show_prints_the_text_and_how_to_fill_it(run):
    shown = run("template", "show", "spring_sale")

    assert shown.out.splitlines() == [
        "spring_sale (en_US): APPROVED, MARKETING, quality GREEN",
        "  | Hello {{first_name}}, our spring sale is on.",
        "  | ",
        "  | [Stop promotions]",
        "  --param first_name=COLUMN",
        "  placeholders (named):",
        "    first_name: in the body, for example Ana",
        "  may be left out:",
        "    button.0: payload of button 0",
        "  a file for --values (wacoex template skeleton spring_sale > values.toml):",
        '    first_name = { column = "first_name" }  # in the body',
        '    # "button.0" = "yes"  # payload of button 0',
    ]


@pytest.mark.usefixtures("practice")
def test_show_of_media_in_a_header_says_what_it_needs(run):
    shown = run("template", "show", "new_menu").out

    assert "  | (IMAGE {{header}})\n  | \n  | Hello {{1}}, here is our new menu." in shown
    assert "    header: IMAGE of the header\n    1: in the body, for example Ana\n" in shown


@pytest.mark.usefixtures("practice")
@pytest.mark.parametrize(
    ("name", "said"),
    [("flash_sale", "its status is PAUSED"), ("free_money", "  rejected: SCAM")],
)
def test_show_says_why_a_template_cannot_be_sent(run, name, said):
    assert said in run("template", "show", name).out


@pytest.mark.usefixtures("practice")
def test_show_of_a_template_without_placeholders_has_nothing_to_fill(run):
    assert run("template", "show", "opening_hours").out.count("  nothing to fill\n") == 2


@pytest.mark.usefixtures("practice")
def test_show_of_an_unknown_template_suggests_the_nearest(run):
    shown = run("template", "show", "spring_sail")

    assert shown.code == 2
    assert "hint: did you mean `spring_sale`?" in shown.err


@pytest.fixture
def respondio_practice(run, monkeypatch) -> Iterator[None]:
    with running(default_world()) as base_url:
        monkeypatch.setenv("WACOEX_RESPONDIO_BASE_URL", f"{base_url}/respondio/v2")
        monkeypatch.setenv("WACOEX_RESPONDIO_TOKEN", DEFAULT_RESPONDIO_TOKEN)
        ids = ("--provider", "respondio", "--respondio-channel-id", str(RESPONDIO_CHANNEL_ID))
        assert run("channel", "add", "practice", "--phone", pretend.PHONE, *ids).code == 0
        yield


@pytest.mark.usefixtures("respondio_practice")
def test_a_channel_of_respondio_has_the_templates_that_respondio_knows(run):
    listed = run("template", "list", "--json").data

    assert listed["source"] == "respondio"
    assert {template["quality"] for template in listed["templates"]} == {None}
    lines = run("template", "list").out.splitlines()
    assert "appointment\ten_US\tAPPROVED\tUTILITY\theader.1 1 button.0\t\tTEXT\tURL" in lines
    shown = run("template", "show", "spring_sale").out
    assert "APPROVED, MARKETING, quality not given by respond.io" in shown
    assert "--param first_name=COLUMN" in shown


@pytest.mark.usefixtures("respondio_practice")
def test_an_unknown_template_of_respondio_suggests_the_nearest(run):
    assert "did you mean `spring_sale`?" in run("template", "show", "spring_sail").err
