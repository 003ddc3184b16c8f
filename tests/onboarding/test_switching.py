"""`connect` on a channel that was connected before: told, asked, and a journey of its own."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from wacoex_cli.broadcast.model import Status
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.channels import account_ledger, registry
from wacoex_cli.channels.account import AccountEvent
from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import DeclinedError, RefusedError, UsageError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.onboarding import ledger
from wacoex_cli.onboarding.checks import FOUR_STEPS
from wacoex_cli.onboarding.journey import Context
from wacoex_cli.onboarding.model import JourneyKind, Route, StepState
from wacoex_cli.onboarding.switching import STEP, begin_again
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import Invocation

YES = {"Connect `shop`": "yes"}


@pytest.fixture
def finished(stage, make_talker):
    """A context of `shop`, whose first journey is over; the person says yes unless told."""
    stage.channel(respondio_channel_id=4242)

    def context(answers: dict[str, str] | None = None, **more: Any) -> Context:
        made: Context = stage.context(make_talker(YES if answers is None else answers), **more)
        with stage.workspace.state.transaction():
            ledger.finish(stage.workspace.state, made.journey.journey_id, stage.clock.now())
        return made

    return context


def tell(stage, event: str, *, minutes_ago: float, reason: str | None = None) -> None:
    at = to_text(stage.clock.now() - timedelta(minutes=minutes_ago))
    with stage.workspace.state.transaction():
        account_ledger.add(
            stage.workspace.state,
            [AccountEvent(f"{event} {at}", event, at, phone="+6560000001", reason=reason)],
        )


def send_with(stage, template: str, language: str) -> None:
    state = stage.workspace.state
    with state.transaction():
        broadcast_id = Broadcasts(state).start_draft(
            channel_id=1,
            name=None,
            template=json.dumps({"name": template, "language": language}),
            parameter_sources="{}",
            recipients_file="list.csv",
            provider=Provider.META,
            api_base_url="http://127.0.0.1",
            rate=20,
            now=stage.clock.now(),
        )
        Broadcasts(state).set_status(broadcast_id, Status.COMPLETED)


def test_the_four_steps_the_new_ids_and_the_templates_are_told_before_it_asks(
    stage, finished
) -> None:
    for template, language in (("offer", "en_US"), ("hello", "en"), ("offer", "en_US")):
        send_with(stage, template, language)
    context = finished()

    begin_again(context)

    told = "\n".join(context.dialogue.told)
    places = [told.index(step) for step in FOUR_STEPS]
    assert places == sorted(places)
    assert "new waba_id" in told
    assert "respondio_channel_id 4242" in told
    assert "templates to make again: hello/en, offer/en_US\n" in f"{told}\n"


def test_a_new_journey_begins_with_who_agreed_to_what(stage, finished) -> None:
    context = finished()

    journey = begin_again(context)

    newest = ledger.newest_journey(stage.workspace.state, 1, JourneyKind.CONNECT)
    assert newest == journey
    assert (journey.journey_id, journey.via) == (2, Route.RESPONDIO)
    assert journey.finished_at is None
    record = ledger.records(stage.workspace.state, journey.journey_id)[STEP.id]
    assert (record.state, record.said_by) == (StepState.SETTLED, "bo")
    assert record.answer["ids"] == {
        "phone_number_id": context.channel.phone_number_id,
        "waba_id": context.channel.waba_id,
        "respondio_channel_id": "4242",
    }


def test_it_goes_the_same_way_unless_another_is_named(finished) -> None:
    assert begin_again(finished(), Route.SIGNUP).via is Route.SIGNUP
    assert begin_again(finished(via=Route.SIGNUP)).via is Route.SIGNUP


def test_no_leaves_everything_as_it_was(stage, finished) -> None:
    with pytest.raises(DeclinedError):
        begin_again(finished({"Connect `shop`": "no"}))

    assert ledger.open_journey(stage.workspace.state, 1, JourneyKind.CONNECT) is None


def test_without_anybody_to_ask_nothing_begins(stage, finished) -> None:
    context = finished()
    alone = Context(
        context.workspace,
        TerminalDialogue(Invocation(no_input=True)),
        context.journey,
        context.channel_name,
        context.wishes,
    )

    with pytest.raises(UsageError, match="nobody is there") as raised:
        begin_again(alone)

    assert raised.value.hint == "run `wacoex connect shop` in a terminal"
    assert ledger.open_journey(stage.workspace.state, 1, JourneyKind.CONNECT) is None


@pytest.mark.parametrize(
    ("event", "reason"), [("ACCOUNT_OFFBOARDED", None), ("PARTNER_REMOVED", "USER_RE_REGISTERED")]
)
def test_while_whatsapp_reconnects_by_itself_it_refuses(
    stage, finished, event: str, reason: str | None
) -> None:
    tell(stage, event, minutes_ago=5, reason=reason)

    with pytest.raises(RefusedError, match="is being reconnected") as raised:
        begin_again(finished())

    assert "wait until 2026-11-07T12:55:00.000Z" in str(raised.value.hint)
    stage.clock.advance(3600)
    assert begin_again(finished()).finished_at is None


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("PARTNER_REMOVED", "and its partner was removed since"),
        ("PARTNER_ADDED", "and still is: broadcasts stop"),
    ],
)
def test_how_it_is_connected_now_is_told(stage, finished, event: str, said: str) -> None:
    tell(stage, event, minutes_ago=2000, reason="PRIMARY_INACTIVITY")
    context = finished()

    begin_again(context)

    assert said in context.dialogue.told[0]


def test_the_old_ids_stay_with_the_channel_when_the_new_ones_are_written(stage, finished) -> None:
    context = finished()
    begin_again(context)
    before = context.channel

    registry.edit_channel(
        stage.workspace.state,
        "shop",
        {"waba_id": "555", "respondio_channel_id": 4300},
        stage.clock.now(),
    )

    after = context.channel
    assert after.former("waba_id") == (before.waba_id,)
    assert after.former("respondio_channel_id") == ("4242",)
    assert after.former("phone_number_id") == ()


def test_a_channel_that_was_let_go_is_restored_first_and_then_connected_again(
    stage, finished, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished()
    state = stage.workspace.state
    with state.transaction():
        gone = ledger.start(state, 1, JourneyKind.OFFBOARD, Route.RESPONDIO, stage.clock.now())
        ledger.finish(state, gone.journey_id, stage.clock.now())
    registry.archive_channel(state, "shop", stage.clock.now())
    monkeypatch.setenv("WACOEX_STATE", str(state.path))

    hidden = run("channel", "list", "--json").data["channels"]
    refused = run("connect", "shop")
    restored = run("channel", "restore", "shop", "--json")

    assert hidden == []
    assert (refused.code, "wacoex channel restore shop" in refused.err) == (2, True)
    assert (restored.code, restored.data["archived_at"]) == (0, None)
    assert ledger.newest_journey(state, 1, JourneyKind.OFFBOARD) is not None
    assert begin_again(finished()).kind is JourneyKind.CONNECT
