"""`doctor --symptom`: a few questions, then the causes, the likeliest first."""

from __future__ import annotations

import pytest

from wacoex_cli.diagnosis.symptoms import QUESTIONS, Symptom
from wacoex_cli.sandbox.world import WABA_ID


def causes(outcome) -> list[str]:
    found: list[str] = outcome.data["symptom"]["causes"]
    assert [one["id"] for one in outcome.data["findings"]][: len(found)] == found
    return found


def evidence(outcome, finding_id: str) -> str:
    [found] = [one for one in outcome.data["findings"] if one["id"] == finding_id]
    return " / ".join(one["text"] for one in found["evidence"])


def asked(clinic, symptom: str, *answers: str):
    lines = "".join(f"{one}\n" for one in answers)
    return clinic.doctor("--symptom", symptom, stdin=lines, tty=True)


@pytest.mark.parametrize("symptom", Symptom)
def test_without_a_person_a_finding_says_what_is_not_known(clinic, symptom: Symptom) -> None:
    outcome = clinic.doctor("--symptom", symptom.value, "--no-input", tty=True)

    said = " / ".join(fact["text"] for one in outcome.data["findings"] for fact in one["evidence"])
    assert outcome.err.count("?") == 0
    assert outcome.data["symptom"]["answers"] == {}
    for question in QUESTIONS[symptom]:
        assert question.unknown in said


def test_a_pipe_is_asked_nothing(clinic) -> None:
    assert clinic.run("doctor", "--symptom", "rate-limited", stdin="yes\n").code == 3


def test_messages_from_windows_are_the_likeliest_cause(clinic) -> None:
    outcome = asked(clinic, "missing-messages", "yes", "yes", "yes")

    assert (outcome.code, causes(outcome)) == (1, ["WX301", "WX406"])
    assert "Windows" in evidence(outcome, "WX301")


def test_a_partner_that_is_not_listed_leads_to_connecting_again(clinic) -> None:
    outcome = asked(clinic, "missing-messages", "yes", "no", "no")

    assert (outcome.code, causes(outcome)) == (2, ["WX202", "WX406"])
    assert "connect again" in outcome.data["findings"][0]["remedy"][0]


def test_nobody_is_told_to_connect_again_while_whatsapp_may_do_it(clinic) -> None:
    clinic.account_update("ACCOUNT_OFFBOARDED", days_ago=0.01)

    outcome = asked(clinic, "missing-messages", "yes", "no", "no")

    assert causes(outcome) == ["WX202", "WX204", "WX406"]
    for one in outcome.data["findings"]:
        assert "connect again:" not in " ".join(one["remedy"])


def test_what_a_check_found_and_what_is_said_become_one_finding(clinic) -> None:
    clinic.run("device", "add", "desktop-windows")

    outcome = asked(clinic, "missing-messages", "yes", "yes", "")

    assert causes(outcome) == ["WX301", "WX406"]
    assert "desktop-windows" in evidence(outcome, "WX301")
    assert "they were sent from WhatsApp for Windows" in evidence(outcome, "WX301")
    assert "not known: whether WhatsApp Manager lists" in evidence(outcome, "WX406")


def test_an_answer_that_is_none_is_asked_for_again(clinic) -> None:
    outcome = asked(clinic, "missing-messages", "maybe", "yes", "no", "yes")

    assert outcome.data["symptom"]["answers"]["on_phone"] is True
    assert outcome.err.count("primary phone") == 2


def test_what_a_person_confirms_comes_first_and_what_is_ruled_out_goes(clinic) -> None:
    outcome = asked(clinic, "unsupported-messages", "no", "no", "yes", "no")

    assert causes(outcome) == ["WX405", "WX403"]


def test_an_ad_is_known_without_asking(clinic) -> None:
    referral = {"source_type": "ad", "source_id": "1"}
    clinic.message(type="unsupported", errors=[{"code": 131060}], referral=referral)

    assert causes(asked(clinic, "unsupported-messages", "", "", "", ""))[0] == "WX404"


def test_connecting_unlinks_companions_also_those_that_nobody_listed(clinic) -> None:
    outcome = asked(clinic, "unlinked-devices", "", "no", "no")

    assert (outcome.code, causes(outcome)) == (1, ["WX303"])
    assert "not known: whether the number was connected" in evidence(outcome, "WX303")
    assert "connecting unlinked all companions" in evidence(outcome, "WX303")


def test_a_phone_that_stayed_closed_logs_companions_out(clinic) -> None:
    clinic.onboarded(60)
    clinic.run("reminder", "confirm", "shop")

    assert causes(asked(clinic, "unlinked-devices", "no", "yes", "yes")) == ["WX103", "WX107"]


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        ("131049", "WX506"),
        ("(#130429) Rate limit hit", "WX503"),
        ("error 132015", "WX504"),
        ("190", "WX701"),
        ("131042", "WX206"),
    ],
)
def test_a_code_is_put_down_to_its_cause(clinic, error: str, finding: str) -> None:
    outcome = asked(clinic, "cannot-send", error)

    assert causes(outcome) == [finding]
    assert "is shown" in evidence(outcome, finding)


def test_an_error_that_means_nothing_leaves_it_open(clinic) -> None:
    outcome = asked(clinic, "cannot-send", "it does not work")

    assert (outcome.code, causes(outcome)) == (3, ["WX206"])
    assert evidence(outcome, "WX206") == "nothing that is known explains it"


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        (("already has an existing payment method", "2.25.1", "yes", "yes", "no"), ["WX602"]),
        (("3441041: not eligible", "2.25.1", "yes", "yes", "no"), ["WX601"]),
        (("something broke", "2.20.1", "yes", "no", "yes"), ["WX603", "WX608", "WX602", "WX604"]),
    ],
)
def test_what_meta_and_the_phone_show_tells_why_it_cannot_be_connected(
    clinic, answers: tuple[str, ...], found: list[str]
) -> None:
    outcome = asked(clinic, "cannot-connect", *answers)

    assert sorted(causes(outcome)) == sorted(found)


def test_somebody_else_who_sends_explains_the_limit(clinic) -> None:
    outcome = asked(clinic, "rate-limited", "yes")

    assert (outcome.code, causes(outcome)) == (1, ["WX503"])


def test_several_channels_have_to_be_told_apart(clinic, add_numbers) -> None:
    add_numbers(1)
    clinic.world.subscribed_apps[WABA_ID].clear()

    outcome = clinic.doctor("--symptom", "missing-messages")

    assert outcome.code == 3
    assert "`shop`, `shop-0`" in outcome.envelope["errors"][0]["hint"]
    assert clinic.doctor("shop", "--symptom", "missing-messages").code == 2
