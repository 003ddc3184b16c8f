"""Signup in respond.io: which channel of the workspace it became."""

from __future__ import annotations

import pytest

from wacoex_cli.channels import registry
from wacoex_cli.errors import CredentialError
from wacoex_cli.onboarding.model import StepState
from wacoex_cli.onboarding.signup import signup_respondio
from wacoex_cli.sandbox.respondio_world import RESPONDIO_CHANNEL_ID, RESPONDIO_WEBCHAT_ID

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
    assert any("Add Channel" in line for line in talker.told)


def test_one_that_was_there_before_is_taken_with_the_time_it_was_made(
    at_respondio, make_talker
) -> None:
    at_respondio.clock.advance(10 * 86_400)
    talker = make_talker({"one of these": "yes", "which one": ["9", str(RESPONDIO_CHANNEL_ID)]})

    outcome = at_respondio.go("signup", signup_respondio, talker)

    assert channel_id(at_respondio) == RESPONDIO_CHANNEL_ID
    assert outcome.answer["is_new"] is False
    assert str(outcome.answer["connected_at"]).startswith("2026-11-07T12")
    assert "there is no channel `9` in this workspace" in talker.told


def test_the_new_ones_stand_first_then_those_that_look_like_whatsapp(
    at_respondio, make_talker
) -> None:
    talker = make_talker({"one of these": "no", "which one": str(RESPONDIO_WEBCHAT_ID)})

    def several() -> None:
        appear(at_respondio, 6001, "telegram")
        appear(at_respondio, 6002)

    talker.acts["waiting up to"] = several
    at_respondio.go("signup", signup_respondio, talker)

    listed = [line.split()[0] for line in talker.told if line.startswith("  ") and "(" in line]
    assert listed == ["6002", "6001", str(RESPONDIO_CHANNEL_ID), str(RESPONDIO_WEBCHAT_ID)]
    assert channel_id(at_respondio) == RESPONDIO_WEBCHAT_ID  # any can be picked


def test_a_walk_that_is_resumed_knows_what_was_there_when_it_began(
    at_respondio, make_talker
) -> None:
    first = make_talker({"one of these": "no", "which one": ""})
    assert at_respondio.go("signup", signup_respondio, first).state is StepState.OPEN
    appear(at_respondio)
    at_respondio.reopen()
    second = make_talker({"is it 5001": "yes"})

    outcome = at_respondio.go("signup", signup_respondio, second)

    assert outcome.answer["is_new"] is True
    assert second.asked == ["is it 5001 (Shop, whatsapp_cloud)?"]


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


def test_not_connected_yet_leaves_it_open(stage, make_talker) -> None:
    stage.channel()
    talker = make_talker({"connected in respond.io now": "no"})

    assert stage.go("signup", signup_respondio, talker).state is StepState.OPEN


def test_a_token_that_is_refused_ends_the_walk(at_respondio, make_talker) -> None:
    at_respondio.reopen(WACOEX_RESPONDIO_TOKEN="of-somebody-else")

    with pytest.raises(CredentialError):
        at_respondio.go("signup", signup_respondio, make_talker({}))
