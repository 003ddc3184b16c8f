"""A template as Meta tells of it, whole or not."""

from __future__ import annotations

from typing import Any

import pytest

from wacoex_cli.templates.model import Template

RECORD: dict[str, Any] = {"name": "promo", "language": "en_US", "status": "APPROVED"}


@pytest.mark.parametrize(
    ("given", "quality"),
    [
        ({"score": "GREEN", "date": 1_760_000_000}, "GREEN"),
        ({"score": "yellow"}, "YELLOW"),
        ("RED", "RED"),
        ({"score": "PURPLE"}, "PURPLE"),
        ({}, None),
        (None, None),
        ([], None),
        ({"score": 3}, None),
    ],
)
def test_quality_is_the_word_that_meta_gives(given: object, quality: str | None) -> None:
    assert Template.from_meta({**RECORD, "quality_score": given}).quality == quality


@pytest.mark.parametrize(
    ("given", "reason"), [("SCAM", "SCAM"), ("NONE", None), ("", None), (None, None), (7, None)]
)
def test_a_reason_is_kept_only_when_there_is_one(given: object, reason: str | None) -> None:
    assert Template.from_meta({**RECORD, "rejected_reason": given}).rejected_reason == reason


def test_a_template_frozen_before_quality_was_kept_is_still_read() -> None:
    frozen = Template.from_meta({**RECORD, "quality_score": {"score": "GREEN"}}).to_json()
    older = {key: frozen[key] for key in frozen if key not in ("quality", "rejected_reason")}

    assert Template.from_json(older).quality is None
    assert Template.from_json(frozen).quality == "GREEN"


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ({"type": "HEADER", "text": "Hi"}, "TEXT"),
        ({"type": "HEADER", "format": "VIDEO"}, "VIDEO"),
        (None, None),
    ],
)
def test_the_header_is_text_media_or_absent(
    header: dict[str, Any] | None, kind: str | None
) -> None:
    components = [header] if header else []
    assert Template.from_meta({**RECORD, "components": components}).header_format == kind
