"""`--truncate`: whatever the values, the message fits and nothing is torn."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wacoex_cli.templates.model import Template
from wacoex_cli.templates.rule import beyond_limit, cut_to_limits, text_limits
from wacoex_cli.templates.values import ParameterSource, fill

URL = {"type": "URL", "text": "Pay", "url": "https://pay.example/{{1}}"}
CARD = {
    "components": [
        {"type": "HEADER", "format": "IMAGE"},
        {"type": "BODY", "text": "Only {{1}}, {{2}}."},
        {"type": "BUTTONS", "buttons": [URL]},
    ]
}
TEMPLATE = Template(
    "everything",
    "en_US",
    "APPROVED",
    "MARKETING",
    "POSITIONAL",
    (
        {"type": "HEADER", "format": "TEXT", "text": "For {{1}}"},
        {"type": "BODY", "text": "Hi {{1}}, {{2}}. Bye {{1}}, {{3}}!"},
        {"type": "BUTTONS", "buttons": [URL]},
        {"type": "CAROUSEL", "cards": [CARD]},
    ),
    "1",
)
KEYS = ("header.1", "1", "2", "3", "button.0", "card.0.1", "card.0.2", "card.0.button.0")
SOURCES = tuple(ParameterSource(key, column=key) for key in KEYS)
LIMITS = text_limits(TEMPLATE, SOURCES)
URL_PLACES = [KEYS.index(key) for key in KEYS if "button" in key]

SIGNS = (
    *(
        "a",
        "B",
        "7",
        " ",
        ".",
        "é",
        "e\u0301",
        "n\u0303",
        "ß",
        "中",
        "\u0939\u093f",
        "\u0e01\u0e33",
    ),
    *("😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "❤️", "1️⃣", "🇸🇬", "🇩🇪", "a\u0300\u0301\u0302"),
    *("한", "\u1112\u1161\u11ab", "\U0001f3f4\U000e0067\U000e0062\U000e007f"),
)
LINKS = ("https://shop.example/a?b=c", "www.shop.example", "wa.me/6591234567")


@st.composite
def signs(draw):
    """A text as the signs that a person sees, from none to more than any limit."""
    part = draw(st.lists(st.sampled_from(SIGNS), min_size=1, max_size=12))
    return ["x", *part * draw(st.sampled_from([1, 2, 9, 40, 120])), "y"]


@settings(max_examples=50)
@given(st.lists(signs(), min_size=len(KEYS), max_size=len(KEYS)), st.data())
def test_a_cut_text_fits_and_no_character_is_split(texts, data):
    linked = data.draw(st.sets(st.sampled_from(range(len(KEYS)))))
    for place in linked:
        texts[place] = [*texts[place], " ", data.draw(st.sampled_from(LINKS))]
    values = ["".join(text) for text in texts]
    cut = cut_to_limits(LIMITS, values)

    for limit in LIMITS:
        changed = [place for place in limit.places if cut[place] != values[place]]
        if not limit.is_prose:
            assert not changed
            continue
        can_be_cut = set(limit.places) - linked
        least = limit.fixed + sum(
            1 if place in can_be_cut else len(values[place]) for place in limit.places
        )
        assert beyond_limit([limit], cut) is None or least > limit.most
        assert changed == [] or beyond_limit([limit], values)
        assert can_be_cut.issuperset(changed)
        whole = can_be_cut.difference(changed)
        for place in changed:
            assert all(len(values[other]) <= len(values[place]) for other in whole)
            start = cut[place].removesuffix("…")
            assert cut[place] != start and values[place].startswith(start)
            assert len(start) in accumulate(map(len, texts[place]), initial=0)


@pytest.mark.parametrize("link", LINKS)
def test_a_value_with_a_link_is_never_cut_so_its_row_is_skipped(link):
    values = fill(SOURCES, {**dict.fromkeys(KEYS, "a"), "2": f"{'x' * 1020} {link}"})
    assert values is not None

    assert cut_to_limits(LIMITS, values)[2] == values[2]
    assert beyond_limit(LIMITS, cut_to_limits(LIMITS, values))
