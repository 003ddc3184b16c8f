"""The steps of `connect` around the signup: respond.io's, what Meta shows, an echo."""

from __future__ import annotations

import pytest

from wacoex_cli.channels import registry
from wacoex_cli.channels.model import values_of
from wacoex_cli.channels.store import Facts
from wacoex_cli.errors import CredentialError
from wacoex_cli.onboarding.connect import echo_proof, partner, proof
from wacoex_cli.onboarding.model import Route, StepResult, StepState
from wacoex_cli.onboarding.signup import signup_respondio
from wacoex_cli.sandbox.account import open_phone
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import (
    DEFAULT_RESPONDIO_TOKEN,
    RESPONDIO_CHANNEL_ID,
    RESPONDIO_WEBCHAT_ID,
)
from wacoex_cli.sandbox.world import APP_ID, PARTNER_APP_ID, PHONE_NUMBER_ID, WABA_ID

NEW = 5001
MADE = "made in the browser"


def appear(stage, number: int = NEW, source: str = "whatsapp_cloud") -> None:
    made = {"id": number, "name": "Shop", "source": source, "created_at": stage.world.now()}
    stage.world.respondio.channels.append(made)


def channel_id(stage) -> int | None:
    return registry.known(stage.workspace.state, "shop").respondio_channel_id


def test_a_channel_that_appears_is_offered_and_taken(at_respondio, make_talker) -> None:
    talker = make_talker({"one of these": "no", "is it 5001": "yes"})
    talker.acts["waiting up to"] = lambda: appear(at_respondio)

    outcome = at_respondio.go("signup", signup_respondio, talker)

    assert outcome.state is StepState.SETTLED
    assert channel_id(at_respondio) == NEW
    assert outcome.said_by == "bo"
    assert outcome.answer["is_new"] is True
    assert outcome.answer["connected_source"] == "respondio"
    assert str(outcome.answer["connected_at"]).startswith("2026-11-07T12:00:0")
    assert any("Add Channel" in line for line in talker.shown)


def test_an_earlier_channel_is_taken_with_the_time_of_its_creation(
    at_respondio, make_talker
) -> None:
    at_respondio.clock.advance(10 * 86_400)
    talker = make_talker({"one of these": "yes", "which one": ["9", str(RESPONDIO_CHANNEL_ID)]})

    outcome = at_respondio.go("signup", signup_respondio, talker)

    assert channel_id(at_respondio) == RESPONDIO_CHANNEL_ID
    assert outcome.answer["is_new"] is False
    assert str(outcome.answer["connected_at"]).startswith("2026-11-07T12")
    assert "there is no channel `9` in this workspace" in talker.shown


def test_new_channels_come_first_then_those_that_look_like_whatsapp(
    at_respondio, make_talker
) -> None:
    talker = make_talker({"one of these": "no", "which one": str(RESPONDIO_WEBCHAT_ID)})

    def several() -> None:
        appear(at_respondio, 6001, "telegram")
        appear(at_respondio, 6002)

    talker.acts["waiting up to"] = several
    at_respondio.go("signup", signup_respondio, talker)

    listed = [line.split()[0] for line in talker.shown if line.startswith("  ") and "(" in line]
    assert listed == ["6002", "6001", str(RESPONDIO_CHANNEL_ID), str(RESPONDIO_WEBCHAT_ID)]
    assert channel_id(at_respondio) == RESPONDIO_WEBCHAT_ID  # any can be picked


def test_a_resumed_walk_knows_which_channels_existed_at_its_start(
    at_respondio, make_talker
) -> None:
    first = make_talker({"one of these": "no", "which one": ""})
    assert at_respondio.go("signup", signup_respondio, first).state is StepState.OPEN
    appear(at_respondio)
    at_respondio.reopen()
    second = make_talker({"is it 5001": "yes"})

    outcome = at_respondio.go("signup", signup_respondio, second)

    assert outcome.answer["is_new"] is True
    assert second.questions == ["is it 5001 (Shop, whatsapp_cloud)?"]


def test_nothing_appears_and_the_step_stays_open(at_respondio, make_talker) -> None:
    talker = make_talker({"one of these": "no", "which one": ""})

    outcome = at_respondio.go("signup", signup_respondio, talker)

    assert outcome.state is StepState.OPEN
    assert "run `wacoex connect shop` again" in str(outcome.note)
    assert 600 <= sum(at_respondio.clock.slept) < 620
    assert channel_id(at_respondio) is None


def test_without_a_token_it_is_a_checklist_with_a_receipt(stage, make_talker) -> None:
    stage.channel(phone_number_id=None, waba_id=None)
    talker = make_talker(
        {"connected in respond.io now": "yes", "just now": "yes", "the id": ["Shop", "4242"]}
    )

    outcome = stage.go("signup", signup_respondio, talker)

    assert outcome.state is StepState.SETTLED
    assert outcome.said_by == "bo"
    assert outcome.answer == {
        "respondio_channel_id": 4242,
        "connected_at": "2026-11-07T12:00:00.000Z",
        "connected_source": "person",
    }
    assert channel_id(stage) == 4242


def test_without_a_token_the_id_may_stay_unknown(stage, make_talker) -> None:
    stage.channel()
    talker = make_talker({"connected in respond.io now": "yes", "just now": "no", "the id": ""})

    outcome = stage.go("signup", signup_respondio, talker)

    assert outcome.state is StepState.SETTLED
    assert outcome.answer["connected_at"] is None  # connected long ago proves nothing about now
    assert channel_id(stage) is None


def test_not_connected_yet_is_an_answer(stage, make_talker) -> None:
    stage.channel()
    talker = make_talker({"connected in respond.io now": "no"})

    assert stage.go("signup", signup_respondio, talker).state is StepState.DECLINED


def test_a_token_that_is_refused_ends_the_walk(at_respondio, make_talker) -> None:
    at_respondio.reopen(WACOEX_RESPONDIO_TOKEN="of-somebody-else")

    with pytest.raises(CredentialError):
        at_respondio.go("signup", signup_respondio, make_talker({}))


PERSON = "+6591234567"


def shown(stage, **values: object) -> None:
    stage.world.patch_node(stage.world.nodes[PHONE_NUMBER_ID], values)


def test_a_number_that_meta_shows_in_coexistence_is_proven(at_meta, make_talker) -> None:
    outcome = at_meta.go("proof", proof, make_talker({}))

    assert outcome.state is StepState.SETTLED
    assert outcome.said_by == "meta"
    assert outcome.answer == {
        "is_on_biz_app": True,
        "platform_type": "CLOUD_API",
        "status": "CONNECTED",
        "onboarded_at": "2026-11-07T11:00:00.000Z",
        "source": "meta",
        "observed_at": "2026-11-07T12:00:00.000Z",
    }
    stored = Facts(at_meta.workspace.state).facts_by_channel()
    assert values_of(next(iter(stored.values())).values())["is_on_biz_app"] is True


def test_an_answer_that_takes_long_is_waited_for(at_meta, make_talker) -> None:
    at_meta.reopen(WACOEX_STATUS_SECONDS_PER_CHANNEL="0.1")
    at_meta.world.faults.replace([Fault("latency", seconds=0.3)])

    assert at_meta.go("proof", proof, make_talker({})).state is StepState.SETTLED


def test_while_meta_is_late_it_is_asked_again_with_growing_pauses(at_meta, make_talker) -> None:
    shown(at_meta, is_on_biz_app=False, platform_type="NOT_APPLICABLE")
    talker = make_talker({})

    def settles() -> None:
        if sum(at_meta.clock.slept) >= 75:
            shown(at_meta, is_on_biz_app=True, platform_type="CLOUD_API")

    talker.acts["settling"] = settles
    outcome = at_meta.go("proof", proof, talker)

    assert outcome.state is StepState.SETTLED
    assert at_meta.clock.slept == [5, 10, 20, 40, 60]


def test_after_half_an_hour_it_stays_open_without_an_alarm(at_meta, make_talker) -> None:
    shown(at_meta, is_on_biz_app=False)

    outcome = at_meta.go("proof", proof, make_talker({}))

    assert outcome.state is StepState.OPEN
    assert 1800 <= sum(at_meta.clock.slept) < 1860
    assert {(finding.id, finding.severity) for finding in outcome.findings} == {
        ("WX201", "info"),
        ("WX208", "info"),
    }
    assert "wacoex connect shop" in str(outcome.note)


def test_a_number_meta_does_not_show_stays_open_with_what_to_check(at_meta, make_talker) -> None:
    at_meta.world.hidden.add(PHONE_NUMBER_ID)

    outcome = at_meta.go("proof", proof, make_talker({}))

    assert outcome.state is StepState.OPEN
    assert "phone_number_id" in str(outcome.note)


def test_a_bad_token_ends_the_walk(at_meta, make_talker) -> None:
    at_meta.reopen(WACOEX_META_TOKEN="of-somebody-else")

    with pytest.raises(CredentialError):
        at_meta.go("proof", proof, make_talker({}))


@pytest.mark.parametrize("action", [proof, partner])
def test_without_a_token_or_an_id_the_step_is_skipped_with_the_reason(
    stage, make_talker, action
) -> None:
    stage.channel(phone_number_id=None, waba_id=None)
    without_token = stage.go("proof", action, make_talker({}))
    stage.reopen(WACOEX_META_TOKEN="token")
    without_id = stage.go("proof", action, make_talker({}))

    assert (without_token.state, without_id.state) == (StepState.SKIPPED, StepState.SKIPPED)
    assert without_token.answer == {"reason": "there is no meta-token"}
    assert "wacoex channel edit shop --" in str(without_id.answer["reason"])


def test_respond_io_is_found_among_the_apps_by_its_name(at_meta, make_talker) -> None:
    outcome = at_meta.go("partner", partner, make_talker({}))

    assert outcome.state is StepState.SETTLED
    assert (outcome.answer["expected"], outcome.answer["seen"]) == ("respond.io", True)
    assert {"id": PARTNER_APP_ID, "name": "respond.io WA BSP"} in outcome.answer["apps"]


def test_a_missing_partner_is_noted_and_proves_nothing(at_meta, make_talker) -> None:
    at_meta.world.subscribed_apps[WABA_ID] = []

    outcome = at_meta.go("partner", partner, make_talker({}))

    assert outcome.state is StepState.SETTLED
    assert outcome.answer["seen"] is False
    assert "signs, not proof" in str(outcome.note)


def test_with_embedded_signup_your_app_is_looked_for(at_meta, make_talker) -> None:
    outcome = at_meta.go("partner", partner, make_talker({}), via=Route.SIGNUP)

    assert (outcome.answer["expected"], outcome.answer["seen"]) == (APP_ID, True)


def test_an_account_the_token_may_not_see_skips_the_partner(at_meta, make_talker) -> None:
    at_meta.world.patch_token("sandbox-token-0123456789", {"waba_ids": frozenset()})

    outcome = at_meta.go("partner", partner, make_talker({}))

    assert outcome.state is StepState.SKIPPED


def test_an_echo_in_the_webhooks_settles_the_step(at_meta, make_talker) -> None:
    talker = make_talker({})

    def typed() -> None:
        open_phone(at_meta.world)
        at_meta.listen()

    talker.acts["send any message"] = typed
    outcome = at_meta.go("echo-proof", echo_proof, talker, via=Route.SIGNUP)

    assert outcome.state is StepState.SETTLED
    assert outcome.said_by == "meta"
    assert outcome.answer["echo_at"] == "2026-11-07T12:00:00.000Z"
    assert any("wacoex events listen" in line for line in talker.shown)


def test_an_older_echo_proves_nothing(at_meta, make_talker) -> None:
    open_phone(at_meta.world, days_ago=0.01)
    at_meta.listen()

    outcome = at_meta.go("echo-proof", echo_proof, make_talker({}), via=Route.SIGNUP)

    assert outcome.state is StepState.OPEN
    assert 600 <= sum(at_meta.clock.slept) < 610
    assert "--skip-proof" in str(outcome.note)


def test_an_echo_that_came_after_the_time_limit_counts_when_it_is_resumed(
    at_meta, make_talker
) -> None:
    at_meta.go("echo-proof", echo_proof, make_talker({}), via=Route.SIGNUP)
    open_phone(at_meta.world)
    at_meta.listen()
    at_meta.clock.advance(3600)
    at_meta.reopen()

    outcome = at_meta.go("echo-proof", echo_proof, make_talker({}))

    assert outcome.state is StepState.SETTLED
    assert outcome.answer["began_at"] == "2026-11-07T12:00:00.000Z"


@pytest.fixture
def pulling(at_respondio):
    at_respondio.workspace.close()
    at_respondio.open()
    from wacoex_cli.channels import registry

    changes = {"respondio_channel_id": RESPONDIO_CHANNEL_ID}
    registry.edit_channel(at_respondio.workspace.state, "shop", changes, at_respondio.clock.now())
    return at_respondio


def test_with_a_respondio_token_the_echo_is_read_there(pulling, make_talker) -> None:
    talker = make_talker({"to which number": ["somebody", PERSON]})
    talker.acts["send any message"] = lambda: open_phone(pulling.world)

    outcome = pulling.go("echo-proof", echo_proof, talker)

    assert outcome.state is StepState.SETTLED
    assert outcome.said_by == "respondio"


def test_a_message_to_somebody_respond_io_does_not_know_yet_is_waited_for(
    pulling, make_talker
) -> None:
    talker = make_talker({"to which number": "+6592222222"})

    outcome = pulling.go("echo-proof", echo_proof, talker)

    assert outcome.state is StepState.OPEN


def questions(stage, make_talker, answer: str) -> StepResult:
    stage.channel()
    outcome: StepResult = stage.go("echo-proof", echo_proof, make_talker({"did it appear": answer}))
    return outcome


def test_without_a_source_of_messages_the_person_is_asked(stage, make_talker) -> None:
    outcome = questions(stage, make_talker, "yes")

    assert (outcome.state, outcome.said_by) == (StepState.SETTLED, "bo")
    assert outcome.answer["source"] == "person"
    assert stage.clock.slept == []


def test_a_missing_echo_is_an_answer_and_is_asked_about_again(stage, make_talker) -> None:
    assert questions(stage, make_talker, "no").state is StepState.DECLINED


def test_the_proof_can_be_left_out_and_the_person_is_recorded(at_meta, make_talker) -> None:
    outcome = at_meta.go("echo-proof", echo_proof, make_talker({}), skip_proof=True)

    assert (outcome.state, outcome.said_by) == (StepState.SKIPPED, "bo")


def test_a_probe_contact_of_the_configuration_is_looked_at(
    pulling, make_talker, isolated_home
) -> None:
    config = isolated_home / ".config" / "wacoex"
    config.mkdir(parents=True, exist_ok=True)
    (config / "config.toml").write_text(f'[events]\nprobe_contact = "{PERSON}"\n')
    pulling.reopen()
    talker = make_talker({})
    talker.acts["send any message"] = lambda: open_phone(pulling.world)

    assert pulling.go("echo-proof", echo_proof, talker).state is StepState.SETTLED
    assert DEFAULT_RESPONDIO_TOKEN not in " ".join(talker.shown)
