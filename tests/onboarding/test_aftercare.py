"""After-care: the dates that follow from connecting, written down."""

from __future__ import annotations

from typing import Any

from wacoex_cli.channels import evidence_ledger
from wacoex_cli.channels.evidence import EvidenceKind, Sign, channel_address
from wacoex_cli.devices import registry as devices
from wacoex_cli.devices.model import DeviceKind
from wacoex_cli.inactivity import reading
from wacoex_cli.inactivity.model import Grade
from wacoex_cli.onboarding.connect import after_care
from wacoex_cli.onboarding.model import Route, StepState
from wacoex_cli.sandbox.emission import emit

NOW, DEADLINE = "2026-11-07T12:00:00.000Z", "2026-11-21T12:00:00.000Z"


def go(stage, make_talker) -> Any:
    return stage.go("after-care", after_care, make_talker({}))


def standing(stage):
    channel = stage.context(None).channel
    found = reading.standings(stage.workspace, [channel], stage.clock.now())
    return found[channel.channel_id]


def test_connecting_is_proof_that_the_app_was_open(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", connected_at=NOW, connected_source="person")
    stage.clock.advance(3600)

    outcome = go(stage, make_talker)

    assert outcome.state is StepState.SETTLED
    assert outcome.answer["connected_at"] == NOW
    assert outcome.answer["deadline_at"] == DEADLINE
    assert outcome.answer["act_by_at"] == "2026-11-20T12:00:00.000Z"
    counted = standing(stage).counted
    assert (counted.name, counted.grade, counted.source, counted.said_by) == (
        "connected",
        Grade.PROOF,
        "person",
        "bo",
    )
    assert "2026-11-21 12:00 UTC" in str(outcome.note)


def test_gone_through_twice_it_is_kept_once(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", connected_at=NOW, connected_source="person")

    assert go(stage, make_talker).answer == go(stage, make_talker).answer
    assert stage.workspace.state.value("SELECT COUNT(*) FROM evidence") == 1


def test_meta_s_own_time_counts_when_it_is_the_newer_one(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", connected_at="2026-11-07T09:00:00.000Z", connected_source="respondio")
    stage.settle("proof", onboarded_at="2026-11-07T11:00:00.000Z", said_by="meta")

    outcome = go(stage, make_talker)

    assert outcome.answer["connected_at"] == "2026-11-07T11:00:00.000Z"
    assert outcome.answer["connected_source"] == "meta"


def test_a_connection_of_long_ago_is_no_evidence(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", connected_at="2026-10-01T12:00:00.000Z", connected_source="respondio")

    outcome = go(stage, make_talker)

    assert outcome.answer["deadline_at"] is None
    assert standing(stage).counted is None
    assert any("wacoex reminder confirm shop" in step for step in outcome.answer["next"])


def test_a_newer_proof_decides_about_the_deadline(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", connected_at="2026-11-01T12:00:00.000Z", connected_source="respondio")
    address = channel_address(stage.context(None).channel.channel_id)
    with stage.workspace.state.transaction():
        sign = Sign(address, EvidenceKind.CONFIRMED, NOW, "person", "Ana")
        evidence_ledger.add(stage.workspace.state, [sign])

    assert go(stage, make_talker).answer["deadline_at"] == DEADLINE


def test_companions_are_to_be_linked_again_from_the_next_day(stage, make_talker) -> None:
    stage.channel()
    channel = stage.context(None).channel
    before = stage.clock.now()
    state = stage.workspace.state
    devices.add_device(state, channel, DeviceKind.WEB, "front desk", before, before)
    stage.clock.advance(60)
    stage.settle("signup", connected_at="2026-11-07T12:01:00.000Z", connected_source="person")

    outcome = go(stage, make_talker)

    assert outcome.answer["companions"] == {
        "relink_from": "2026-11-08T12:01:00.000Z",
        "to_relink": ["1 web front desk"],
    }
    assert [one.id for one in outcome.findings] == ["WX303"]


def test_an_own_signup_also_has_a_window_and_its_progress(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", via=Route.SIGNUP)
    stage.clock.advance(60)
    emit(stage.world, "contact_sync")
    emit(stage.world, "history", chunks=3)
    stage.listen()

    outcome = go(stage, make_talker)

    assert outcome.answer["sync"] == {
        "closes_at": "2026-11-08T12:00:00.000Z",
        "contacts": 1,
        "history_percent": 100,
        "history_phases": {"0": 33, "1": 66, "2": 100},
        "declined_at": None,
    }


def test_respond_io_copies_nothing_so_there_is_no_window(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", connected_at=NOW, connected_source="person")

    assert go(stage, make_talker).answer["sync"] is None
