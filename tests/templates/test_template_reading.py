"""Finding a template by its exact name and language."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wacoex_cli.errors import UsageError
from wacoex_cli.templates.model import Template
from wacoex_cli.templates.reading import find_template


class Templates:
    """A WABA's templates behind a filter that finds names containing the word, as Meta's does."""

    def __init__(self, *records: tuple[str, str]) -> None:
        self._records = [
            {"name": name, "language": language, "status": "APPROVED", "id": str(number)}
            for number, (name, language) in enumerate(records)
        ]

    async def templates(self, waba_id: str, *, name: str | None = None) -> list[dict[str, Any]]:
        assert waba_id == "waba"
        return [record for record in self._records if (name or "") in record["name"]]


WABA = Templates(("promo_2", "en"), ("promo", "en"), ("promo", "pt_BR"), ("greeting", "en"))


def find(name: str, language: str, waba: Templates = WABA) -> Template:
    return asyncio.run(find_template(waba, "waba", name, language))


def test_name_and_language_have_to_fit_exactly() -> None:
    assert find("promo", "en").template_id == "1"
    assert find("promo", "pt_BR").template_id == "2"


def test_missing_fields_of_a_record_take_meta_s_defaults() -> None:
    found = find("greeting", "en")
    assert found.parameter_format == "POSITIONAL"
    assert found.components == ()


@pytest.mark.parametrize(
    ("name", "language", "message", "hint"),
    [
        ("promo", "pt", "does not exist in language `pt`", "it exists in `en`, `pt_BR`"),
        ("prom", "en", "there is no template `prom`", "did you mean `promo`, `promo_2`?"),
        ("zzz", "en", "there is no template `zzz`", "`wacoex template list` shows them all"),
    ],
)
def test_an_unknown_template_is_answered_with_what_there_is(
    name: str, language: str, message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        find(name, language)
    assert caught.value.code == "unknown_template"
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_waba_without_templates_says_so() -> None:
    with pytest.raises(UsageError) as caught:
        find("promo", "en", Templates())
    assert caught.value.hint == "there are no templates yet"
