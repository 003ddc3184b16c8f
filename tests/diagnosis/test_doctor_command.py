"""`wacoex doctor`: sources that fail, what is shown, and to whom."""

from __future__ import annotations

import pytest

from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID


def severities(outcome) -> list[tuple[str, str]]:
    return [(one["severity"], one["id"]) for one in outcome.data["findings"]]


def sources(outcome) -> dict[str, bool | None]:
    return {one["name"]: one["ok"] for one in outcome.data["sources"]}


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
def test_whatever_meta_answers_the_offline_findings_are_there(clinic, configure, how: str) -> None:
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


def test_nobody_is_waited_for_longer_than_the_limit(clinic, configure) -> None:
    configure("status_seconds_per_channel = 0.5\n")
    clinic.run("device", "add", "wear-os")
    clinic.world.faults.replace([Fault("hang", on="all")])

    outcome = clinic.doctor()

    assert "WX301" in [name for _, name in severities(outcome)]
    assert sources(outcome)["meta"] is False
    unasked = next(one for one in outcome.data["findings"] if one["id"] == "WX709")
    assert "no answer within 0.5 seconds" in unasked["evidence"][0]["text"]


@pytest.mark.parametrize("value", [[], {}, 7, "?", True, [{"entities": 1}]])
def test_fields_of_an_unknown_shape_are_no_crash(clinic, value: object) -> None:
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

    [unasked] = [one for one in outcome.data["findings"] if one["id"] == "WX709"]
    assert unasked["channel"] is None
    assert "and 1 more" in unasked["evidence"][0]["text"]


def test_a_person_reads_what_to_do_grouped_by_channel(clinic, add_numbers) -> None:
    add_numbers(1)
    clinic.patch(quality_rating="RED")
    clinic.run("device", "add", "wear-os", "--channel", "shop-0")
    clinic.sql("DELETE FROM reminder_runs")

    outcome = clinic.run("doctor", tty=True)

    lines = outcome.out.splitlines()
    assert (outcome.code, max(map(len, lines)) <= 100) == (1, True)
    assert [one for one in lines if one.endswith(": warning")] == [
        "all channels, and this machine: warning",
        "shop: warning",
        "shop-0: warning",
    ]
    assert [one.partition(":")[0] for one in lines if one.startswith("warning ")] == [
        "warning WX106",
        "warning WX501",
        "warning WX301",
    ]
    assert lines[-1] == "verdict: warning (2 channels, 3 findings)"


def test_numbers_are_masked_everywhere(clinic) -> None:
    clinic.patch(display_phone_number="+65 6000 0009")

    outcome, told = clinic.doctor(), clinic.run("doctor", tty=True)

    assert severities(outcome) == [("warning", "WX207")]
    for text in (outcome.out, told.out):
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

    remedies = {one["id"]: one["remedy"] for one in outcome.data["findings"]}
    assert set(remedies) == {"WX202", "WX203"}
    assert remedies["WX203"][0].startswith("wait until")
    assert remedies["WX202"][0].startswith("wait until")
    assert DEFAULT_RESPONDIO_TOKEN not in outcome.out


def test_webhook_fields_that_are_off_are_one_finding(clinic) -> None:
    clinic.world.webhook_fields[:] = ["history"]

    outcome = clinic.doctor()

    assert severities(outcome) == [("critical", "WX210")]
    assert len(outcome.data["findings"][0]["evidence"]) == 3
