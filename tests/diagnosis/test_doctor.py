"""`doctor`: what it finds, the causes of a symptom, and the bundle for support."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from wacoex_cli.diagnosis.doctor import _CAUSES
from wacoex_cli.diagnosis.model import QUESTIONS, Symptom
from wacoex_cli.foundation.settings import SECRET_VARIABLES
from wacoex_cli.platforms.error_codes import classify, known_codes, with_subcodes
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN
from wacoex_cli.sandbox.world import APP_SECRET, DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID


def severities(outcome) -> list[tuple[str, str]]:
    return [(finding["severity"], finding["id"]) for finding in outcome.data["findings"]]


def sources(outcome) -> dict[str, bool | None]:
    return {source["name"]: source["ok"] for source in outcome.data["sources"]}


def empty_everything(clinic) -> None:
    values = clinic.world.nodes[PHONE_NUMBER_ID].values
    values.update(dict.fromkeys(values))
    waba = clinic.world.nodes[WABA_ID].values
    waba.update(dict.fromkeys(waba))


BROKEN = {
    "html": lambda clinic: clinic.world.faults.replace([Fault("html", on="all")]),
    "500": lambda clinic: clinic.world.faults.replace([Fault("server_error", on="all")]),
    "nothing": lambda clinic: clinic.world.faults.replace([Fault("reset_after", on="all")]),
    "no JSON": lambda clinic: clinic.world.faults.replace([Fault("invalid_json", on="all")]),
    "an empty object": lambda clinic: clinic.world.faults.replace(
        [Fault("empty_object", on="all")]
    ),
    "an expired token": lambda clinic: clinic.world.patch_token(
        DEFAULT_TOKEN, {"expires_at": 1_700_000_000}
    ),
    "no field at all": empty_everything,
}


@pytest.mark.parametrize("how", BROKEN)
def test_offline_findings_are_shown_after_any_answer_of_meta(clinic, configure, how: str) -> None:
    configure("status_seconds_per_channel = 4\n")
    assert clinic.run("doctor").code == 0
    assert clinic.run("device", "add", "wear-os").code == 0
    BROKEN[how](clinic)

    outcome = clinic.doctor()

    found = {name: severity for severity, name in severities(outcome)}
    cause = "WX701" if how == "an expired token" else "WX709"
    assert outcome.code == 3
    assert found == {cause: "unknown", "WX301": "warning"}
    assert sources(outcome)["meta"] is False
    assert "Traceback" not in outcome.err
    assert outcome.envelope["errors"] == []


def test_no_answer_is_waited_for_longer_than_the_limit(clinic, configure) -> None:
    configure("status_seconds_per_channel = 0.5\n")
    clinic.run("device", "add", "wear-os")
    clinic.world.faults.replace([Fault("hang", on="all")])

    outcome = clinic.doctor()

    assert "WX301" in [name for _, name in severities(outcome)]
    assert sources(outcome)["meta"] is False
    unasked = next(finding for finding in outcome.data["findings"] if finding["id"] == "WX709")
    assert "no answer within 0.5 seconds" in unasked["evidence"][0]["text"]


@pytest.mark.parametrize("value", [[], {}, 7, "?", True, [{"entities": 1}]])
def test_fields_of_an_unknown_shape_cause_no_crash(clinic, value: object) -> None:
    values = clinic.world.nodes[PHONE_NUMBER_ID].values
    values.update({name: value for name in values if name not in {"health_status"}})
    values["health_status"] = value if isinstance(value, dict) else {"entities": [value]}

    outcome = clinic.doctor()

    assert outcome.code in {2, 3}
    assert "Traceback" not in outcome.err
    assert outcome.envelope["errors"] == []


def test_respondio_that_does_not_answer_is_unknown_and_nothing_else(clinic) -> None:
    clinic.world.respondio.token = "another"

    outcome = clinic.doctor()

    assert severities(outcome) == [("unknown", "WX709")]
    assert outcome.data["findings"][0]["evidence"][0]["source"] == "respondio"
    assert sources(outcome) == {"state": True, "meta": True, "respondio": False}


def test_offline_nobody_is_asked(clinic) -> None:
    clinic.run("doctor")
    BROKEN["html"](clinic)

    outcome = clinic.doctor("--offline")

    assert (outcome.code, severities(outcome)) == (0, [])
    assert sources(outcome) == {"state": True, "meta": None, "respondio": None}


def test_a_shop_with_only_a_respondio_token_can_be_well(
    clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("META_TOKEN", "META_APP_SECRET", "META_APP_ID"):
        monkeypatch.delenv(f"WACOEX_{name}")
    clinic.run("channel", "edit", "shop", "--provider", "respondio")
    clinic.run("reminder", "confirm", "shop")

    outcome = clinic.doctor()

    assert (outcome.code, severities(outcome)) == (0, [])
    assert sources(outcome) == {"state": True, "meta": None, "respondio": True}


def test_many_channels_that_meta_does_not_answer_for_are_one_finding(clinic, add_numbers) -> None:
    add_numbers(3)
    clinic.run("doctor")
    BROKEN["html"](clinic)

    outcome = clinic.doctor()

    [unasked] = [finding for finding in outcome.data["findings"] if finding["id"] == "WX709"]
    assert unasked["channel"] is None
    assert {channel["verdict"] for channel in outcome.data["channels"]} == {"unknown"}
    assert "and 1 more" in unasked["evidence"][0]["text"]


def test_a_person_reads_what_to_do_and_on_which_channel(clinic, add_numbers) -> None:
    add_numbers(1)
    clinic.patch(quality_rating="RED")
    clinic.run("device", "add", "wear-os", "--channel", "shop-0")
    clinic.sql("DELETE FROM reminder_runs")

    outcome = clinic.run("doctor", tty=True)

    lines = outcome.out.splitlines()
    assert (outcome.code, max(map(len, lines)) <= 100) == (1, True)
    assert [line.partition(":")[0] for line in lines if line.startswith("warning ")] == [
        "warning WX106",
        "warning WX301 (shop-0)",
        "warning WX501 (shop)",
    ]
    assert lines[-1] == "verdict: warning (2 channels, 3 findings)"


def test_a_pipe_gets_the_findings_grouped_by_channel(clinic, add_numbers) -> None:
    add_numbers(1)
    clinic.patch(quality_rating="RED")
    clinic.run("device", "add", "wear-os", "--channel", "shop-0")

    lines = clinic.run("doctor").out.splitlines()

    assert [line for line in lines if line.endswith(": warning")] == [
        "shop: warning",
        "shop-0: warning",
    ]
    assert [line.partition(":")[0] for line in lines if line.startswith("warning ")] == [
        "warning WX501",
        "warning WX301",
    ]


def test_it_knows_whether_a_test_notice_was_ever_taken(clinic, monkeypatch) -> None:
    url = "json://127.0.0.1:9/sup3rsecret"  # nothing listens there
    monkeypatch.setenv("WACOEX_NOTIFY_URLS", url)

    def evidence() -> list[str]:
        findings = clinic.doctor().data["findings"]
        assert [(found["id"], found["title"]) for found in findings] == [
            ("WX106", "nobody knows whether a notice arrives")
        ]
        return [fact["text"] for fact in findings[0]["evidence"]]

    assert evidence() == ["1 address has never got a notice or a test"]

    assert clinic.run("reminder", "notify", "--test").code == 6
    [failed] = evidence()
    assert failed.startswith("the last test to json://127.0.0.1:9/sup3rsecret failed: ")

    # The address takes one.
    clinic.sql("UPDATE test_notices SET taken_at = tried_at, reason = NULL")
    assert severities(clinic.doctor()) == []


def test_numbers_are_masked_everywhere(clinic) -> None:
    clinic.patch(display_phone_number="+65 6000 0009")

    outcome, answer = clinic.doctor(), clinic.run("doctor", tty=True)

    assert severities(outcome) == [("warning", "WX207")]
    for text in (outcome.out, answer.out):
        assert PHONE not in text
        assert "+65 6000 0009" not in text
        assert "+65****0009" in text


@pytest.mark.parametrize(
    "arguments", [["nobody"], ["--bogus"], ["shop", "--channel", "zoo"], ["--symptom", "headache"]]
)
def test_every_failure_of_the_check_is_three(clinic, arguments: list[str]) -> None:
    assert clinic.run("doctor", *arguments).code == 3


def test_without_a_channel_there_is_nothing_to_check(run) -> None:
    outcome = run("doctor")

    assert outcome.code == 3
    assert "wacoex channel add NAME" in outcome.err


def test_a_removed_partner_is_named_with_whether_to_wait(clinic) -> None:
    clinic.account_update(
        "PARTNER_REMOVED",
        days_ago=0.01,
        disconnection_info={"reason": "USER_RE_REGISTERED", "initiated_by": "USER"},
    )
    no_partner = clinic.world.subscribed_apps[WABA_ID]
    no_partner.pop(0)

    outcome = clinic.doctor()

    remedies = {finding["id"]: finding["remedy"] for finding in outcome.data["findings"]}
    assert set(remedies) == {"WX202", "WX203"}
    assert remedies["WX203"][0].startswith("wait until")
    assert remedies["WX202"][0].startswith("wait until")
    assert DEFAULT_RESPONDIO_TOKEN not in outcome.out


def test_webhook_fields_that_are_off_are_one_finding(clinic) -> None:
    clinic.world.webhook_fields[:] = ["history"]

    outcome = clinic.doctor()

    assert severities(outcome) == [("critical", "WX210")]
    assert len(outcome.data["findings"][0]["evidence"]) == 3


def causes(outcome) -> list[str]:
    found: list[str] = outcome.data["symptom"]["causes"]
    assert [finding["id"] for finding in outcome.data["findings"]][: len(found)] == found
    return found


def evidence(outcome, finding_id: str) -> str:
    [found] = [finding for finding in outcome.data["findings"] if finding["id"] == finding_id]
    return " / ".join(entry["text"] for entry in found["evidence"])


def queried(clinic, symptom: str, *answers: str):
    lines = "".join(f"{answer}\n" for answer in answers)
    return clinic.doctor("--symptom", symptom, stdin=lines, tty=True)


@pytest.mark.parametrize("symptom", Symptom)
def test_without_a_person_a_finding_says_what_is_not_known(clinic, symptom: Symptom) -> None:
    outcome = clinic.doctor("--symptom", symptom.value, "--no-input", tty=True)

    said = " / ".join(
        fact["text"] for finding in outcome.data["findings"] for fact in finding["evidence"]
    )
    assert outcome.err.count("?") == 0
    assert outcome.data["symptom"]["answers"] == {}
    for question in QUESTIONS[symptom]:
        assert question.unknown in said


def test_a_pipe_is_asked_nothing(clinic) -> None:
    assert clinic.run("doctor", "--symptom", "rate-limited", stdin="yes\n").code == 3


def test_messages_from_windows_are_the_likeliest_cause(clinic) -> None:
    outcome = queried(clinic, "missing-messages", "yes", "yes", "yes", "no", "no")

    assert (outcome.code, causes(outcome)) == (1, ["WX301", "WX406"])
    assert "Windows" in evidence(outcome, "WX301")


def test_a_partner_that_is_not_listed_leads_to_connecting_again(clinic) -> None:
    clinic.world.subscribed_apps[WABA_ID].pop(0)

    outcome = queried(clinic, "missing-messages", "yes", "no", "no", "no", "no")

    assert (outcome.code, causes(outcome)) == (2, ["WX202", "WX406"])
    assert "connect the number again" in " ".join(outcome.data["findings"][0]["remedy"])


def test_a_contradiction_between_person_and_meta_asks_to_look_again_before_deleting(
    clinic,
) -> None:
    outcome = queried(clinic, "missing-messages", "yes", "no", "no", "no", "no")

    [said, shown] = outcome.data["findings"][0]["evidence"]
    assert (outcome.code, causes(outcome)) == (2, ["WX202", "WX406"])
    assert "you say that respond.io is not listed" in outcome.data["findings"][0]["title"]
    assert (said["source"], shown["source"]) == ("person", "meta")
    for finding in outcome.data["findings"]:
        remedy = " ".join(finding["remedy"])
        assert "look again before you delete anything" in remedy
        assert "delete the channel" not in remedy


def test_a_partner_that_a_person_sees_and_meta_does_not_is_a_contradiction(
    clinic,
) -> None:
    clinic.world.subscribed_apps[WABA_ID].pop(0)

    outcome = queried(clinic, "missing-messages", "yes", "no", "yes", "no", "no")

    found = outcome.data["findings"][0]
    assert (outcome.code, causes(outcome)) == (2, ["WX202", "WX406"])
    assert found["title"] == (
        "you say that respond.io is listed, and its app does not get the webhooks"
    )
    assert [fact["source"] for fact in found["evidence"]] == ["meta", "person"]
    assert found["remedy"][0].startswith("look again before you delete anything")


@pytest.mark.parametrize(
    ("answers", "cause"),
    [(("yes", "no", "yes", "yes", "no"), "WX103"), (("yes", "no", "yes", "no", "yes"), "WX211")],
)
def test_a_closed_app_and_another_responder_explain_missing_messages(
    clinic, answers: tuple[str, ...], cause: str
) -> None:
    outcome = queried(clinic, "missing-messages", *answers)

    assert causes(outcome) == [cause, "WX406"]
    assert "more than 14 days" in outcome.err
    assert "Meta Business Agent" in outcome.err


def test_a_fact_that_meta_did_not_state_is_not_attributed_to_meta(clinic) -> None:
    clinic.world.faults.replace([Fault("server_error", on="all")])

    shown = " ".join(clinic.run("doctor", tty=True).out.split())

    assert "WX709" in shown
    assert "(Meta," not in shown
    assert "Meta was asked" in shown


def test_a_persons_answer_is_never_attributed_to_meta(clinic) -> None:
    answers = ("something broke", "2.20.1", "yes", "no", "yes")
    typed = "".join(f"{each}\n" for each in answers)

    shown = clinic.run("doctor", "--symptom", "cannot-connect", stdin=typed, tty=True).out

    assert "Meta's window: something broke (you said," in " ".join(shown.split())
    assert "its version is 2.20.1 (you said," in " ".join(shown.split())
    assert "(Meta," not in shown


def test_no_finding_advises_to_connect_again_while_whatsapp_may_do_it(clinic) -> None:
    clinic.account_update("ACCOUNT_OFFBOARDED", days_ago=0.01)

    outcome = queried(clinic, "missing-messages", "yes", "no", "no", "no", "no")

    assert causes(outcome) == ["WX202", "WX204", "WX406"]
    for finding in outcome.data["findings"]:
        assert "connect again:" not in " ".join(finding["remedy"])


def test_a_check_and_an_answer_about_one_cause_become_one_finding(clinic) -> None:
    clinic.run("device", "add", "desktop-windows")

    outcome = queried(clinic, "missing-messages", "yes", "yes", "", "no", "no")

    assert causes(outcome) == ["WX301", "WX406"]
    assert "desktop-windows" in evidence(outcome, "WX301")
    assert "they were sent from WhatsApp for Windows" in evidence(outcome, "WX301")
    assert "not known: whether WhatsApp Manager lists" in evidence(outcome, "WX406")


def test_an_answer_that_cannot_be_read_is_asked_for_again(clinic) -> None:
    outcome = queried(clinic, "missing-messages", "maybe", "yes", "no", "yes", "no", "no")

    assert outcome.data["symptom"]["answers"]["on_phone"] is True
    assert outcome.err.count("are the missing messages on the primary phone") == 2


def test_confirmed_causes_come_first_and_excluded_ones_are_left_out(clinic) -> None:
    outcome = queried(clinic, "unsupported-messages", "no", "no", "yes", "no")

    assert causes(outcome) == ["WX405", "WX403"]


def test_an_ad_is_known_without_asking(clinic) -> None:
    referral = {"source_type": "ad", "source_id": "1"}
    clinic.message(type="unsupported", errors=[{"code": 131060}], referral=referral)

    assert causes(queried(clinic, "unsupported-messages", "", "", "", ""))[0] == "WX404"


def test_connecting_unlinks_companions_also_those_that_nobody_listed(clinic) -> None:
    outcome = queried(clinic, "unlinked-devices", "", "no", "no")

    assert (outcome.code, causes(outcome)) == (1, ["WX303"])
    assert "not known: whether the number was connected" in evidence(outcome, "WX303")
    assert "connecting unlinked all companions" in evidence(outcome, "WX303")


def test_a_phone_that_stayed_closed_logs_companions_out(clinic) -> None:
    clinic.onboarded(60)
    clinic.run("reminder", "confirm", "shop")

    assert causes(queried(clinic, "unlinked-devices", "no", "yes", "yes")) == ["WX103", "WX107"]


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        ("131049", "WX506"),
        ("(#130429) Rate limit hit", "WX503"),
        ("error 132015", "WX504"),
        ("190", "WX701"),
        ("131042", "WX206"),
        ("rate limit hit", "WX503"),
        ("Message undeliverable", "WX206"),
        ("Business eligibility payment issue", "WX206"),
        ("Spam rate limit hit", "WX206"),
        ("131070", "WX211"),
        ("#2655121:WBxP-783273915-4224144161", "WX209"),
        ('10:33:04 row=17 http=400 "Message undeliverable"', "WX206"),
        ("The account has been temporarily blocked for policy violations", "WX209"),
        ("This authorization code has expired.", "WX608"),
    ],
)
def test_a_code_leads_to_its_cause(clinic, error: str, finding: str) -> None:
    outcome = queried(clinic, "cannot-send", error)

    assert causes(outcome) == [finding]
    assert "is shown" in evidence(outcome, finding)


def test_two_codes_of_one_finding_are_both_explained(clinic) -> None:
    outcome = queried(clinic, "cannot-send", "131042, then 131026")

    assert causes(outcome) == ["WX206"]
    remedy = " / ".join(outcome.data["findings"][0]["remedy"])
    assert "billing settings" in remedy
    assert "reach this person some other way" in remedy
    assert "131026" in evidence(outcome, "WX206")


def test_a_code_is_explained_beside_what_a_check_found_under_the_same_id(clinic) -> None:
    clinic.world.nodes[PHONE_NUMBER_ID].values["status"] = "RATE_LIMITED"

    outcome = queried(clinic, "cannot-send", "Business eligibility payment issue")

    assert causes(outcome) == ["WX206"]
    assert "RATE_LIMITED" in evidence(outcome, "WX206")
    assert "payment method" in evidence(outcome, "WX206")
    assert "billing settings" in " ".join(outcome.data["findings"][0]["remedy"])


@pytest.mark.parametrize(
    ("typed", "step"),
    [
        ("Error validating access token: Session has expired on Friday", "without an end"),
        ('{"code":190,"error_subcode":460}', "new password"),
    ],
)
def test_the_reason_for_which_a_token_is_refused_has_its_own_remedy(
    clinic, typed: str, step: str
) -> None:
    outcome = queried(clinic, "cannot-send", typed)

    assert causes(outcome) == ["WX701"]
    assert step in " ".join(outcome.data["findings"][0]["remedy"])


def test_every_known_code_leads_to_a_cause_of_its_symptom() -> None:
    known = [error for code in known_codes() for error in (classify(code), *with_subcodes(code))]
    named = {error.finding for error in known} - {None}

    assert named <= set(_CAUSES[Symptom.CANNOT_SEND])


def test_an_unknown_error_leaves_the_cause_open(clinic) -> None:
    outcome = queried(clinic, "cannot-send", "it does not work")

    assert (outcome.code, causes(outcome)) == (3, ["WX206"])
    assert evidence(outcome, "WX206") == "nothing that wacoex knows explains it"


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        (("already has an existing payment method", "2.25.1", "yes", "yes", "no"), ["WX602"]),
        (("3441041: not eligible", "2.25.1", "yes", "yes", "no"), ["WX601"]),
        (("something broke", "2.20.1", "yes", "no", "yes"), ["WX603", "WX608", "WX602", "WX604"]),
        (("#2655121:WBxP-783273915-4224144161", "2.25.1", "yes", "yes", "no"), ["WX209"]),
        (("Account has been locked", "2.25.1", "yes", "yes", "no"), ["WX209"]),
    ],
)
def test_meta_and_the_phone_show_why_it_cannot_be_connected(
    clinic, answers: tuple[str, ...], found: list[str]
) -> None:
    outcome = queried(clinic, "cannot-connect", *answers)

    assert sorted(causes(outcome)) == sorted(found)


def test_somebody_else_who_sends_explains_the_limit(clinic) -> None:
    outcome = queried(clinic, "rate-limited", "yes")

    assert (outcome.code, causes(outcome)) == (1, ["WX503"])


def test_with_several_channels_the_command_needs_a_name(clinic, add_numbers) -> None:
    add_numbers(1)
    clinic.world.subscribed_apps[WABA_ID].clear()

    outcome = clinic.doctor("--symptom", "missing-messages")

    assert outcome.code == 3
    assert "`shop`, `shop-0`" in outcome.envelope["errors"][0]["hint"]
    assert clinic.doctor("shop", "--symptom", "missing-messages").code == 2


GIVEN = {"WACOEX_META_TOKEN", "WACOEX_META_APP_SECRET", "WACOEX_RESPONDIO_TOKEN"}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every secret there is, in the environment; some are lists."""
    for number, variable in enumerate(SECRET_VARIABLES.values()):
        if variable not in GIVEN:
            monkeypatch.setenv(variable, f"https://SECRET{number}a-0123,https://SECRET{number}b-01")
    return [DEFAULT_TOKEN, APP_SECRET, DEFAULT_RESPONDIO_TOKEN, "SECRET"]


def test_no_secret_and_no_whole_number_is_in_it(clinic, secrets: list[str]) -> None:
    clinic.run("channel", "edit", "shop", "--owner", f"Ana {PHONE}, token {DEFAULT_TOKEN}")
    clinic.message(type="unsupported", errors=[{"code": 131051, "title": "unknown"}])

    outcome = clinic.doctor("--bundle", "support.json")

    text = Path("support.json").read_text()
    assert outcome.data["bundle"] == "support.json"
    for variable in SECRET_VARIABLES.values():
        assert os.environ[variable] not in text
    for secret in secrets:
        assert secret not in text
    for number in (PHONE, PHONE[1:], "+65 6000 0001", "6591000001", "wamid.1"):
        assert number not in text


def test_it_holds_what_support_asks_for(clinic) -> None:
    clinic.patch(quality_rating="RED")
    clinic.run("device", "add", "wear-os")

    clinic.doctor("--bundle", "support.json")

    bundle = json.loads(Path("support.json").read_text())
    [channel] = bundle["details"]
    assert {"version", "python", "system", "settings", "secrets", "diagnosis"} <= bundle.keys()
    assert bundle["secrets"]["meta-token"] is True
    assert bundle["secrets"]["notify-urls"] is False
    assert [finding["id"] for finding in bundle["diagnosis"]["findings"]] == ["WX301", "WX501"]
    assert {fact["name"] for fact in channel["facts"]} >= {"status", "waba.currency"}
    assert channel["devices"] == [{"kind": "wear-os", "state": "linked", "visible": None}]


def test_only_its_owner_may_read_it_and_nothing_is_overwritten(clinic) -> None:
    clinic.doctor("--bundle", "support.json")
    again = clinic.doctor("--bundle", "support.json")

    assert stat.S_IMODE(Path("support.json").stat().st_mode) == 0o600
    assert (again.code, again.envelope["errors"][0]["code"]) == (3, "file_exists")


def test_numbers_and_message_ids_are_masked_in_any_text(
    clinic, masked_texts: dict[str, str]
) -> None:
    clinic.run("channel", "edit", "shop", "--owner", " | ".join(masked_texts))

    clinic.doctor("--bundle", "support.json")

    assert " | ".join(masked_texts.values()) in Path("support.json").read_text()
