"""What a plan says beside a number that cannot be sent to."""

from __future__ import annotations

import pytest

from wacoex_cli.audience.recipients_file import why_invalid


@pytest.mark.parametrize("text", ["6.59E+10", "6,59E+10", "6.591234567e10", "'6.59E+10", "7E+9"])
def test_a_number_a_spreadsheet_shortened_is_named_for_what_it_is(text: str) -> None:
    assert "its digits are lost" in why_invalid(text, "SG")


@pytest.mark.parametrize(
    ("text", "country", "said"),
    [
        ("", None, "no number in this row"),
        (" ", "SG", "no number in this row"),
        ("9123 4567", None, "neither + and country code nor --country"),
        ("123", "SG", "not a phone number of SG"),
        ("call Ana", None, "not a phone number"),
    ],
)
def test_other_faults_have_their_own_words(text: str, country: str | None, said: str) -> None:
    assert why_invalid(text, country) == said
