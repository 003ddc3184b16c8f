"""A channel that is being connected in a pretend world, and a person who answers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.state_files import make_empty
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.workspace import Workspace, open_workspace
from wacoex_cli.onboarding.journey import Context
from wacoex_cli.onboarding.model import JourneyKind, JourneyOptions, Route, StepResult, StepState
from wacoex_cli.onboarding.store import Journeys
from wacoex_cli.platforms.events import Source, Via
from wacoex_cli.platforms.payloads import payload_of
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import APP_ID, DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID, World


class Talker:
    """Answers each question by a part of its words; acts when certain words are shown."""

    def __init__(self, answers: Mapping[str, str | list[str]]) -> None:
        self.answers = {
            part: [answer] if isinstance(answer, str) else answer
            for part, answer in answers.items()
        }
        self.acts: dict[str, Callable[[], object]] = {}
        self.questions: list[str] = []
        self.shown: list[str] = []

    def ask(self, question: str, *, flag: str) -> str:
        self.questions.append(question)
        part = next((answer for answer in self.answers if answer in question), None)
        assert part is not None, f"nobody knows what to answer: {question}"
        answers = self.answers[part]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def confirm(self, question: str, *, flag: str) -> bool:
        return self.ask(question, flag=flag) == "yes"

    def secret(self, question: str) -> str:
        raise AssertionError("no step asks for a secret")

    def note(self, text: str) -> None:
        self.shown.append(text)
        for part, act in self.acts.items():
            if part in text:
                act()

    def warn(self, text: str) -> None:
        self.note(text)

    def detail(self, text: str, level: int = 1) -> None:
        self.note(text)


@dataclass
class Stage:
    """One channel, `shop`, on its way; steps are gone through with `go`."""

    world: World
    clock: Any
    environ: dict[str, str]
    workspace: Workspace = field(init=False)

    def open(self) -> None:
        def silent(_: object) -> None:
            return None

        self.workspace = open_workspace(
            environ=self.environ, clock=self.clock, warn=silent, log=silent, announce=silent
        )

    def reopen(self, **environ: str) -> None:
        """The program ends and starts again, with other settings."""
        self.workspace.close()
        self.environ |= environ
        self.open()

    def channel(self, **details: Any) -> None:
        """The channel is there, with its ids at Meta by default."""
        ids = {"phone_number_id": PHONE_NUMBER_ID, "waba_id": WABA_ID} | details
        registry.add_channel(self.workspace.state, "shop", Details(PHONE, **ids), self.clock.now())

    def context(self, talker: Any, *, via: Route = Route.RESPONDIO, **options: Any) -> Context:
        """The journey of `shop`, which begins on the first use."""
        state = self.workspace.state
        channel = registry.known(state, "shop")
        journey = Journeys(state).unfinished(channel.channel_id, JourneyKind.CONNECT)
        if journey is None:
            with state.transaction():
                now = self.clock.now()
                journey = Journeys(state).start(channel.channel_id, JourneyKind.CONNECT, via, now)
        return Context(self.workspace, talker, journey, "shop", JourneyOptions(**options))

    def settle(
        self, step: str, *, via: Route = Route.RESPONDIO, said_by: str = "bo", **answer: Any
    ) -> None:
        """A step of the journey is settled already."""
        context = self.context(Talker({}), via=via)
        with self.workspace.state.transaction():
            Journeys(self.workspace.state).record(
                context.journey.journey_id,
                step,
                StepResult(StepState.SETTLED, answer, said_by),
                self.clock.now(),
            )

    def go(self, step: str, action: Any, talker: Any, **more: Any) -> StepResult:
        """Go through one step and keep its outcome, as the walk does."""
        context = self.context(talker, **more)
        outcome: StepResult = self.workspace.run(action(context))
        with self.workspace.state.transaction():
            journey_id, now = context.journey.journey_id, self.clock.now()
            Journeys(self.workspace.state).record(journey_id, step, outcome, now)
        return outcome

    def listen(self) -> None:
        """The webhooks of Meta so far come in, as by `events listen` in another terminal."""
        payloads = [
            payload_of(
                Source.META,
                body,
                len(json.dumps(body)),
                key=b"key",
                received_at=self.clock.now(),
                store_bodies=False,
            )
            for body in self.world.outbox.emitted(self.world.monotonic())
        ]
        with self.workspace.state.transaction():
            EventLog(self.workspace.state).store(payloads, Via.LISTEN, self.clock.now())


@pytest.fixture
def make_talker() -> type[Talker]:
    """Makes people: `make_talker({"part of a question": "yes"})`."""
    return Talker


@pytest.fixture
def stage(tmp_path: Any, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A world in which the number was connected an hour ago, without any token."""
    monkeypatch.setenv("LOGNAME", "bo")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    world = default_world(
        onboarded_days_ago=1 / 24, monotonic=clock.monotonic, now=lambda: clock.now().timestamp()
    )
    with running(world) as url:
        environ = {
            **os.environ,
            "WACOEX_STATE": str(make_empty(tmp_path / "wacoex.db")),
            "WACOEX_META_BASE_URL": url,
            "WACOEX_META_APP_ID": APP_ID,
            "WACOEX_RESPONDIO_BASE_URL": f"{url}/respondio/v2",
        }
        made = Stage(world, clock, environ)
        made.open()
        yield made
        made.workspace.close()


@pytest.fixture
def at_meta(stage: Stage) -> Stage:
    """With a token for Meta, and the channel known there."""
    stage.reopen(WACOEX_META_TOKEN=DEFAULT_TOKEN)
    stage.channel()
    return stage


@pytest.fixture
def at_respondio(stage: Stage) -> Stage:
    """With a token for respond.io, and a channel without any ids."""
    stage.reopen(WACOEX_RESPONDIO_TOKEN=DEFAULT_RESPONDIO_TOKEN)
    stage.channel(phone_number_id=None, waba_id=None)
    return stage
