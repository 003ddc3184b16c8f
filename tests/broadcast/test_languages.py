"""One plan, several languages: each person gets the template in theirs."""

from __future__ import annotations

import pytest

from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import WABA_ID

HEADER = ("phone", "name", "amount", "lang")
MESSAGE = ("--template", "bill", "--lang", "en_US", "--param", "1=name", "--param", "2=amount")
BY_COLUMN = (*MESSAGE, "--lang-column", "lang")
SEND = ("--overrule", "WX104", "--yes")
TEXTS = {
    "en_US": "Hi {{1}}, you owe {{2}}.",
    "de": "Hallo {{1}}, offen sind {{2}}.",
    "es_MX": "Debes {{2}}, {{1}}.",
}
PEOPLE = [
    ("+6591000001", "Ana", "1234.5", "de"),
    ("+6591000002", "Ben", "1234.5", "es"),
    ("+6591000003", "Cai", "1234.5", ""),
    ("+6591000004", "Dee", "1234.5", "fr"),
    ("+6591000005", "Eve", "1234.5", "EN-us"),
]


def body(text):
    return {"components": [{"type": "BODY", "text": text}]}


@pytest.fixture
def bill(shop):
    """A template in three languages, and a list whose people have five sorts of cells."""
    for language, text in TEXTS.items():
        shop.world.change_template(WABA_ID, "bill", language, body(text))
    return shop.file("people.csv", PEOPLE, HEADER)


def sent_in(shop):
    """The last digit of each person that got the message, with its language."""
    sent = {person: message["template"] for person, _, _, message in shop.world.inbox}
    return {person[-1]: template["language"]["code"] for person, template in sent.items()}


def test_each_person_gets_the_message_in_their_language(shop, cli, bill):
    planned = cli(
        "broadcast", "plan", bill, *BY_COLUMN, "--format", "2=number", "--preview", 3, "--json"
    )
    assert planned.code == 0, planned.out

    assert planned.data["languages"] == [
        {"language": "en_US", "recipients": 3},
        {"language": "de", "recipients": 1},
        {"language": "es_MX", "recipients": 1},
    ]
    fallback = planned.data["fallback"]
    assert (fallback["empty"], fallback["unknown"], fallback["examples"]) == (1, 1, ["fr"])
    assert fallback["read_as"] == [{"cell": "es", "language": "es_MX"}]
    assert [shown["text"] for shown in planned.data["preview"]] == [
        "Hallo Ana, offen sind 1.234,5.",
        "Debes 1,234.5, Ben.",
        "Hi Cai, you owe 1,234.5.",
    ]
    assert [source["key"] for source in planned.data["parameters"]] == ["1", "2"]
    assert cli("broadcast", "send", 1, *SEND).code == 0
    assert sent_in(shop) == {"1": "de", "2": "es_MX", "3": "en_US", "4": "en_US", "5": "en_US"}


def test_the_plan_says_which_languages_and_why_the_fallback(cli, bill):
    said = cli("broadcast", "plan", bill, *BY_COLUMN).out

    assert "template bill (en_US, de, es_MX)" in said
    for line in (
        "  in en_US: 3 recipients\n",
        "  in de: 1 recipient\n",
        "  'es' in column `lang` is sent in es_MX\n",
        "  without a language, so in en_US: 1 recipient\n",
        "so in en_US: 1 recipient ('fr')\n",
    ):
        assert line in said


def test_send_plans_in_all_languages_or_without_a_column_in_one(shop, cli, bill):
    assert cli("broadcast", "send", "--to", bill, *BY_COLUMN, *SEND).code == 0
    assert set(sent_in(shop).values()) == {"en_US", "de", "es_MX"}
    planned = cli("broadcast", "plan", bill, *MESSAGE, "--json")
    assert planned.data["languages"] == [{"language": "en_US", "recipients": 5}]


def test_a_language_that_is_not_approved_is_named_before_the_plan(shop, cli, bill):
    shop.world.change_template(WABA_ID, "bill", "es_MX", {"status": "PENDING"})
    planned = cli("broadcast", "plan", bill, *BY_COLUMN, "--json")

    [error] = planned.envelope["errors"]
    assert planned.code == 2 and error["code"] == "template_not_approved"
    assert "1 row of the list is in `es_MX`" in error["message"]
    assert not shop.state.rows("SELECT 1 FROM broadcasts")
    # Nobody of these rows gets Spanish, so nothing is wrong with it.
    others = cli("broadcast", "plan", bill, *BY_COLUMN, "--where", "lang <> 'es'", "--json")
    assert others.code == 0 and others.data["template"] == "bill (en_US, de)"


def test_a_placeholder_of_one_language_is_needed_by_nobody_else(shop, cli, bill):
    shop.world.change_template(WABA_ID, "bill", "de", body("{{1}}, {{2}} bis {{3}}."))
    rows = [(*person, "Montag" if person[3] == "de" else "") for person in PEOPLE]
    path = shop.file("more.csv", rows, (*HEADER, "day"))
    planned = cli("broadcast", "plan", path, *BY_COLUMN, "--param", "3=day", "--json")

    assert planned.data["recipients"] == 5
    assert planned.data["preview"][0]["text"] == "Ana, 1234.5 bis Montag."
    assert cli("broadcast", "send", 1, *SEND).code == 0
    assert len(sent_in(shop)) == 5


def test_the_same_values_are_the_same_message_in_any_language(shop, cli, bill):
    both = cli("broadcast", "plan", bill, *BY_COLUMN, "--json")
    assert cli("broadcast", "send", both.data["broadcast_id"], *SEND).code == 0
    english = cli("broadcast", "plan", bill, *MESSAGE, "--json")

    [finding] = [found for found in english.data["findings"] if found["id"] == "WX507"]
    assert "5 of 5 people already have this message" in finding["evidence"][0]["text"]


def test_a_retry_keeps_the_language_of_each_row(shop, cli, bill):
    shop.faults(Fault("refuse", code=131026))
    cli("broadcast", "plan", bill, *BY_COLUMN)
    cli("broadcast", "send", 1, *SEND)
    shop.faults()
    again = cli("broadcast", "retry", 1, "--only", "all", "--yes", "--overrule", "WX104")

    assert again.code == 0, again.err
    assert sent_in(shop) == {"1": "de", "2": "es_MX", "3": "en_US", "4": "en_US", "5": "en_US"}


def test_a_translation_that_is_paused_edited_or_gone_refuses_the_start(shop, cli, bill):
    cli("broadcast", "plan", bill, *BY_COLUMN)
    shop.world.change_template(WABA_ID, "bill", "de", {"status": "PAUSED"})
    shop.world.change_template(WABA_ID, "bill", "es_MX", body("Pagaste {{2}}, {{1}}."))
    sent = cli("broadcast", "send", 1, *SEND)
    said = " ".join(sent.err.split())
    assert sent.code == 5 and "`bill` (de) is PAUSED" in said and "bill (es_MX), body" in said

    shop.world.delete_template(WABA_ID, "bill", "es_MX")
    gone = cli("broadcast", "send", 1, *SEND)
    assert gone.code == 5 and "language `es_MX`" in gone.err
    assert sent_in(shop) == {}


def test_a_person_who_wants_no_marketing_gets_it_in_no_language(shop, cli, bill):
    shop.world.change_template(WABA_ID, "bill", "de", {"category": "MARKETING"})
    assert cli("optout", "add", "+6591000003", "--scope", "marketing").code == 0
    planned = cli("broadcast", "plan", bill, *BY_COLUMN, "--json")
    assert planned.data["skipped"] == {"opted_out": 1}
