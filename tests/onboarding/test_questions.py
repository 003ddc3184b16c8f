"""The first five steps: what is asked, what is kept, and what it means (WX601 to WX607)."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import TemporaryError
from wacoex_cli.findings import catalogue
from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.foundation.workspace import Workspace, open_workspace
from wacoex_cli.onboarding import checks, connect
from wacoex_cli.onboarding.checks import app_changes, features, lately_opened, version_in
from wacoex_cli.onboarding.journey import Context
from wacoex_cli.onboarding.model import (
    JourneyKind,
    JourneyOptions,
    Record,
    Route,
    StepResult,
    StepState,
    WindowFailed,
)
from wacoex_cli.onboarding.store import Journeys
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import (
    APP_ID,
    DEFAULT_TOKEN,
    FOREIGN_WABA_ID,
    PHONE,
    PHONE_NUMBER_ID,
    WABA_ID,
    World,
)

OLD = ["2.24.16", "y", "n"]
NEW = ["2.25.3", "y", "n"]


class Person:
    """Answers in order, and remembers the questions and the notes."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.questions: list[str] = []
        self.shown: list[str] = []

    def ask(self, question: str, *, flag: str) -> str:
        self.questions.append(question)
        return self.answers.pop(0)

    def confirm(self, question: str, *, flag: str) -> bool:
        return self.ask(question, flag=flag) == "y"

    def secret(self, question: str) -> str:
        raise AssertionError("no step asks for a secret")

    def note(self, text: str) -> None:
        self.shown.append(text)

    def warn(self, text: str) -> None:
        self.shown.append(text)

    def detail(self, text: str, level: int = 1) -> None:
        self.shown.append(text)


Open = Callable[..., Workspace]
Go = Callable[..., StepResult]


@pytest.fixture
def workspace(
    tmp_path, clock, monkeypatch: pytest.MonkeyPatch, world: World
) -> Iterator[Workspace]:
    monkeypatch.setenv("LOGNAME", "bo")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)

    def silent(_: object) -> None:
        return None

    with open_workspace(
        environ={**os.environ, "WACOEX_STATE": str(tmp_path / "wacoex.db")},
        clock=clock,
        warn=silent,
        log=silent,
        announce=silent,
    ) as opened:
        yield opened


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = default_world()
    with running(world) as url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", url)
        monkeypatch.setenv("WACOEX_META_APP_ID", APP_ID)
        yield world


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)


@pytest.fixture
def go(workspace: Workspace) -> Go:
    """Go through one step of a new channel with a person who answers; keeps the outcome."""

    def step(
        action: Any, person: Person, *, via: Route = Route.RESPONDIO, **details: Any
    ) -> StepResult:
        state, now = workspace.state, workspace.clock.now()
        channel = Channels(state).find("shop") or registry.add_channel(
            state, "shop", Details(**{"phone": PHONE, **details}), now
        )
        with state.transaction():
            journey = Journeys(state).unfinished(
                channel.channel_id, JourneyKind.CONNECT
            ) or Journeys(state).start(channel.channel_id, JourneyKind.CONNECT, via, now)
        context = Context(workspace, person, journey, "shop", JourneyOptions())
        outcome: StepResult = workspace.run(action(context))
        with state.transaction():
            Journeys(state).record(journey.journey_id, _step(action), outcome, now)
        return outcome

    return step


def _step(action: Any) -> str:
    return str(action.__name__).replace("_", "-")


def test_a_mobile_number_is_settled_without_a_message(go: Go) -> None:
    person = Person()

    outcome = go(connect.number, person, phone="+65 9123 4567")

    assert outcome.state is StepState.SETTLED
    assert outcome.answer == {"phone": "+6591234567", "region": "SG", "line": "mobile"}
    assert (person.questions, person.shown) == ([], [])


@pytest.mark.parametrize(
    ("phone", "shown"),
    [("+6560000001", "fixed line"), ("+6580000001", "no numbering plan knows +6580000001")],
)
def test_a_number_that_is_not_mobile_is_warned_about_and_taken(
    go: Go, phone: str, shown: str
) -> None:
    person = Person()

    assert go(connect.number, person, phone=phone).state is StepState.SETTLED
    assert shown in person.shown[0]


def test_eligibility_keeps_the_answers_and_the_person(go: Go) -> None:
    outcome = go(connect.eligibility, Person(*NEW))

    assert outcome.state is StepState.SETTLED
    assert outcome.said_by == "bo"
    assert outcome.answer == {
        "phone": PHONE,
        "app_version": "2.25.3",
        "in_real_use": True,
        "meta_verified": False,
    }
    assert outcome.findings == ()


def test_an_old_app_fails_the_step_with_its_finding(go: Go) -> None:
    outcome = go(connect.eligibility, Person(*OLD))

    assert outcome.state is StepState.FAILED
    assert [finding.id for finding in outcome.findings] == ["WX603"]


def test_a_version_is_asked_for_again_until_it_is_valid(go: Go) -> None:
    person = Person("the new one", "", "2.25.3", "y", "n")

    assert go(connect.eligibility, person).state is StepState.SETTLED
    assert person.shown == ["write it like `2.24.17`"] * 2


def test_without_a_version_the_step_stays_open(go: Go) -> None:
    outcome = go(connect.eligibility, Person("", "", ""))

    assert (outcome.state, outcome.answer) == (StepState.OPEN, {})


def test_a_recently_opened_country_is_shown_with_the_date_and_blocks_nothing(go: Go) -> None:
    person = Person(*NEW)

    outcome = go(connect.eligibility, person, phone="+2348031234567")

    assert outcome.state is StepState.SETTLED
    assert "15 April 2026" in person.shown[0]
    assert [finding.id for finding in outcome.findings] == ["WX601"]


def test_linking_is_asked_where_there_is_no_token(go: Go) -> None:
    person = Person("y")

    outcome = go(connect.business_suite, person, waba_id=WABA_ID)

    assert (outcome.state, outcome.said_by) == (StepState.SETTLED, "bo")
    assert any("Link a WhatsApp Business account" in text for text in person.shown)
    assert any("https://business.facebook.com/" in text for text in person.shown)


@pytest.mark.parametrize(("answers", "count"), [(["y", "y"], 1), (["n", "y"], 0)])
def test_the_browser_opens_only_on_request(
    go: Go, monkeypatch: pytest.MonkeyPatch, answers: list[str], count: int
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    person = Person(*answers)

    assert go(connect.business_suite, person).state is StepState.SETTLED
    assert person.questions[0] == "open Meta Business Suite in the browser?"
    assert len(opened) == count


def test_a_number_that_is_not_linked_is_an_answer(go: Go) -> None:
    outcome = go(connect.business_suite, Person("n", ""))

    assert outcome.state is StepState.DECLINED
    assert [finding.id for finding in outcome.findings] == ["WX604"]


def test_meta_answers_about_linking_where_there_is_a_token(
    token: None, go: Go, workspace: Workspace
) -> None:
    person = Person()

    outcome = go(connect.business_suite, person, waba_id=WABA_ID)

    assert (outcome.state, outcome.said_by) == (StepState.SETTLED, "meta")
    assert outcome.answer["phone_number_id"] == PHONE_NUMBER_ID
    assert registry.known(workspace.state, "shop").phone_number_id == PHONE_NUMBER_ID
    assert person.questions == []


def test_an_account_that_may_not_be_looked_at_is_asked_about(token: None, go: Go) -> None:
    person = Person("y")

    outcome = go(connect.business_suite, person, waba_id=FOREIGN_WABA_ID)

    assert (outcome.state, outcome.said_by) == (StepState.SETTLED, "bo")
    assert "cannot be looked at" in person.shown[0]


def test_a_network_that_fails_leaves_the_step_as_it_was(
    token: None, go: Go, monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    workspace.settings = workspace.settings._replace(meta_base_url="http://127.0.0.1:9")

    with pytest.raises(TemporaryError):
        go(connect.business_suite, Person(), waba_id=WABA_ID)


def test_nobody_else_holding_the_number_settles_the_step(go: Go) -> None:
    person = Person("n")

    outcome = go(connect.other_partner, person)

    assert outcome.answer == {"other_partner": False, "seen": []}
    assert "a partner other than respond.io" in person.questions[0]


def test_respond_io_is_not_another_partner_of_a_channel_that_goes_there(
    token: None, go: Go
) -> None:
    assert go(connect.other_partner, Person("n"), waba_id=WABA_ID).answer["seen"] == []


def test_another_partner_that_meta_reports_is_shown_and_kept(token: None, go: Go) -> None:
    person = Person("y", "y")

    outcome = go(connect.other_partner, person, via=Route.SIGNUP, waba_id=WABA_ID)

    seen = outcome.answer["seen"]
    assert isinstance(seen, list)
    assert any("respond.io WA BSP" in text for text in seen)
    assert "the account is run on behalf of respond.io" in seen
    assert [text for text in person.shown if text.startswith("Meta shows:")]
    assert not any(APP_ID in text for text in seen)


def test_an_answer_that_meta_contradicts_is_asked_again(token: None, go: Go) -> None:
    person = Person("n", "n")

    outcome = go(connect.other_partner, person, via=Route.SIGNUP, waba_id=WABA_ID)

    assert outcome.state is StepState.DECLINED
    assert any("you say there is no other partner; Meta shows:" in text for text in person.shown)
    person = Person("n", "y")
    outcome = go(connect.other_partner, person, via=Route.SIGNUP, waba_id=WABA_ID)
    assert outcome.state is StepState.SETTLED


def test_another_partner_leads_through_four_steps_and_waits_for_them(go: Go) -> None:
    person = Person("y", "n")

    outcome = go(connect.other_partner, person)

    assert outcome.state is StepState.DECLINED
    assert [finding.id for finding in outcome.findings] == ["WX602"]
    assert [text[:2] for text in person.shown] == ["1.", "2.", "3.", "4."]
    assert go(connect.other_partner, Person("y", "y")).state is StepState.SETTLED


def test_one_typed_yes_acknowledges_every_change(go: Go) -> None:
    person = Person("yes")

    outcome = go(connect.changes, person)

    assert outcome.state is StepState.SETTLED
    rows = checks.app_changes(Route.RESPONDIO)
    assert outcome.answer == {"acknowledged": [row.id for row in rows]}
    assert outcome.said_by == "bo"
    assert all(row.text in person.questions[0] for row in rows)


def test_changes_can_be_acknowledged_one_by_one(go: Go) -> None:
    rows = checks.app_changes(Route.RESPONDIO)
    person = Person("", *["y"] * len(rows))

    assert go(connect.changes, person).state is StepState.SETTLED
    assert len(person.questions) == 1 + len(rows)


def test_only_unacknowledged_changes_are_asked_about_again(go: Go) -> None:
    rows = checks.app_changes(Route.RESPONDIO)
    first = go(connect.changes, Person("", "n", *["y"] * (len(rows) - 1)))
    person = Person("yes")

    second = go(connect.changes, person)

    assert first.state is StepState.DECLINED
    assert [finding.id for finding in first.findings] == ["WX606"]
    assert second.state is StepState.SETTLED
    assert rows[0].text in person.questions[0]
    assert rows[1].text not in person.questions[0]


AT = "2026-11-07T12:00:00.000Z"
GOOD = {"phone": "+6591234567", "app_version": "2.24.17", "in_real_use": True}
ALL = [change.id for change in app_changes(Route.RESPONDIO)]


def found(
    step: str, answer: dict[str, object], state: StepState = StepState.SETTLED
) -> list[Finding]:
    """What follows from one step; the changes count as acknowledged unless they are the step."""
    records = {
        "changes": Record("changes", StepState.SETTLED, AT, "bo", {"acknowledged": ALL}),
        step: Record(step, state, AT, "bo", answer),
    }
    return checks.check_records(records, "shop", AT)


def ids(step: str, **answer: object) -> list[tuple[str, Severity]]:
    return [(entry.id, entry.severity) for entry in found(step, answer)]


def test_a_number_in_real_use_with_a_new_app_raises_nothing() -> None:
    assert found("eligibility", GOOD) == []


@pytest.mark.parametrize("version", ["2.24.16", "2.24.16.99", "2.23.25", "1.99.99"])
def test_an_app_below_2_24_17_is_too_old(version: str) -> None:
    [finding] = found("eligibility", GOOD | {"app_version": version}, StepState.FAILED)

    assert (finding.id, finding.severity) == ("WX603", Severity.CRITICAL)
    assert finding.evidence[0].text == f"its version is {version}"
    assert (finding.evidence[0].source, finding.evidence[0].observed_at) == ("person", AT)
    assert finding.evidence[0].said_by == "bo said"
    assert finding.verify == "wacoex connect shop --check"


@pytest.mark.parametrize("version", ["2.24.17", "v2.24.17.79", "2.25", "2.26.1.5", "3.0"])
def test_2_24_17_and_newer_are_new_enough(version: str) -> None:
    assert found("eligibility", GOOD | {"app_version": version}) == []


@pytest.mark.parametrize("text", ["", "new", "2", "2.x", "2.24.17 beta", "2..3"])
def test_a_wrong_version_is_not_guessed(text: str) -> None:
    assert version_in(text) is None


def test_a_number_that_is_hardly_used_is_only_information() -> None:
    assert ids("eligibility", **GOOD | {"in_real_use": False}) == [("WX601", Severity.INFO)]


@pytest.mark.parametrize("phone", ["+2348031234567", "+27821234567"])
def test_a_country_that_older_lists_exclude_is_a_warning_with_a_date(phone: str) -> None:
    [finding] = found("eligibility", GOOD | {"phone": phone})

    assert (finding.id, finding.severity) == ("WX601", Severity.WARNING)
    assert "15 April 2026" in finding.evidence[0].text


@pytest.mark.parametrize("phone", ["+20100000000", "+254700000000", "+14155550100"])
def test_other_countries_cause_no_finding(phone: str) -> None:
    assert lately_opened(phone) is None


def test_the_refusal_of_meta_itself_is_critical() -> None:
    finding = checks.signup_reported(WindowFailed("3441041: not eligible"), "shop", AT)

    assert (finding.id, finding.severity) == ("WX601", Severity.CRITICAL)
    assert finding.evidence[0].source == "meta"
    assert len(finding.remedy) == 2


def test_a_number_that_is_not_linked_gets_the_clicks() -> None:
    [finding] = found("business-suite", {"linked": False}, StepState.OPEN)

    assert (finding.id, finding.severity) == ("WX604", Severity.WARNING)
    assert "Link a WhatsApp Business account" in finding.remedy[0]
    assert ids("business-suite", linked=True) == []


def test_another_partner_leads_to_the_four_steps() -> None:
    answer = {"other_partner": True, "cleared": False, "seen": ["the app Acme (1)"]}
    [finding] = found("other-partner", answer, StepState.OPEN)

    assert (finding.id, finding.severity) == ("WX602", Severity.WARNING)
    assert len(finding.remedy) == 4
    assert [fact.said_by for fact in finding.evidence] == ["bo said", "Meta"]


def test_a_partner_that_is_taken_off_causes_no_finding() -> None:
    assert ids("other-partner", other_partner=True, cleared=True) == []
    assert ids("other-partner", other_partner=False) == []


def test_the_refusal_over_a_payment_method_is_critical() -> None:
    finding = checks.signup_reported(WindowFailed("already has a payment method"), "shop", AT)

    assert (finding.id, finding.severity) == ("WX602", Severity.CRITICAL)
    assert finding.remedy == checks.four_steps()


def test_unacknowledged_features_are_listed() -> None:
    [finding] = checks.check_records({}, "shop", AT)

    assert (finding.id, finding.severity) == ("WX606", Severity.INFO)
    assert all(feature.title in finding.evidence[0].text for feature in features())


def test_only_the_remaining_features_are_listed() -> None:
    done = [feature.id for feature in features()[1:]]
    record = Record("changes", StepState.OPEN, AT, "bo", {"acknowledged": done})

    [finding] = checks.check_records({"changes": record}, "shop", AT)

    assert finding.evidence[0].text == "not acknowledged: broadcast lists"


def test_a_pending_badge_is_a_finding() -> None:
    assert ids("eligibility", **GOOD, meta_verified=True) == [("WX607", Severity.INFO)]
    assert ids("eligibility", **GOOD, meta_verified=False) == []


def test_after_signup_only_the_badge_is_a_finding() -> None:
    answer = GOOD | {"in_real_use": False, "meta_verified": True}
    records = {
        "eligibility": Record("eligibility", StepState.SETTLED, AT, "bo", answer),
        "signup": Record("signup", StepState.SETTLED, AT, "bo", {}),
    }

    assert [record.id for record in checks.check_records(records, "shop", AT)] == ["WX607"]


def test_both_statements_about_editing_are_given() -> None:
    [row] = [feature for feature in features() if feature.id == "edit-revoke"]

    page = catalogue.find("features")
    assert page
    for text in (row.text, " ".join(page.body.split())):
        assert "Meta" in text
        assert "respond.io" in text
        assert "no longer supported" in text


def test_the_rows_about_history_fit_the_way_of_signing_up() -> None:
    texts = {
        via: {change.id: change.text for change in app_changes(via)}["history"] for via in Route
    }

    assert "respond.io imports neither" in texts[Route.RESPONDIO]
    assert "once, within 24 hours" in texts[Route.SIGNUP]


@pytest.mark.parametrize("topic", ["coexistence", "features", "limitations", "history", "fees"])
def test_every_topic_about_connecting_names_its_sources(topic: str) -> None:
    article = catalogue.find(topic)

    assert article
    assert {source.title.partition(",")[0] for source in article.sources} == {"Meta", "respond.io"}
    assert "respond.io" in article.body
    assert article.see_also
