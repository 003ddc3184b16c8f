"""What each of Meta's error codes does to a message and to its broadcast."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from tests.support.meta_codes import AMBIGUOUS, RETRY, ROW, STOP
from wacoex_cli.platforms.error_codes import (
    Outcome,
    classify,
    codes_with_subcode,
    errors_in,
    known_codes,
    retry_delay_seconds,
    with_subcodes,
)

# Met elsewhere than in the answer to a message: only to be explained.
ONLY_EXPLAINED = [
    *(131059, 131060, 133000, 133016, 2593107, 2593108, 2593109),
    *(138024, 138025, 138038, 141002, 141006, 141010, 147005),
    *(1752041, 2494010, 2494029, 2494191, 2655121),
]
CREDENTIAL = [0, 3, 10, 102, 104, 190, *range(200, 300), 131005]
HOLDS_NUMBER = [4, 17, 341, 613, 80007, 80008, 131057, 2494100, 133015, 134101]
ALL = [*RETRY, *AMBIGUOUS, *STOP, *ROW, *ONLY_EXPLAINED]


@pytest.mark.parametrize(
    ("codes", "outcome"),
    [
        (RETRY, Outcome.RETRY),
        (AMBIGUOUS, Outcome.AMBIGUOUS),
        (STOP, Outcome.STOP),
        (ROW + ONLY_EXPLAINED, Outcome.ROW),
    ],
)
def test_each_class_holds_exactly_its_codes(codes: Collection[int], outcome: Outcome) -> None:
    every = {*ALL, *known_codes()}
    assert {code for code in every if classify(code).outcome is outcome} == set(codes)


def test_no_class_reaches_beyond_the_known_codes() -> None:
    neighbours = {code + step for code in ALL for step in (-1, 1)} - set(ALL)
    assert {classify(code).outcome for code in neighbours} == {Outcome.ROW}


@pytest.mark.parametrize("code", ALL)
def test_every_code_has_words_of_its_own(code: int) -> None:
    found = classify(code)
    assert found.code == code
    assert found.meaning != classify(-1).meaning
    assert found.meaning[0].islower() or found.meaning.startswith(("Meta", "WABA"))
    assert not found.meaning.endswith(".")
    assert found.action[0].isupper()
    assert found.action.endswith(".")


def test_the_titles_that_people_paste_are_kept_with_their_code() -> None:
    assert classify(131026).titles[0] == "Message undeliverable"
    titles = [title for code in known_codes() for title in classify(code).titles]
    assert len(titles) == len(set(titles)) > 70


def test_codes_without_documentation_are_marked() -> None:
    assert [code for code in known_codes() if not classify(code).is_listed] == [
        *(131030, 131044, 132008, 138024, 138025, 141002, 141006, 141010),
        *(2494010, 2494029, 2655121),
    ]


def test_a_permission_code_keeps_its_own_number() -> None:
    assert classify(294).code == 294
    assert classify(294).meaning == classify(200).meaning


@pytest.mark.parametrize("code", [99, 199, 300, 131999, -1])
def test_an_unknown_code_concerns_its_row_only(code: int) -> None:
    found = classify(code)
    assert found.outcome is Outcome.ROW
    assert found.meaning == "unknown to this version of wacoex"
    assert not found.is_credential


def test_a_bad_parameter_stops_the_broadcast_only_when_the_object_is_not_visible() -> None:
    assert classify(100).outcome is Outcome.ROW
    assert classify(100, 2494010).outcome is Outcome.ROW
    hidden = classify(100, 33)
    assert hidden.outcome is Outcome.STOP
    assert hidden.is_credential
    assert hidden.meaning != classify(100).meaning


def test_a_subcode_changes_no_other_code() -> None:
    assert classify(131026, 33) == classify(131026)


@pytest.mark.parametrize(("code", "subcode"), [(100, 2494010), (190, 1)])
def test_a_subcode_that_is_not_known_means_what_its_code_means(code: int, subcode: int) -> None:
    assert classify(code, subcode) == classify(code)


@pytest.mark.parametrize("subcode", [36007, 36008, 36009])
def test_a_code_of_a_signup_that_is_not_taken_leads_to_the_signup(subcode: int) -> None:
    found = classify(100, subcode)
    assert (found.outcome, found.finding) == (Outcome.ROW, "WX608")
    assert "wacoex connect" in found.action


def test_the_four_reasons_for_which_a_token_is_refused_have_four_remedies() -> None:
    reasons = [classify(190, subcode) for subcode in (458, 460, 463, 467)]

    assert tuple(reasons) == with_subcodes(190)
    assert len({reason.meaning for reason in (*reasons, classify(190))}) == 5
    assert len({reason.action for reason in (*reasons, classify(190))}) == 5
    assert all(reason.is_credential and reason.outcome is Outcome.STOP for reason in reasons)
    assert codes_with_subcode(463) == (190,)
    assert codes_with_subcode(1) == ()


TITLES = [
    (entry.code, entry.subcode, title)
    for code in known_codes()
    for entry in (classify(code), *with_subcodes(code))
    for title in entry.titles
]
FORMS = {
    "as it is": "{title}",
    "in capitals": "{title_in_capitals}",
    "in quotes": '"{title}"',
    "in single quotes": "'{title}'",
    "in curly quotes": "\u201c{title}\u201d",
    "with its code": "(#{code}) {title}",
    "after its code": "{code}: {title}",
    "in a sentence": "Your message could not be sent: {title}. Try again later.",
    "in a log": "2026-11-28T10:33:04Z ERROR sending row=17 http=400 took 190 ms: {title}",
    "in an answer": '{{"error":{{"message":"(#{code}) {title}","code":{code},"trace":"A33x2"}}}}',
}


@pytest.mark.parametrize("form", FORMS)
def test_every_title_is_found_in_any_pasted_form(form: str) -> None:
    assert len(TITLES) > 120
    for code, subcode, title in TITLES:
        text = FORMS[form].format(code=code, title=title, title_in_capitals=title.upper())

        assert [(found.code, found.subcode) for found in errors_in(text)] == [(code, subcode)], text


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("rate limit hit", (130429,)),
        ("rate limit", (80007, 130429, 131048)),
        ("Spam rate limit hit", (131048,)),
        ("message UNDELIVERABLE.", (131026,)),
        ("payment issue", (131042,)),
        ("Error: Re-engagement message", (131047,)),
        ("#2655121:WBxP-783273915-4224144161", (2655121,)),
        ("190, then 131042", (190, 131042)),
        ("it shows 190", (190,)),
        ("4", (4,)),
        ("error 4", (4,)),
        ("error=130429", (130429,)),
        ("WARN row 12: Business eligibility paym", (131042,)),
        ("was not delivered to maintain healthy ecosystem engagement", (131049,)),
        ("User\u2019s number is part of an experiment", (130472,)),
        ("10 rows of 33 failed at 10:33 on 2026-11-28", ()),
        ("HTTP 200 OK", ()),
        ("+65131026 did not get it", ()),
        ("it does not work", ()),
        ("the account", ()),
        ("hit", ()),
        ("", ()),
    ],
)
def test_a_text_as_it_is_shown_names_its_codes(text: str, codes: tuple[int, ...]) -> None:
    assert tuple(found.code for found in errors_in(text)) == codes


@pytest.mark.parametrize(
    ("text", "subcode"),
    [
        ("(#190) Error validating access token: Session has expired on Friday", 463),
        ('{"code":190,"error_subcode":460}', 460),
        ("190, subcode 458", 458),
        ("(#190) Access token has expired", None),
    ],
)
def test_a_subcode_in_the_text_says_more_than_its_code(text: str, subcode: int | None) -> None:
    assert [(found.code, found.subcode) for found in errors_in(text)] == [(190, subcode)]


@pytest.mark.parametrize(("code", "seconds"), RETRY.items())
def test_the_first_retry_waits_as_long_as_the_code_asks(code: int, seconds: float) -> None:
    assert retry_delay_seconds(classify(code), 1) == seconds


def test_the_pair_limit_is_retried_after_powers_of_four() -> None:
    pair = classify(131056)
    assert [retry_delay_seconds(pair, tries) for tries in (1, 2, 3, 4)] == [1, 4, 16, 64]
    assert pair.scope == "person"


def test_codes_without_retry_wait_for_nothing() -> None:
    waiting = {code for code in ALL if classify(code).wait_seconds}
    assert waiting == set(RETRY)


@pytest.mark.parametrize(
    ("flag", "codes"),
    [
        ("slows_down", [130429]),
        ("holds_number", HOLDS_NUMBER),
        ("is_credential", CREDENTIAL),
        ("opts_out", [131050]),
        ("cools_down", [131049]),
    ],
)
def test_each_flag_is_set_for_exactly_its_codes(flag: str, codes: Collection[int]) -> None:
    assert {code for code in ALL if getattr(classify(code), flag)} == set(codes)


@pytest.mark.parametrize(
    ("code", "scope"),
    [
        (131026, "person"),
        (131056, "person"),
        (130429, "number"),
        (131048, "number"),
        (190, "account"),
        (131042, "account"),
        (80007, "account"),
    ],
)
def test_a_code_says_whom_it_concerns(code: int, scope: str) -> None:
    assert classify(code).scope == scope
