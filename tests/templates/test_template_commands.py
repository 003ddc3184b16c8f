"""`wacoex template list | show` against the sandbox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wacoex_cli.sandbox import world as pretend
from wacoex_cli.sandbox.defaults import default_world
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
def test_list_names_language_status_and_placeholders(run):
    lines = run("template", "list").out.splitlines()

    assert "spring_sale\ten_US\tAPPROVED\tMARKETING\tfirst_name" in lines
    assert "flash_sale\ten_US\tPAUSED" in "\n".join(lines)


@pytest.mark.usefixtures("practice")
def test_show_prints_the_text_and_how_to_fill_it(run):
    shown = run("template", "show", "spring_sale")

    assert shown.out.splitlines() == [
        "spring_sale (en_US): APPROVED, MARKETING",
        "  | Hello {{first_name}}, our spring sale is on.",
        "  | ",
        "  | [Stop promotions]",
        "  --param first_name=COLUMN",
    ]


@pytest.mark.usefixtures("practice")
def test_show_of_an_unknown_template_suggests_the_nearest(run):
    shown = run("template", "show", "spring_sail")

    assert shown.code == 2
    assert "hint: did you mean `spring_sale`?" in shown.err
