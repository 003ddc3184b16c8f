"""Contacts and history: asked for once, in one try, never again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from wacoex_cli.channels.facts import CHANNELS
from wacoex_cli.errors import CredentialError
from wacoex_cli.events.store import catch_up
from wacoex_cli.findings.model import Severity
from wacoex_cli.onboarding import checks
from wacoex_cli.onboarding.model import Route, StepState
from wacoex_cli.onboarding.sync import progress_of, sync
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.webhooks import emit

YES = {"copy the contacts": "yes", "copy the chats": "yes", "continue without": "yes"}
EDGE = "smb_app_data"


@pytest.fixture
def signed_up(at_meta):
    """The own signup is done, an hour after Meta reported its own time of it."""
    at_meta.settle("signup", via=Route.SIGNUP)
    at_meta.settle("proof", said_by="meta", onboarded_at="2026-11-07T11:00:00.000Z")
    return at_meta


def calls(stage) -> list[tuple[str, int | None]]:
    return [(entry.sync_type, entry.code) for entry in stage.world.log.syncs]


def go(stage, talker) -> Any:
    return stage.go("sync", sync, talker)


def test_both_are_asked_for_in_order_and_their_ids_are_kept(signed_up, make_talker) -> None:
    talker = make_talker(YES)

    outcome = go(signed_up, talker)

    assert outcome.state is StepState.SETTLED
    assert calls(signed_up) == [("smb_app_state_sync", None), ("history", None)]
    assert outcome.answer["contacts"]["state"] == "taken"
    assert str(outcome.answer["history"]["request_id"]).startswith("sync-")
    assert outcome.answer["closes_at"] == "2026-11-08T12:00:00.000Z"
    assert all("until 2026-11-08T12:00:00.000Z" in question for question in talker.questions)


def test_unwanted_data_is_not_requested(signed_up, make_talker) -> None:
    outcome = go(signed_up, make_talker(YES | {"copy the chats": "no"}))

    assert outcome.state is StepState.SETTLED
    assert calls(signed_up) == [("smb_app_state_sync", None)]
    assert outcome.answer["history"] == {"state": "declined", "at": "2026-11-07T12:00:00.000Z"}


def test_the_progress_comes_from_the_webhooks(signed_up, make_talker) -> None:
    talker = make_talker(YES)
    signed_up.clock.sleep = listening(signed_up)

    outcome = go(signed_up, talker)

    assert outcome.note == "copied so far: 1 contact, history 100 %"


def listening(stage):
    """Somebody listens while the program sleeps."""

    async def sleep(seconds: float) -> None:
        stage.clock.advance(seconds)
        stage.listen()

    return sleep


def test_progress_counts_the_most_of_each_phase_in_any_order(signed_up) -> None:
    emit(signed_up.world, "history", chunks=3, shuffled=True, seed=4)
    signed_up.listen()
    catch_up(signed_up.workspace.state, [CHANNELS], signed_up.clock)
    channel = signed_up.context(None).channel
    since = datetime(2026, 11, 7, 11, tzinfo=UTC)

    found = progress_of(signed_up.workspace.state, channel, since).to_json()

    assert found["history_phases"] == {"0": 33, "1": 66, "2": 100}
    assert found["history_percent"] == 100


def test_an_answer_that_never_came_is_uncertain_and_never_repeated(signed_up, make_talker) -> None:
    signed_up.world.faults.replace([Fault("reset_after", on="reads", path=EDGE, count=1)])

    first = go(signed_up, make_talker(YES))
    signed_up.reopen()
    second = go(signed_up, make_talker({"copy the chats": "yes", "continue without": "no"}))

    assert (first.state, second.state) == (StepState.UNCERTAIN, StepState.UNCERTAIN)
    assert "never repeats it" in str(first.note)
    assert "wacoex events list --kind contact_sync" in str(first.note)
    assert calls(signed_up) == [("smb_app_state_sync", None), ("history", None)]


def test_webhooks_show_that_an_uncertain_request_was_taken(signed_up, make_talker) -> None:
    signed_up.world.faults.replace([Fault("reset_after", on="reads", path=EDGE, count=1)])
    go(signed_up, make_talker(YES))
    signed_up.listen()

    outcome = go(signed_up, make_talker({"copy the chats": "yes"}))

    assert outcome.state is StepState.SETTLED
    assert outcome.answer["contacts"]["state"] == "seen"


def test_a_person_continues_without_the_uncertain_part(signed_up, make_talker) -> None:
    signed_up.world.faults.replace([Fault("reset_before", on="reads", path=EDGE, count=1)])
    go(signed_up, make_talker(YES))

    outcome = go(signed_up, make_talker(YES))

    assert (outcome.state, outcome.said_by) == (StepState.SKIPPED, "bo")
    assert calls(signed_up) == [("history", None)]


@pytest.mark.parametrize(("code", "both"), [(2593107, True), (2593108, False)])
def test_a_refusal_is_explained_and_the_request_is_not_made_again(
    signed_up, make_talker, code: int, both: bool
) -> None:
    signed_up.world.faults.replace([Fault("refuse", on="reads", path=EDGE, code=code, count=1)])

    first = go(signed_up, make_talker(YES))
    second = go(signed_up, make_talker(YES))

    assert (first.state, first.said_by) == (StepState.FAILED, "meta")
    assert first.findings[0].id == "WX605"
    assert f"code {code}" in first.findings[0].evidence[0].text
    assert second.state is StepState.SKIPPED
    assert calls(signed_up) == ([("history", None)] if both else [])


def test_a_history_that_is_not_shared_is_reported_at_once(signed_up, make_talker) -> None:
    signed_up.world.patch_settings({"shares_history": False})
    signed_up.clock.sleep = listening(signed_up)

    outcome = go(signed_up, make_talker(YES))

    assert outcome.state is StepState.FAILED
    [finding] = outcome.findings
    assert (finding.id, finding.severity) == ("WX605", Severity.WARNING)
    assert "code 2593109" in finding.evidence[0].text
    assert go(signed_up, make_talker(YES)).state is StepState.SKIPPED


def test_after_the_window_nothing_is_asked_for(signed_up, make_talker) -> None:
    signed_up.clock.advance(25 * 3600)

    outcome = go(signed_up, make_talker({}))

    assert outcome.state is StepState.SKIPPED
    assert calls(signed_up) == []
    assert [(finding.id, finding.severity) for finding in outcome.findings] == [
        ("WX605", Severity.WARNING)
    ]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("refuse", on="reads", path=EDGE, code=80007, count=1),
        Fault("throttled", on="reads", path=EDGE, count=1),
    ],
)
def test_a_throttled_request_is_not_used_up(signed_up, make_talker, fault: Fault) -> None:
    signed_up.world.faults.replace([fault])

    first = go(signed_up, make_talker(YES))
    second = go(signed_up, make_talker(YES))

    assert (first.state, second.state) == (StepState.OPEN, StepState.SETTLED)
    assert [(finding.id, finding.severity) for finding in first.findings] == [
        ("WX605", Severity.INFO)
    ]
    assert calls(signed_up) == [("smb_app_state_sync", None), ("history", None)]


def test_a_request_that_never_left_is_not_used_up(signed_up, make_talker) -> None:
    url = signed_up.environ["WACOEX_META_BASE_URL"]
    signed_up.reopen(WACOEX_META_BASE_URL="http://127.0.0.1:9")
    first = go(signed_up, make_talker(YES))
    signed_up.reopen(WACOEX_META_BASE_URL=url)

    second = go(signed_up, make_talker(YES))

    assert (first.state, second.state) == (StepState.OPEN, StepState.SETTLED)
    assert len(calls(signed_up)) == 2


def test_a_token_that_is_refused_frees_the_request(signed_up, make_talker) -> None:
    signed_up.world.faults.replace([Fault("expired_token", on="reads", path=EDGE, count=1)])
    with pytest.raises(CredentialError):
        go(signed_up, make_talker(YES))

    assert go(signed_up, make_talker(YES)).state is StepState.SETTLED


@pytest.mark.parametrize("kind", ["server_error", "html", "empty_object", "truncated_json"])
def test_every_unusable_answer_is_uncertain(signed_up, make_talker, kind: str) -> None:
    signed_up.world.faults.replace([Fault(kind, on="reads", path=EDGE, count=1)])

    assert go(signed_up, make_talker(YES)).state is StepState.UNCERTAIN


def test_respond_io_never_copies(at_meta, make_talker) -> None:
    at_meta.settle("signup", connected_at="2026-11-07T12:00:00.000Z")

    outcome = go(at_meta, make_talker({}))

    assert outcome.state is StepState.SKIPPED
    assert calls(at_meta) == []


def test_without_a_token_nothing_is_copied(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", via=Route.SIGNUP)

    assert go(stage, make_talker({})).state is StepState.SKIPPED


def test_the_finding_says_until_when_and_then_that_it_is_over() -> None:
    closes = datetime(2026, 11, 8, 12, tzinfo=UTC)
    before = datetime(2026, 11, 8, 11, 59, tzinfo=UTC)

    [open_one] = checks.check_window(closes, "shop", before, "meta")
    [closed] = checks.check_window(closes, "shop", closes, "meta")

    assert (open_one.severity, closed.severity) == (Severity.INFO, Severity.WARNING)
    assert "wacoex connect shop" in open_one.remedy[0]
