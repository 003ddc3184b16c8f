"""`connect` as it is typed: resuming, the check, connecting again, after-care, the receipt."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from wacoex_cli.channels import registry
from wacoex_cli.channels.model import AccountEvent, EvidenceKind, Provider, Sign, channel_address
from wacoex_cli.channels.store import AccountEvents, Signs
from wacoex_cli.devices.inventory import add_device
from wacoex_cli.devices.model import DeviceKind
from wacoex_cli.errors import DeclinedError, RefusedError, TemporaryError, UsageError
from wacoex_cli.findings.model import Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State
from wacoex_cli.inactivity.checks import standings
from wacoex_cli.inactivity.model import Grade
from wacoex_cli.ledger.model import Status
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.onboarding import checks, connect
from wacoex_cli.onboarding.checks import four_steps
from wacoex_cli.onboarding.connect import CONNECT_STEPS, SWITCHING, after_care, begin_again
from wacoex_cli.onboarding.journey import Context
from wacoex_cli.onboarding.model import (
    JourneyKind,
    JourneyOptions,
    Receipt,
    Route,
    StepResult,
    StepState,
    WindowFailed,
)
from wacoex_cli.onboarding.store import Journeys
from wacoex_cli.sandbox.webhooks import emit
from wacoex_cli.sandbox.world import WABA_ID
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import Invocation

ELIGIBLE = ["2.25.3", "y", "n"]
CHECKED = [*ELIGIBLE, "y", "n"]
KEYS = {"channel", "journey_id", "kind", "via", "status", "steps", "findings", "aftercare"}


@pytest.fixture
def place(state: State, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WACOEX_STATE", str(state.path))
    monkeypatch.setenv("LOGNAME", "bo")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    with freeze_time("2026-11-07T12:00:00Z"):
        yield


@pytest.fixture
def shop(place, run) -> None:
    run("channel", "add", "shop", "--phone", "+6591234567")


def typed(*lines: str) -> dict[str, object]:
    """What a person types at a terminal, and then goes away."""
    return {"tty": True, "stdin": "".join(f"{line}\n" for line in lines)}


def states(data) -> dict[str, str]:
    return {step["step"]: step["state"] for step in data["steps"]}


class Killed(BaseException):
    """The end of the process, as far as a step can feel it."""


class Steps:
    """Steps whose end the test decides; they remember how often each was gone through."""

    def __init__(self, **ends: StepResult | BaseException) -> None:
        self.ends = {name.replace("_", "-"): end for name, end in ends.items()}
        self.gone: list[str] = []

    def actions(self):
        return {step: self._action(step.id) for step in CONNECT_STEPS}

    def _action(self, step: str):
        async def act(context: Context) -> StepResult:
            self.gone.append(step)
            end = self.ends.get(step, StepResult(StepState.SETTLED, {"of": step}, "bo"))
            if isinstance(end, BaseException):
                raise end
            return end

        return act


def walk(steps: Steps, via: Route | None = None, *, is_check: bool = False) -> Receipt:
    invocation = Invocation(channel="shop")
    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        chosen = connect.channel_to_connect(
            workspace, invocation, dialogue, None, via or Route.RESPONDIO
        )
        return connect.connect(
            workspace,
            dialogue,
            chosen,
            JourneyOptions(via=via, is_check=is_check),
            steps=steps.actions(),
        )


def test_the_check_asks_its_questions_and_ends_with_findings(run, shop) -> None:
    done = run("connect", "shop", "--check", "--json", **typed(*CHECKED))

    assert done.code == 0
    assert set(done.data) >= KEYS
    assert (done.data["kind"], done.data["via"], done.data["status"]) == (
        "connect",
        "respondio",
        "open",
    )
    assert [finding["id"] for finding in done.data["findings"]] == ["WX606"]
    assert list(states(done.data).values())[:5] == ["settled"] * 4 + ["open"]
    eligibility = done.data["steps"][1]
    assert eligibility == {
        "step": "eligibility",
        "title": "Can it be connected",
        "nature": "asked",
        "state": "settled",
        "said_by": "bo",
        "at": "2026-11-07T12:00:00.000Z",
        "answer": {
            "phone": "+6591234567",
            "app_version": "2.25.3",
            "in_real_use": True,
            "meta_verified": False,
        },
    }


def test_the_check_goes_through_all_questions_even_when_one_fails(run, shop) -> None:
    done = run("connect", "shop", "--check", "--json", **typed("2.23.1", "n", "n", "n", "y", "n"))

    assert done.code == 5
    assert [finding["id"] for finding in done.data["findings"]] == [
        "WX603",
        "WX602",
        "WX604",
        "WX601",
        "WX606",
    ]


def test_a_second_check_keeps_the_answers_and_asks_only_what_is_open(run, shop) -> None:
    run("connect", "shop", "--check", **typed("2.23.1", "n", "n", "y", "n"))

    again = run("connect", "shop", "--check", "--json", **typed("2.25.3", "n", "n"))

    assert again.code == 0
    assert {finding["id"] for finding in again.data["findings"]} == {"WX601", "WX606"}
    assert run("connect", "shop", "--check", "--json").code == 0


def test_the_walk_continues_from_the_answers_of_the_check(run, shop) -> None:
    run("connect", "shop", "--check", **typed(*CHECKED))

    done = run("connect", "shop", "--json", **typed("yes"))

    assert states(done.data)["changes"] == "settled"
    assert states(done.data)["signup"] == "declined"


def test_a_failed_step_ends_the_walk_and_is_asked_again_the_next_time(run, shop) -> None:
    done = run("connect", "shop", "--json", **typed("2.23.1", "y", "n"))

    assert done.code == 5
    assert states(done.data)["eligibility"] == "failed"
    assert states(done.data)["business-suite"] == "open"
    again = run("connect", "shop", "--json", **typed(*ELIGIBLE, "n", ""))
    assert states(again.data)["eligibility"] == "settled"
    assert (again.code, states(again.data)["business-suite"]) == (1, "declined")


def test_the_link_in_business_suite_can_be_left_out_with_a_reason(run, shop) -> None:
    done = run("connect", "shop", "--json", **typed(*ELIGIBLE, "n", "no admin today", "n", "yes"))

    assert states(done.data)["business-suite"] == "skipped"
    assert done.data["steps"][2]["answer"] == {"linked": False, "reason": "no admin today"}
    assert states(done.data)["changes"] == "settled"
    assert "WX604" in {finding["id"] for finding in done.data["findings"]}


def test_the_receipt_says_who_did_what_and_when(run, shop) -> None:
    run("channel", "edit", "shop", "--timezone", "Asia/Singapore")

    shown = run("connect", "shop", "--check", **typed(*CHECKED)).out

    said = " ".join(shown.split())
    assert shown.startswith("connecting shop through respond.io: Sat 7 Nov 20:00 Asia/Singapore")
    assert (
        "done Can it be connected: app version 2.25.3, in real use, not verified by Meta,"
        " +6591234567 (by bo, on Sat 7 Nov 20:00 Asia/Singapore)"
    ) in said
    assert not re.search(r"\w_\w|\d{4}-\d\d-\d\d", shown.partition("\n\n")[0])
    assert "info WX606 (shop)" in shown
    assert shown.endswith("not finished; continue with: wacoex connect shop\n")


def test_settled_steps_are_shown_and_not_asked_again(run, shop) -> None:
    run("connect", "shop", "--check", **typed(*CHECKED))

    done = run("connect", "shop", **typed())

    assert "done: Can it be connected (Sat 7 Nov 12:00 UTC, bo)" in done.err
    assert "version of the WhatsApp Business app" not in done.err


def test_without_a_terminal_it_ends_with_an_error_and_keeps_settled_steps(run, shop) -> None:
    done = run("connect", "shop", "--json")

    assert done.code == 2
    assert done.envelope["errors"][0]["code"] == "needs_answer"
    assert "run `wacoex connect shop` in a terminal" in done.envelope["errors"][0]["hint"]
    assert states(done.data)["number"] == "settled"
    assert states(done.data)["eligibility"] == "open"


def test_an_unknown_name_is_asked_for_its_number_and_added(place, run) -> None:
    done = run("connect", "cafe", "--check", "--json", **typed("y", "+65 9123 4567", *CHECKED))

    assert done.code == 0
    [channel] = run("channel", "list", "--json").data["channels"]
    assert (channel["channel"], channel["phone"], channel["provider"]) == (
        "cafe",
        "+6591234567",
        "respondio",
    )


def test_an_unknown_name_that_the_person_declines_changes_nothing(place, run) -> None:
    assert run("connect", "cafe", **typed("n")).code == 1
    assert run("channel", "list", "--json").data["channels"] == []


def test_an_unknown_name_without_a_terminal_is_a_usage_error(place, run) -> None:
    done = run("connect", "cafe")

    assert done.code == 2
    assert "hint: add it with `wacoex channel add cafe --phone +65...`" in done.err


def test_a_name_that_is_nearly_right_is_asked_about(run, shop) -> None:
    assert "did you mean `shop`?" in run("connect", "shpo").err
    assert "did you mean `shop`?" in run("connect", "shpo", **typed("n")).err


def test_the_number_of_another_channel_is_refused(run, shop) -> None:
    done = run("connect", "cafe", **typed("y", "+6591234567"))

    assert done.code == 2
    assert "belongs to channel `shop`" in done.err


def test_two_names_are_one_too_many(run, shop) -> None:
    assert run("connect", "shop", "-c", "cafe").code == 2


@pytest.mark.parametrize("options", [("--port", "0"), ("--port", "70000"), ("--via", "meta")])
def test_wrong_options_are_usage_errors(run, shop, options) -> None:
    assert run("connect", "shop", *options).code == 2


def test_a_walk_to_the_end_finishes_the_journey(shop_added: None) -> None:
    steps = Steps(after_care=StepResult(StepState.SETTLED, {"deadline_at": "soon"}, "wacoex"))

    done = walk(steps)

    assert (done.exit_code, done.is_finished) == (0, True)
    assert steps.gone == [step.id for step in CONNECT_STEPS if step.id != "sync"]


def test_contacts_and_history_belong_to_the_own_app_only(shop_added: None) -> None:
    steps = Steps()

    walk(steps, Route.SIGNUP)

    assert "sync" in steps.gone


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (StepResult(StepState.OPEN), 6),
        (StepResult(StepState.UNCERTAIN), 7),
        (StepResult(StepState.FAILED), 5),
        (TemporaryError("Meta gives no answer"), 6),
    ],
)
def test_a_step_that_is_not_settled_ends_the_walk(shop_added: None, end, code: int) -> None:
    steps, others = Steps(signup=end), Steps()

    done = walk(steps)

    assert done.exit_code == code
    assert steps.gone[-1] == "signup"
    assert not done.is_finished
    walk(others)
    assert others.gone[0] == "signup"


def test_a_refusal_of_meta_is_reported_with_its_finding(shop_added: None) -> None:
    refused = WindowFailed("no", "3441041")
    finding = checks.signup_reported(refused, "shop", "2026-11-07T12:00:00.000Z")
    done = walk(Steps(signup=StepResult(StepState.FAILED, findings=(finding,))))

    assert done.exit_code == 5
    assert [entry for entry in done.findings if entry.severity is Severity.CRITICAL] == [finding]


def test_an_interrupted_step_is_gone_through_again_and_no_other(shop_added: None) -> None:
    with pytest.raises(Killed):
        walk(Steps(proof=Killed()))
    steps = Steps()

    assert walk(steps).is_finished
    assert steps.gone[0] == "proof"


def test_the_way_of_signing_up_can_change_until_signup_is_done(shop_added: None) -> None:
    walk(Steps(signup=StepResult(StepState.OPEN)))

    done = walk(Steps(proof=StepResult(StepState.OPEN)), Route.SIGNUP)

    assert done.journey.via is Route.SIGNUP
    with pytest.raises(UsageError, match="through signup already"):
        walk(Steps(), Route.RESPONDIO)


def test_the_check_of_a_finished_journey_shows_its_receipt(run, shop_added: None) -> None:
    walk(Steps(after_care=StepResult(StepState.SETTLED, {"deadline_at": "soon"}, "wacoex")))

    done = run("connect", "shop", "--check", "--json")

    assert (done.code, done.data["status"]) == (0, "finished")
    assert done.data["aftercare"] == {"deadline_at": "soon"}
    assert "not finished" not in run("connect", "shop", "--check", tty=True).out


def test_connecting_a_connected_channel_again_is_asked_first(run, shop_added: None) -> None:
    walk(Steps())

    assert run("connect", "shop").code == 2
    assert run("connect", "shop", **typed("n")).code == 1
    done = run("connect", "shop", "--json", **typed("y", *CHECKED))
    assert done.data["journey_id"] == 2
    assert [step["step"] for step in done.data["steps"]][:2] == ["switching", "number"]
    assert states(done.data)["number"] == "settled"


def test_every_step_has_something_to_do(state: State) -> None:
    actions = {step.id: action for step, action in CONNECT_STEPS.items()}
    assert len(actions) == len(CONNECT_STEPS)
    assert actions["number"] is connect.number
    assert Journeys(state).records(1) == {}


@pytest.fixture
def shop_added(shop) -> None:
    """The channel of `shop`, for tests that do not type commands."""


def test_without_any_token_it_is_a_checklist_with_receipts(run, shop) -> None:
    answers = [*CHECKED, "yes", "y", "y", ""]

    done = run("connect", "shop", "--skip-proof", "--json", **typed(*answers))

    assert (done.code, done.data["status"]) == (0, "finished")
    assert states(done.data) == {
        **dict.fromkeys(["number", "eligibility", "business-suite", "other-partner"], "settled"),
        "changes": "settled",
        "signup": "settled",
        **dict.fromkeys(["proof", "partner", "echo-proof"], "skipped"),
        "after-care": "settled",
    }
    assert done.data["findings"] == []
    assert done.data["aftercare"]
    for step in done.data["steps"]:
        assert step["at"], step


def test_in_a_pipe_the_receipt_is_one_line_of_fields_for_each_step(run, shop) -> None:
    run("connect", "shop", "--check", **typed(*CHECKED))

    lines = run("connect", "shop", "--check").out.splitlines()

    assert lines[1].split("\t") == [
        "done",
        "eligibility",
        "Can it be connected",
        "bo",
        "2026-11-07T12:00:00Z",
    ]
    assert lines[4].split("\t") == ["open", "changes", "What changes in the app", "", ""]


YES = {"Connect `shop`": "yes"}


@pytest.fixture
def finished(stage, make_talker):
    """A context of `shop`, whose first journey is over; the person says yes by default."""
    stage.channel(respondio_channel_id=4242)

    def context(answers: dict[str, str] | None = None, **more: Any) -> Context:
        made: Context = stage.context(make_talker(YES if answers is None else answers), **more)
        with stage.workspace.state.transaction():
            Journeys(stage.workspace.state).finish(made.journey.journey_id, stage.clock.now())
        return made

    return context


def tell(stage, event: str, *, minutes_ago: float, reason: str | None = None) -> None:
    at = to_text(stage.clock.now() - timedelta(minutes=minutes_ago))
    with stage.workspace.state.transaction():
        AccountEvents(stage.workspace.state).add(
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


def test_the_four_steps_the_new_ids_and_the_templates_are_shown_before_it_asks(
    stage, finished
) -> None:
    for template, language in (("offer", "en_US"), ("hello", "en"), ("offer", "en_US")):
        send_with(stage, template, language)
    context = finished()

    begin_again(context)

    answer = "\n".join(context.dialogue.shown)
    places = [answer.index(step) for step in four_steps()]
    assert places == sorted(places)
    assert "new waba_id" in answer
    assert "respondio_channel_id 4242" in answer
    assert "make these templates again: hello/en, offer/en_US\n" in f"{answer}\n"


def test_a_new_journey_begins_with_the_agreement_and_the_person(stage, finished) -> None:
    context = finished()

    journey = begin_again(context)

    newest = Journeys(stage.workspace.state).newest(1, JourneyKind.CONNECT)
    assert newest == journey
    assert (journey.journey_id, journey.via) == (2, Route.RESPONDIO)
    assert journey.finished_at is None
    record = Journeys(stage.workspace.state).records(journey.journey_id)[SWITCHING.id]
    assert (record.state, record.said_by) == (StepState.SETTLED, "bo")
    assert record.answer["ids"] == {
        "phone_number_id": context.channel.phone_number_id,
        "waba_id": context.channel.waba_id,
        "respondio_channel_id": "4242",
    }


def test_it_takes_the_same_way_unless_another_is_named(finished) -> None:
    assert begin_again(finished(), Route.SIGNUP).via is Route.SIGNUP
    assert begin_again(finished(via=Route.SIGNUP)).via is Route.SIGNUP


def test_no_leaves_everything_as_it_was(stage, finished) -> None:
    with pytest.raises(DeclinedError):
        begin_again(finished({"Connect `shop`": "no"}))

    assert Journeys(stage.workspace.state).unfinished(1, JourneyKind.CONNECT) is None


def test_without_anybody_to_ask_nothing_begins(stage, finished) -> None:
    context = finished()
    alone = Context(
        context.workspace,
        TerminalDialogue(Invocation(no_input=True)),
        context.journey,
        context.channel_name,
        context.options,
    )

    with pytest.raises(UsageError, match="there is no terminal") as raised:
        begin_again(alone)

    assert raised.value.hint == "run `wacoex connect shop` in a terminal"
    assert Journeys(stage.workspace.state).unfinished(1, JourneyKind.CONNECT) is None


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


def test_a_resumed_walk_does_not_sign_up_while_whatsapp_reconnects(stage, make_talker) -> None:
    stage.channel()
    stage.settle("other-partner", other_partner=False, seen=[])
    tell(stage, "ACCOUNT_OFFBOARDED", minutes_ago=5)

    with pytest.raises(RefusedError, match="WX204"):
        stage.go("signup", connect.checked_signup, make_talker({}))


def test_a_partner_that_came_since_it_was_asked_is_shown_before_signup(
    at_meta, make_talker
) -> None:
    at_meta.settle("other-partner", other_partner=False, seen=[])
    at_meta.clock.advance(600)
    at_meta.world.subscribed_apps[WABA_ID] = [
        {"whatsapp_business_api_data": {"id": "999", "name": "Other Partner"}}
    ]
    talker = make_talker({"did you look": "no"})

    outcome = at_meta.go("signup", connect.checked_signup, talker)

    assert outcome.state is StepState.DECLINED
    assert any("Other Partner (999) gets its messages" in text for text in talker.shown)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("PARTNER_REMOVED", "and its partner was removed since"),
        ("PARTNER_ADDED", "and still is: broadcasts stop"),
    ],
)
def test_the_present_connection_is_shown(stage, finished, event: str, said: str) -> None:
    tell(stage, event, minutes_ago=2000, reason="PRIMARY_INACTIVITY")
    context = finished()

    begin_again(context)

    assert said in context.dialogue.shown[0]


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


def test_an_offboarded_channel_is_restored_first_and_then_connected_again(
    stage, finished, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished()
    state = stage.workspace.state
    with state.transaction():
        gone = Journeys(state).start(1, JourneyKind.OFFBOARD, Route.RESPONDIO, stage.clock.now())
        Journeys(state).finish(gone.journey_id, stage.clock.now())
    registry.archive_channel(state, "shop", stage.clock.now())
    monkeypatch.setenv("WACOEX_STATE", str(state.path))

    hidden = run("channel", "list", "--json").data["channels"]
    refused = run("connect", "shop")
    restored = run("channel", "restore", "shop", "--json")

    assert hidden == []
    assert (refused.code, "wacoex channel restore shop" in refused.err) == (2, True)
    assert (restored.code, restored.data["archived_at"]) == (0, None)
    assert Journeys(state).newest(1, JourneyKind.OFFBOARD) is not None
    assert begin_again(finished()).kind is JourneyKind.CONNECT


NOW, DEADLINE = "2026-11-07T12:00:00.000Z", "2026-11-21T12:00:00.000Z"


def care_for(stage, make_talker) -> Any:
    return stage.go("after-care", after_care, make_talker({}))


def standing(stage):
    channel = stage.context(None).channel
    found = standings(stage.workspace, [channel], stage.clock.now())
    return found[channel.channel_id]


def test_connecting_is_proof_that_the_app_was_open(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", connected_at=NOW, connected_source="person")
    stage.clock.advance(3600)

    outcome = care_for(stage, make_talker)

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

    assert care_for(stage, make_talker).answer == care_for(stage, make_talker).answer
    assert stage.workspace.state.value("SELECT COUNT(*) FROM evidence") == 1


def test_metas_own_time_counts_when_it_is_newer(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", connected_at="2026-11-07T09:00:00.000Z", connected_source="respondio")
    stage.settle("proof", onboarded_at="2026-11-07T11:00:00.000Z", said_by="meta")

    outcome = care_for(stage, make_talker)

    assert outcome.answer["connected_at"] == "2026-11-07T11:00:00.000Z"
    assert outcome.answer["connected_source"] == "meta"


def test_a_connection_of_long_ago_is_not_evidence(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", connected_at="2026-10-01T12:00:00.000Z", connected_source="respondio")

    outcome = care_for(stage, make_talker)

    assert outcome.answer["deadline_at"] is None
    assert standing(stage).counted is None
    assert any("wacoex reminder confirm shop" in step for step in outcome.answer["next"])


def test_a_newer_proof_decides_about_the_deadline(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", connected_at="2026-11-01T12:00:00.000Z", connected_source="respondio")
    address = channel_address(stage.context(None).channel.channel_id)
    with stage.workspace.state.transaction():
        sign = Sign(address, EvidenceKind.CONFIRMED, NOW, "person", "Ana")
        Signs(stage.workspace.state).add([sign])

    assert care_for(stage, make_talker).answer["deadline_at"] == DEADLINE


def test_companions_must_be_linked_again_from_the_next_day(stage, make_talker) -> None:
    stage.channel()
    channel = stage.context(None).channel
    before = stage.clock.now()
    state = stage.workspace.state
    add_device(state, channel, DeviceKind.WEB, "front desk", before, before)
    stage.clock.advance(60)
    stage.settle("signup", connected_at="2026-11-07T12:01:00.000Z", connected_source="person")

    outcome = care_for(stage, make_talker)

    assert outcome.answer["companions"] == {
        "relink_from": "2026-11-08T12:01:00.000Z",
        "to_relink": ["1 web front desk"],
    }
    assert [finding.id for finding in outcome.findings] == ["WX303"]


def test_embedded_signup_also_has_a_window_and_its_progress(stage, make_talker) -> None:
    stage.channel()
    stage.settle("signup", via=Route.SIGNUP)
    stage.clock.advance(60)
    emit(stage.world, "contact_sync")
    emit(stage.world, "history", chunks=3)
    stage.listen()

    outcome = care_for(stage, make_talker)

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

    assert care_for(stage, make_talker).answer["sync"] is None


def test_a_signup_that_cannot_work_is_refused_before_the_first_question(
    run, shop: None, monkeypatch
) -> None:
    def refused(name: str = "shop") -> str:
        done = run("connect", name, "--via", "signup", **typed(*CHECKED))
        assert done.code in (2, 4)
        assert "which version" not in done.err
        assert "add it now" not in done.err
        return str(done.err)

    assert "id of your own Meta app" in refused()
    assert "id of your own Meta app" in refused("unknown")
    monkeypatch.setenv("WACOEX_META_APP_ID", "100000000000001")
    assert "id of a signup configuration" in refused()
    monkeypatch.setenv("WACOEX_META_CONFIG_ID", "103000000000001")
    assert "meta-app-secret" in refused()
    monkeypatch.setenv("WACOEX_META_APP_SECRET", "app-secret-0123456789")
    assert "no place for the token" in refused()
    monkeypatch.setenv("WACOEX_META_TOKEN", "token-0123456789")
    assert "would use that instead of the token of" in refused()
    monkeypatch.delenv("WACOEX_META_TOKEN")
    assert "id of an own" not in run("connect", "shop", "--check", **typed(*CHECKED)).err
