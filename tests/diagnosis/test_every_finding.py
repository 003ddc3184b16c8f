"""For each finding of the catalogue a world in which doctor finds it; a healthy world has none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keyring
import psutil
import pytest

from tests.support.state_files import make_newer
from wacoex_cli.findings.catalogue import finding_ids
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.onboarding.model import JourneyKind, Route, StepResult, StepState
from wacoex_cli.onboarding.store import Journeys
from wacoex_cli.sandbox.account import leave
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, WABA_ID

Break = Callable[[Any], None]
LIST = "phone,first_name\n+6591000001,Ana\n"
# Only `connect` reports a signup whose window ended badly: nothing of it is kept.
ONLY_CONNECT = {"WX608", "WX609"}


def days_ago(days: float) -> str:
    return to_text(datetime.now(UTC) - timedelta(days=days))


def patching(**values: Any) -> Break:
    return lambda clinic: clinic.patch(**values)


def onboarded(days: float) -> Break:
    return lambda clinic: clinic.onboarded(days)


def account(event: str, **more: Any) -> Break:
    return lambda clinic: clinic.account_update(event, **more)


def billed_in_dollars(clinic: Any) -> None:
    clinic.world.nodes[WABA_ID].patch({"country": "IN", "currency": "USD"})


def overdue(clinic: Any) -> None:
    clinic.onboarded(30)
    clinic.run("reminder", "confirm", "shop", "--at", days_ago(15))


def only_echoes(clinic: Any) -> None:
    clinic.onboarded(30)
    moment = int(datetime.now(UTC).timestamp()) - 3600
    metadata = {"display_phone_number": "6560000001", "phone_number_id": "106000000000001"}
    echo = {
        "from": "6560000001",
        "to": "6591000001",
        "id": "wamid.echo",
        "timestamp": str(moment),
        "type": "text",
        "text": {"body": "hello"},
    }
    answer = {"messaging_product": "whatsapp", "metadata": metadata, "message_echoes": [echo]}
    clinic.tell("smb_message_echoes", answer)


def no_reminder(clinic: Any) -> None:
    clinic.sql("DELETE FROM reminder_runs")


def device(kind: str, linked_days_ago: float, confirmed: bool = False) -> Break:
    def change(clinic: Any) -> None:
        if confirmed:
            clinic.onboarded(60)
            clinic.run("reminder", "confirm", "shop")
        linked = ("--linked-at", days_ago(linked_days_ago))
        assert clinic.run("device", "add", kind, *linked).code == 0

    return change


def five_devices(clinic: Any) -> None:
    for number in range(1, 6):
        clinic.sql(
            "INSERT INTO devices (device_id, channel_id, kind, name, linked_at, last_used_at)"
            " VALUES (?, 1, 'web', ?, ?, ?)",
            *(number, f"web {number}", days_ago(0.1), days_ago(0.1)),
        )


def unheard_probe(clinic: Any) -> None:
    clinic.sql(
        "INSERT INTO probes (probe_id, channel_id, contact, began_at, ended_at, heard)"
        " VALUES (1, 1, '+6591000001', ?, ?, 1)",
        *(days_ago(0.1), days_ago(0.09)),
    )
    clinic.sql(
        "INSERT INTO probe_words (probe_id, device_id, word, outcome)"
        " VALUES (1, 0, 'banana', 'not_seen')"
    )


def silence(clinic: Any) -> None:
    for hours in range(300, 60, -6):
        at = datetime.now(UTC) - timedelta(hours=hours)
        hour = to_text(at.replace(minute=0, second=0, microsecond=0))
        clinic.sql("INSERT INTO arrivals VALUES ('meta', ?, 1, ?)", hour, to_text(at))


def another_responder(clinic: Any) -> None:
    metadata = {"display_phone_number": "6560000001", "phone_number_id": "106000000000001"}
    moment = str(int(datetime.now(UTC).timestamp()) - 3600)
    message = {"from": "6591000001", "id": "wamid.heard", "timestamp": moment, "type": "text"}
    clinic.tell("standby", {"metadata": metadata, "standby": {"messages": [message]}})


def unplaced_stop(clinic: Any) -> None:
    moment = str(int(datetime.now(UTC).timestamp()) - 3600)
    said = {"user_id": "SG.1", "value": "stop", "timestamp": moment}
    metadata = {"display_phone_number": "6560000001", "phone_number_id": "106000000000001"}
    clinic.tell("user_preferences", {"metadata": metadata, "user_preferences": [said]})


def no_partner(clinic: Any) -> None:
    clinic.world.subscribed_apps[WABA_ID].pop(0)


def override(clinic: Any) -> None:
    app = clinic.world.subscribed_apps[WABA_ID][0]
    app["override_callback_uri"] = "https://elsewhere.example/hook"


def gone_from_respondio(clinic: Any) -> None:
    clinic.world.respondio.channels.clear()


def no_fields(clinic: Any) -> None:
    clinic.world.webhook_fields.clear()


def unsupported(code: int, **more: Any) -> Break:
    def change(clinic: Any) -> None:
        error = {"code": code, "title": "Message type unknown"}
        clinic.message(type="unsupported", errors=[error], **more)

    return change


def nothing(clinic: Any) -> None:
    """The symptom alone."""


def broadcast(state: str, code: int | None) -> Break:
    def change(clinic: Any) -> None:
        Path("list.csv").write_text(LIST)
        template = ("--template", "opening_hours", "--lang", "en_US")
        planned = clinic.run("broadcast", "plan", "list.csv", *template, "--json")
        assert planned.code == 0, planned.out
        clinic.sql("UPDATE broadcasts SET status = 'completed', started_at = ?", days_ago(0.2))
        clinic.sql(
            "UPDATE recipients SET state = ?, code = ?, answered_at = ?",
            *(state, code, days_ago(0.1)),
        )

    return change


def template(**values: Any) -> Break:
    def change(clinic: Any) -> None:
        broadcast("pending", None)(clinic)
        clinic.sql("UPDATE broadcasts SET status = 'planned', started_at = NULL")
        for node in clinic.world.nodes.values():
            if node.kind.name == "WhatsAppMessageTemplate":
                clinic.world.patch_node(node, values)

    return change


def journey(step: str, answer: dict[str, Any], via: Route = Route.RESPONDIO) -> Break:
    def change(clinic: Any) -> None:
        state, now = clinic.open_state(), datetime.now(UTC)
        with state.transaction():
            begun = Journeys(state).start(1, JourneyKind.CONNECT, via, now)
            outcome = StepResult(StepState.SETTLED, answer, "bo")
            Journeys(state).record(begun.journey_id, step, outcome, now)
        state.close()

    return change


def revoked(clinic: Any) -> None:
    clinic.world.patch_token(DEFAULT_TOKEN, {"revoked": True})


def open_to_others(clinic: Any) -> None:
    clinic.state_path.chmod(0o644)


def from_the_future(clinic: Any) -> None:
    clinic.sql("UPDATE channels SET created_at = ?", days_ago(-2))


def lost_output(clinic: Any) -> None:
    clinic.sql(
        "INSERT INTO lost_output VALUES"
        " ('reminder notify', 'stdout', 'no space left', ?, 1, 'the disk is full')",
        days_ago(1),
    )


def newer(clinic: Any) -> None:
    make_newer(clinic.state_path)


def copied(clinic: Any) -> None:
    broadcast("accepted", None)(clinic)
    Path(f"{clinic.state_path}.generation").unlink()


def gone(clinic: Any) -> None:
    clinic.doctor()
    leave(clinic.world)


def in_html(clinic: Any) -> None:
    clinic.world.faults.replace([Fault("html", on="all")])


RESTRICTION = {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}
GOOD = {"phone": "+6560000001", "app_version": "2.25.1", "in_real_use": True}
TABLE: dict[str, Break] = {
    "WX101": onboarded(10.5),
    "WX102": onboarded(12.5),
    "WX103": overdue,
    "WX104": onboarded(30),
    "WX105": only_echoes,
    "WX106": no_reminder,
    "WX107": device("web", 27, confirmed=True),
    "WX108": silence,
    "WX201": patching(is_on_biz_app=False),
    "WX202": no_partner,
    "WX203": account("PARTNER_REMOVED", disconnection_info={"reason": "PRIMARY_INACTIVITY"}),
    "WX204": account("ACCOUNT_OFFBOARDED"),
    "WX205": override,
    "WX206": patching(status="BANNED"),
    "WX207": gone_from_respondio,
    "WX208": onboarded(0.05),
    "WX209": account("ACCOUNT_RESTRICTION", restriction_info=[RESTRICTION]),
    "WX210": no_fields,
    "WX211": another_responder,
    "WX212": account("PARTNER_REMOVED", phone_number="6560000099"),
    "WX213": account("ACCOUNT_MOON_PHASE"),
    "WX214": patching(account_mode="SANDBOX"),
    "WX215": gone,
    "WX216": billed_in_dollars,
    "WX301": device("desktop-windows", 0.1),
    "WX302": five_devices,
    "WX303": device("web", 10),
    "WX304": unheard_probe,
    "WX403": unsupported(131051, unsupported={"type": "poll_creation"}),
    "WX404": unsupported(131060, referral={"source_type": "ad", "source_id": "1"}),
    "WX501": patching(quality_rating="RED"),
    "WX502": patching(whatsapp_business_manager_messaging_limit="TIER_OF_TOMORROW"),
    "WX503": broadcast("rejected", 130429),
    "WX504": template(status="PAUSED"),
    "WX505": broadcast("ambiguous", None),
    "WX506": broadcast("rejected", 131049),
    "WX508": unplaced_stop,
    "WX509": template(category="AUTHENTICATION"),
    "WX601": journey("eligibility", {**GOOD, "in_real_use": False}),
    "WX602": journey("other-partner", {"other_partner": True}),
    "WX603": journey("eligibility", {**GOOD, "app_version": "2.20.1"}),
    "WX604": journey("business-suite", {"linked": False}),
    "WX605": journey("signup", {}, Route.SIGNUP),
    "WX606": journey("number", {}),
    "WX607": journey("eligibility", {**GOOD, "meta_verified": True}),
    "WX701": revoked,
    "WX704": open_to_others,
    "WX705": from_the_future,
    "WX708": newer,
    "WX709": in_html,
    "WX711": copied,
    "WX712": lost_output,
}
SYMPTOMS = {
    "WX401": "unsupported-messages",
    "WX402": "unsupported-messages",
    "WX405": "unsupported-messages",
    "WX406": "missing-messages",
}
# What only the environment of the process decides.
ENVIRONMENT: dict[str, dict[str, str | None]] = {
    "WX702": {"WACOEX_META_APP_SECRET": None},
    "WX703": {"WACOEX_META_API_VERSION": "v20.0"},
    "WX706": {"WACOEX_KEYRING": "on", "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"},
}


def test_a_healthy_world_yields_no_finding_at_all(clinic) -> None:
    outcome = clinic.doctor()

    assert (outcome.code, outcome.data["findings"], outcome.data["verdict"]) == (0, [], "ok")
    assert [(source["name"], source["ok"]) for source in outcome.data["sources"]] == [
        ("state", True),
        ("meta", True),
        ("respondio", True),
    ]


@pytest.mark.parametrize(("finding_id", "change"), TABLE.items(), ids=TABLE)
def test_each_finding_has_a_world_in_which_it_fires(clinic, finding_id: str, change: Break) -> None:
    change(clinic)

    outcome = clinic.doctor()

    assert finding_id in [finding["id"] for finding in outcome.data["findings"]]
    assert "Traceback" not in outcome.err
    for finding in outcome.data["findings"]:
        assert finding["evidence"]
        assert finding["remedy"]
        assert finding["verify"].startswith("wacoex ")
        assert finding["explain"] == f"wacoex explain {finding['id']}"


@pytest.mark.parametrize(("finding_id", "symptom"), SYMPTOMS.items(), ids=SYMPTOMS)
def test_causes_that_wacoex_cannot_see_are_shown_only_for_a_symptom(
    clinic, finding_id: str, symptom: str
) -> None:
    assert finding_id in clinic.ids("shop", "--symptom", symptom)
    assert finding_id not in clinic.ids()


@pytest.mark.parametrize(("finding_id", "variables"), ENVIRONMENT.items(), ids=ENVIRONMENT)
def test_findings_that_the_environment_decides(
    clinic, finding_id: str, variables: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)

    assert clinic.ids() == [finding_id]


def test_a_disk_that_is_nearly_full(clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10 * 2**20))

    assert clinic.ids() == ["WX707"]


def test_a_state_file_on_a_network_file_system(clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [SimpleNamespace(mountpoint="/", fstype="nfs4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    monkeypatch.setattr(os, "major", lambda device: 0)

    [finding] = clinic.doctor().data["findings"]
    assert (finding["id"], finding["severity"]) == ("WX710", "critical")
    assert "is on NFS" in finding["evidence"][0]["text"]
    assert "wacoex state backup /" in finding["remedy"][0]


def test_the_table_holds_every_finding_of_the_catalogue() -> None:
    covered = {*TABLE, *SYMPTOMS, *ENVIRONMENT, "WX507", "WX514", "WX707", "WX710", *ONLY_CONNECT}

    assert covered == set(finding_ids())


def test_five_faults_at_once_are_those_five_worst_first(clinic) -> None:
    clinic.patch(quality_rating="RED")
    clinic.onboarded(12.5)
    override(clinic)
    five_devices(clinic)
    gone_from_respondio(clinic)

    outcome = clinic.doctor()

    found = [(finding["severity"], finding["id"]) for finding in outcome.data["findings"]]
    assert found == [
        ("critical", "WX102"),
        ("critical", "WX207"),
        ("warning", "WX205"),
        ("warning", "WX302"),
        ("warning", "WX501"),
    ]
    assert outcome.code == 2
    assert json.loads(outcome.out)["status"] == "ok"
