"""What is shared shows no phone number: the one way to mask it, and a table that all who do use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from wacoex_cli.foundation.masking import mask, masked, masked_text, masked_texts

TABLE = Path(__file__).parents[1] / "support" / "masked_texts.json"


@pytest.mark.parametrize(("text", "shown"), json.loads(TABLE.read_text()))
def test_identifying_parts_of_a_text_are_masked(text: str, shown: str) -> None:
    assert masked_text(text) == shown


@pytest.mark.parametrize(("text", "shown"), json.loads(TABLE.read_text()))
def test_masking_twice_changes_nothing(text: str, shown: str) -> None:
    assert masked_text(shown).replace("*", "") == shown.replace("*", "")


PARTS = st.sampled_from(
    [*"0129+%Bb.,:Z \x1f\n", "6591234567", "wamid.", "HBgK", "SG.", "user_id:", "2026-11-07T12:00"]
)


@given(st.lists(st.lists(PARTS).map("".join), min_size=1))
@example(["2026-11-07T12:00:00.000Z", "2026-11-07T12:00:00.001Z"])
@example(["a\x1fb", "6591234567"])
@example(["2026-11-07T12:00:00.000Z", "6591234567"])
def test_many_texts_at_once_are_masked_like_each_alone(texts: list[str]) -> None:
    assert masked_texts(texts) == [masked_text(text) for text in texts]


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("+60123454321", "+60*****4321"),
        ("+6591234567", "+65****4567"),
        ("+14155552671", "+1******2671"),
        ("+390669812345", "+39******2345"),
        ("someone", "*******"),
        ("", ""),
    ],
)
def test_a_masked_number_keeps_its_calling_code_and_four_digits(phone: str, shown: str) -> None:
    assert mask(phone) == shown


@pytest.mark.parametrize("code", COUNTRY_CODE_TO_REGION_CODE)
def test_masking_knows_every_calling_code(code: int) -> None:
    assert mask(f"+{code}00001234") == f"+{code}****1234"


def test_keys_and_parts_of_lists_are_masked_too() -> None:
    assert masked({"+6591234567": ["wa_id 6591234567", 6591234567, None, True]}) == {
        "+65****4567": ["wa_id +65****4567", 6591234567, None, True]
    }


def test_parts_of_a_list_of_secrets_are_masked_too() -> None:
    assert masked({"a": ["mailto://one", 1, None]}, ["json://first, mailto://one"]) == {
        "a": ["****", 1, None]
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("user_id:US.13491208655302741918 wrote", "user_id:US.****1918 wrote"),
        ("to SG.91234567.", "to SG.****."),
        ("the parent SG.ENT.9812345678", "the parent SG.ENT.****5678"),
        ("user_id:DE.abc", "user_id:DE.****"),
        ('{"recipient": "BR.1000000000000001"}', '{"recipient": "BR.****0001"}'),
        ("It is done.OK, US.Army, v1.DE.12", "It is done.OK, US.Army, v1.DE.12"),
    ],
)
def test_user_ids_are_masked_as_numbers_are(text: str, shown: str) -> None:
    assert masked_text(text) == shown
    assert masked_text(shown) == shown


def test_a_user_id_in_the_place_of_a_number_keeps_its_country_and_four_digits() -> None:
    assert mask("user_id:US.13491208655302741918") == "user_id:US.****1918"
