"""Letting a channel go: what is asked, what proves it, what an interruption leaves."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.state_files import DRAFT, make_empty
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details, Fact
from wacoex_cli.channels.store import Facts
from wacoex_cli.devices.inventory import add_device, inventory
from wacoex_cli.devices.model import DeviceKind, DeviceState
from wacoex_cli.errors import CredentialError, DeclinedError, TemporaryError, UsageError
from wacoex_cli.events.import_file import storing
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.foundation.workspace import Workspace, open_workspace
from wacoex_cli.ledger.model import Status
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.onboarding.model import JourneyKind, JourneyOptions, Receipt, StepState
from wacoex_cli.onboarding.offboard import OFFBOARD_STEPS, offboard, preview
from wacoex_cli.onboarding.store import Journeys
from wacoex_cli.platforms.events import Source
from wacoex_cli.platforms.payloads import payload_of
from wacoex_cli.sandbox import account
from wacoex_cli.sandbox.account import offboard as lose_for_a_while
from wacoex_cli.sandbox.account import remove_partner
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import application, running
from wacoex_cli.sandbox.world import (
    APP_ID,
    DEFAULT_TOKEN,
    PARTNER_APP_ID,
    PHONE,
    PHONE_NUMBER_ID,
    SECOND_PHONE,
    WABA_ID,
    World,
)

BASE_URL = "http://127.0.0.1:9"
IDS = [step.id for step in OFFBOARD_STEPS]
TYPED = {"type the name": "shop", "backup": "y", "which way": "1", "no longer show a partner": "y"}
BY_EVENT, BY_API = "events", "meta"


class Killed(Exception):
    """The process ends here."""


class Fuse:
    """Blows at one of the moments at which a process can be killed."""

    def __init__(self, at: int = -1) -> None:
        self.left = at

    def pass_by(self) -> None:
        if self.left == 0:
            self.left = -1
            raise Killed
        self.left -= 1


class Person:
    """Answers by the words of the question, and does on the phone what a test asks for."""

    def __init__(self, answers: Mapping[str, str], fuse: Fuse) -> None:
        self.answers = answers
        self.fuse = fuse
        self.questions: list[str] = []
        self.notes: list[str] = []

    def confirm(self, question: str, *, flag: str) -> bool:
        return self.ask(question, flag=flag) == "y"

    def ask(self, question: str, *, flag: str) -> str:
        self.fuse.pass_by()
        self.questions.append(question)
        return next(answer for part, answer in self.answers.items() if part in question)

    def secret(self, question: str) -> str:
        raise AssertionError(question)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.notes.append(text)

    def detail(self, text: str, level: int = 1) -> None:
        self.notes.append(text)


class FusedState(State):
    """A state file whose process may be killed right after anything was written."""

    fuse = Fuse()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
        self.fuse.pass_by()


class FusedTransport(httpx.ASGITransport):
    """The pretend world without a socket; a request may be the last thing that happens."""

    def __init__(self, world: World, fuse: Fuse) -> None:
        super().__init__(application(world))
        self._fuse = fuse

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._fuse.pass_by()
        return await super().handle_async_request(request)


class Shop:
    """One connected channel, the pretend world around it, and a person who offboards it."""

    def __init__(self, path: Path, clock: Any, world: World) -> None:
        self.path, self.clock, self.world = make_empty(path), clock, world
        self.requests: list[str] = []
        self.environ = {"WACOEX_STATE": str(path), "WACOEX_META_BASE_URL": BASE_URL}
        self.environ["WACOEX_RESPONDIO_BASE_URL"] = f"{BASE_URL}/respondio/v2"
        self.environ["WACOEX_KEYRING"] = "off"
        self.with_meta()
        details = Details(PHONE, PHONE_NUMBER_ID, WABA_ID, RESPONDIO_CHANNEL_ID)
        with self.state() as state:
            registry.add_channel(state, "shop", details, clock.now())

    def with_meta(self) -> None:
        self.environ["WACOEX_META_TOKEN"] = DEFAULT_TOKEN

    def without_meta(self) -> None:
        del self.environ["WACOEX_META_TOKEN"]

    def with_respondio(self) -> None:
        self.environ["WACOEX_RESPONDIO_TOKEN"] = DEFAULT_RESPONDIO_TOKEN

    @contextlib.contextmanager
    def state(self) -> Iterator[State]:
        opened = open_state(self.path)
        try:
            yield opened
        finally:
            opened.close()

    @contextlib.contextmanager
    def workspace(self, fuse: Fuse) -> Iterator[Workspace]:
        log = self.requests.append
        with open_workspace(
            environ=self.environ,
            clock=self.clock,
            warn=log,
            log=log,
            announce=lambda settings: None,
        ) as workspace:
            state = open_state(self.path)
            fused = FusedState(state.path, state._connection)
            fused.fuse = fuse
            workspace.__dict__["state"] = fused
            transport = FusedTransport(self.world, fuse)
            workspace.__dict__["http"] = Http(self.clock, log=log, transport=transport)
            yield workspace

    def offboard(
        self,
        answers: Mapping[str, str] = TYPED,
        *,
        fuse: Fuse | None = None,
        person: Person | None = None,
        **options: Any,
    ) -> Receipt:
        fuse = fuse or Fuse()
        with self.workspace(fuse) as workspace:
            channel = registry.known(workspace.state, "shop")
            who = person or Person(answers, fuse)
            return offboard(workspace, who, channel, JourneyOptions(**options))

    def disconnect(self, *, is_reported: bool = True, **values: Any) -> None:
        """Somebody clicks; Meta reports it, or does not."""
        self.hear(remove_partner(self.world, **values).payloads if is_reported else [])
        if not is_reported:
            remove_partner(self.world, **values)

    def hear(self, payloads: Any) -> None:
        now = self.clock.now()
        with self.state() as state:
            storing(state, now)(
                [
                    payload_of(Source.META, payload, 0, key=b"key", received_at=now)
                    for payload in payloads
                ]
            )

    def states(self) -> dict[str, str]:
        with self.state() as state:
            channel = registry.known(state, "shop")
            newest = Journeys(state).newest(channel.channel_id, JourneyKind.OFFBOARD)
            assert newest
            kept = Journeys(state).records(newest.journey_id)
        return {entry: kept[entry].state.value for entry in IDS if entry in kept}

    def answer(self, done: Receipt, step: str) -> Mapping[str, Any]:
        return done.records[step].answer


@pytest.fixture
def world(clock) -> Iterator[World]:
    made = default_world(
        monotonic=clock.monotonic, now=lambda: clock.now().timestamp(), onboarded_days_ago=30
    )
    yield made
    assert made.log.violations == []


@pytest.fixture
def shop(tmp_path: Path, clock, world: World) -> Shop:
    return Shop(tmp_path / "state" / "wacoex.db", clock, world)


@pytest.fixture
def on_sleep(clock) -> Callable[[Callable[[], None]], None]:
    """Something that happens while the program waits."""

    def register(act: Callable[[], None]) -> None:
        acts = [act]
        sleep = clock.sleep

        async def sleeping(seconds: float) -> None:
            await sleep(seconds)
            if acts:
                acts.pop()()

        clock.sleep = sleeping

    return register


def test_a_channel_is_offboarded_with_proof_and_a_receipt(shop: Shop, on_sleep) -> None:
    on_sleep(lambda: shop.disconnect(reason="ACCOUNT_DISCONNECTED", initiated_by="USER"))

    done = shop.offboard()

    assert (done.exit_code, done.error) == (0, None)
    assert done.is_finished
    assert shop.states() == dict.fromkeys(IDS, "settled") | {"unsubscribe": "skipped"}
    proof = shop.answer(done, "proof")
    assert proof["proved_by"] == BY_EVENT
    assert proof["text"].startswith("Meta reported PARTNER_REMOVED, reason ACCOUNT_DISCONNECTED")
    relink = from_text(shop.answer(done, "companions")["relink_from"])
    assert relink - from_text(proof["disconnected_at"]) == timedelta(hours=24)
    with shop.state() as state:
        assert registry.known(state, "shop").archived_at


def test_the_changes_are_shown_before_the_name_is_typed(shop: Shop) -> None:
    person = Person({"type the name": "shopp"}, Fuse())

    done = shop.offboard(person=person)

    assert isinstance(done.error, DeclinedError)
    assert (done.exit_code, shop.states()) == (1, {})
    shown = "\n".join(person.notes)
    assert "Meta deletes neither the WhatsApp Business Account nor the phone number" in shown
    assert "chats stay on the phone" in shown
    assert "respond.io keeps its contacts" in shown


@pytest.mark.parametrize("leaves", ["not_on_biz_app", "hidden"])
def test_the_graph_proves_it_where_no_event_comes(shop: Shop, on_sleep, leaves: str) -> None:
    on_sleep(lambda: shop.disconnect(is_reported=False, leaves=leaves))

    done = shop.offboard()

    assert (done.exit_code, shop.answer(done, "proof")["proved_by"]) == (0, BY_API)


def test_a_number_that_was_never_seen_proves_nothing_by_not_being_seen(shop: Shop) -> None:
    shop.world.hidden.add(PHONE_NUMBER_ID)
    with shop.state() as state:
        registry.edit_channel(state, "shop", {"waba_id": None}, shop.clock.now())

    done = shop.offboard()

    assert done.exit_code == 6
    assert shop.states()["proof"] == "open"

    with shop.state() as state, state.transaction():
        fact = Fact("is_on_biz_app", True, "meta", to_text(shop.clock.now()))
        Facts(state).store(1, [fact])
    assert shop.offboard().exit_code == 0


def test_a_number_that_left_its_account_is_gone_although_it_was_never_seen(shop: Shop) -> None:
    shop.disconnect(is_reported=False, leaves="hidden")

    done = shop.offboard()

    assert shop.answer(done, "proof")["text"].startswith("the number is no longer in its WhatsApp")


def test_a_respond_io_channel_that_is_gone_proves_it(shop: Shop, on_sleep) -> None:
    shop.without_meta()
    shop.with_respondio()
    on_sleep(shop.world.respondio.channels.clear)

    done = shop.offboard()

    assert done.exit_code == 0
    assert shop.answer(done, "proof")["proved_by"] == "respondio"
    assert done.journey.via.value == "respondio"


def test_a_respond_io_channel_that_never_was_there_proves_nothing(shop: Shop) -> None:
    shop.without_meta()
    shop.with_respondio()
    shop.world.respondio.channels.clear()

    assert shop.offboard().exit_code == 6


def test_a_graph_that_stays_green_leaves_the_step_open_until_an_event_comes(shop: Shop) -> None:
    shop.disconnect(is_reported=False, leaves="green")

    waited = shop.offboard()

    assert (waited.exit_code, waited.is_finished) == (6, False)
    assert sum(shop.clock.slept) <= 600
    assert shop.states() == dict.fromkeys(IDS[:4], "settled") | {"proof": "open"}
    shop.disconnect(leaves="green")
    person = Person({}, Fuse())
    assert shop.offboard(person=person).exit_code == 0
    assert person.questions == []


def test_an_answer_that_does_not_come_proves_nothing(shop: Shop) -> None:
    shop.world.faults.replace([Fault("server_error", on="reads", path=PHONE_NUMBER_ID)])

    done = shop.offboard()

    assert done.exit_code == 6
    assert "unusable answer" in str(shop.answer(done, "proof")["seen"])


def test_a_number_that_whatsapp_brings_back_is_not_offboarded_without_typing(shop: Shop) -> None:
    shop.hear(lose_for_a_while(shop.world).payloads)

    refused = shop.offboard({}, is_confirmed=True)

    assert refused.exit_code == 5
    assert [finding.id for finding in refused.findings] == ["WX204"]
    assert "wait until" in refused.findings[0].remedy[0]
    assert shop.states() == {"what-changes": "failed"}
    person = Person({**TYPED, "type the name": "no"}, Fuse())
    shop.offboard(person=person)
    assert "it may come back by itself" in person.questions[0]
    assert "critical WX204" in "\n".join(person.notes)


def half_way(shop: Shop) -> Fuse:
    """A journey whose process dies right after the end was proved."""
    for kill_at in range(200):
        with contextlib.suppress(Killed):
            shop.offboard(person=Clicker(fuse := Fuse(kill_at), shop, True), fuse=fuse)
        if shop.states().get("proof") == "settled":
            break
    assert "archive" not in shop.states()
    return fuse


@pytest.mark.parametrize("options", [{}, {"is_confirmed": True}])
def test_a_channel_that_was_connected_again_is_not_archived(shop: Shop, options) -> None:
    half_way(shop)
    shop.clock.advance(600)
    shop.hear(account.add_partner(shop.world).payloads)

    refused = shop.offboard(unsubscribe=True, **options)

    assert refused.exit_code == 5
    assert not refused.is_finished
    assert shop.states()["proof"] == "open"
    with shop.state() as state:
        assert registry.known(state, "shop").archived_at is None
    assert PARTNER_APP_ID in str(shop.world.subscribed_apps[WABA_ID])


@pytest.mark.parametrize("options", [{}, {"is_confirmed": True}])
def test_a_loss_after_it_was_confirmed_is_asked_about_again(shop: Shop, options) -> None:
    for kill_at in range(100):
        with contextlib.suppress(Killed):
            shop.offboard(fuse=Fuse(kill_at))
        if "backup" in shop.states():
            break
    shop.clock.advance(600)
    shop.hear(lose_for_a_while(shop.world).payloads)

    refused = shop.offboard(**options)

    assert (refused.exit_code, [finding.id for finding in refused.findings]) == (5, ["WX204"])
    assert shop.states()["what-changes"] == "open"


def test_a_new_registration_proves_no_offboarding(shop: Shop) -> None:
    shop.disconnect(reason="USER_RE_REGISTERED", leaves="not_on_biz_app")

    assert shop.offboard({}, is_confirmed=True).exit_code == 5
    # Half an hour later it still may come back; after an hour it counts.
    shop.clock.advance(1800)
    assert shop.offboard({**TYPED}).exit_code == 6
    shop.clock.advance(3600)
    assert shop.offboard().exit_code == 0


class Hesitant(Person):
    """Gives an answer that cannot be used before each that can."""

    def __init__(self, unusable: int) -> None:
        super().__init__(TYPED, Fuse())
        self.unusable = unusable

    def ask(self, question: str, *, flag: str) -> str:
        answer = super().ask(question, flag=flag)
        if "which way" in question and self.unusable:
            self.unusable -= 1
            return "yes"
        return answer


def test_an_answer_that_cannot_be_used_is_asked_for_again(shop: Shop) -> None:
    shop.disconnect()
    person = Hesitant(2)

    assert shop.offboard(person=person).exit_code == 0
    assert person.notes.count("answer 1 or 2") == 2


def test_after_three_such_answers_the_step_stays_open_and_the_rest_is_named(shop: Shop) -> None:
    assert shop.offboard(person=Hesitant(3)).exit_code == 6
    person = Person(TYPED, Fuse())
    shop.disconnect()

    assert shop.offboard(person=person).exit_code == 0
    [done] = [note for note in person.notes if note.startswith("done already:")]
    assert done.splitlines()[1] == "  - What changes, confirmed by name"


def test_a_refused_token_asks_for_a_persons_confirmation(shop: Shop) -> None:
    shop.environ["WACOEX_META_TOKEN"] = "sandbox-token-of-nobody"

    done = shop.offboard()

    proof = done.records["proof"]
    assert (proof.state, proof.answer["proved_by"]) == (StepState.SETTLED, "person")
    assert proof.said_by
    assert "refused" in str(proof.answer["reason"])


@pytest.mark.parametrize(("says", "code"), [("y", 0), ("n", 6)])
def test_without_a_token_it_is_a_checklist(shop: Shop, says: str, code: int) -> None:
    shop.without_meta()

    done = shop.offboard({**TYPED, "no longer show a partner": says})

    assert done.exit_code == code
    assert shop.requests == []
    assert shop.clock.slept == []


def test_without_a_token_and_unasked_nothing_proves_it_and_the_channel_stays(shop: Shop) -> None:
    shop.without_meta()

    done = shop.offboard({}, is_confirmed=True)

    assert done.exit_code == 6
    requests = {"backup": "skipped", "route": "skipped", "proof": "open"}
    assert shop.states().items() >= requests.items()
    assert shop.answer(done, "proof")["reason"] == "no token is configured that could show it"


def test_the_own_app_is_detached_only_when_it_is_asked_for(shop: Shop) -> None:
    def apps() -> set[str]:
        return {
            app["whatsapp_business_api_data"]["id"] for app in shop.world.subscribed_apps[WABA_ID]
        }

    shop.offboard()
    assert apps() == {PARTNER_APP_ID, APP_ID}
    shop.disconnect()

    done = shop.offboard(unsubscribe=True)

    assert done.exit_code == 0
    assert apps() == set()
    assert shop.answer(done, "unsubscribe") == {"waba_id": WABA_ID, "detached": True}
    changes = [request for request in shop.requests if not request.startswith("GET ")]
    assert [change.split(":")[0] for change in changes] == ["DELETE 127.0.0.1"]


def test_an_impossible_unsubscription_is_refused_before_the_first_step(shop: Shop) -> None:
    shop.without_meta()

    with pytest.raises(CredentialError):
        shop.offboard(unsubscribe=True)

    with shop.state() as state:
        assert Journeys(state).newest(1, JourneyKind.OFFBOARD) is None


def test_an_unanswered_unsubscription_is_done_again(shop: Shop) -> None:
    shop.disconnect()
    shop.world.faults.replace([Fault("html", on="reads", path="subscribed_apps", count=1)])

    lost = shop.offboard(unsubscribe=True)

    assert (lost.exit_code, type(lost.error)) == (6, TemporaryError)
    assert shop.offboard(unsubscribe=True).exit_code == 0


def planned(state: State, status: Status) -> int:
    with state.transaction():
        broadcast_id = Broadcasts(state).start_draft(
            **{**DRAFT, "recipients_file": "people.csv", "api_base_url": BASE_URL},
            now=from_text("2026-11-07T11:00:00.000Z"),
        )
        Broadcasts(state).set_status(broadcast_id, status)
    return broadcast_id


def test_broadcasts_under_way_are_paused_and_planned_ones_named(shop: Shop) -> None:
    with shop.state() as state:
        sending, waiting = planned(state, Status.SENDING), planned(state, Status.PLANNED)

    done = shop.offboard()

    assert shop.answer(done, "broadcasts") == {
        "sending": [],
        "paused": [sending],
        "planned": [waiting],
    }
    with shop.state() as state:
        paused = Broadcasts(state).get(sending)
        assert (paused.status, str(paused.reason)[:10]) == (Status.PAUSED, "paused by ")
        assert Broadcasts(state).get(waiting).status is Status.PLANNED


def test_the_list_of_companions_knows_when_they_can_be_linked_again(shop: Shop) -> None:
    shop.disconnect(is_reported=False)
    shop.clock.advance(60)
    with shop.state() as state:
        channel = registry.known(state, "shop")
        linked = shop.clock.now() - timedelta(days=2)
        add_device(state, channel, DeviceKind.WEB, "front desk", linked, shop.clock.now())

    done = shop.offboard()

    answer = shop.answer(done, "companions")
    assert answer["listed"] == ["front desk"]
    with shop.state() as state:
        channel = registry.restore_channel(state, "shop")
        for hours, expected in ((23, DeviceState.WAITING), (24, DeviceState.UNLINKED)):
            moment = from_text(answer["unlinked_at"]) + timedelta(hours=hours)
            [(_, found)] = inventory(state, channel, moment).devices
            assert found is expected


def kept(shop: Shop) -> dict[str, Any]:
    """What is left in the end, without the times, which an interruption moves."""
    times = {"disconnected_at", "unlinked_at", "relink_from", "archived_at"}
    with shop.state() as state:
        channel = registry.known(state, "shop")
        [number] = {row["journey_id"] for row in state.rows("SELECT journey_id FROM journeys")}
        records = Journeys(state).records(number)
        journey = Journeys(state).newest(1, JourneyKind.OFFBOARD)
        events = state.rows("SELECT event, source FROM account_events ORDER BY event")
        statuses = [entry.status for entry in Broadcasts(state).of_channel(1, None)]
    answers = {
        name: (
            record.state,
            record.said_by,
            {k: v for k, v in record.answer.items() if k not in times},
        )
        for name, record in records.items()
    }
    return {
        "is_archived": channel.archived_at is not None,
        "is_finished": journey is not None and journey.finished_at is not None,
        "steps": answers,
        "events": events,
        "broadcasts": statuses,
        "apps": len(shop.world.subscribed_apps[WABA_ID]),
    }


class Clicker(Person):
    """Disconnects once, as soon as the way is chosen."""

    def __init__(self, fuse: Fuse, shop: Shop, is_reported: bool) -> None:
        super().__init__(TYPED, fuse)
        self._shop, self._is_reported = shop, is_reported

    def ask(self, question: str, *, flag: str) -> str:
        answer = super().ask(question, flag=flag)
        if "which way" in question and not self._shop.world.suspended:
            self._shop.disconnect(is_reported=self._is_reported)
        return answer


@pytest.mark.parametrize("is_reported", [True, False])
def test_killed_at_any_moment_and_resumed_it_ends_the_same(
    tmp_path: Path, clock, is_reported: bool
) -> None:
    endings = []
    for kill_at in range(200):
        world = default_world(now=lambda: clock.now().timestamp(), onboarded_days_ago=30)
        shop = Shop(tmp_path / str(kill_at) / "wacoex.db", clock, world)
        with shop.state() as state:
            planned(state, Status.SENDING)

        fuse = Fuse(kill_at)
        with contextlib.suppress(Killed):
            shop.offboard(person=Clicker(fuse, shop, is_reported), fuse=fuse, unsubscribe=True)
        was_killed = fuse.left == -1
        shop.offboard(person=Clicker(Fuse(), shop, is_reported), unsubscribe=True)

        endings.append(kept(shop))
        assert world.log.violations == []
        if not was_killed:
            break
    assert 20 < len(endings) < 200
    assert endings[-1]["is_finished"]
    assert all(ending == endings[-1] for ending in endings)


def dump(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_a_dry_run_looks_and_changes_nothing(shop: Shop) -> None:
    with shop.state() as state:
        sending = planned(state, Status.SENDING)
    shop.hear(lose_for_a_while(shop.world).payloads)
    shop.with_respondio()
    before = dump(shop.path)

    with shop.workspace(Fuse()) as workspace:
        channel = registry.known(workspace.state, "shop")
        receipt = workspace.run(preview(workspace, channel, unsubscribe=True))

    assert dump(shop.path) == before
    assert {request.split()[0] for request in shop.requests} == {"GET"}
    answers = {name: record.answer for name, record in receipt.records.items()}
    assert list(answers) == IDS
    assert answers["broadcasts"]["sending"] == [sending]
    assert "is_on_biz_app is true" in str(answers["proof"]["seen"])
    assert answers["unsubscribe"]["would_detach"] is True


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The pretend world behind a socket, as the program itself reaches it."""
    real = default_world(onboarded_days_ago=30)
    with running(real) as base_url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", base_url)
        monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)
        yield real
    assert real.log.violations == []


ADD = ("--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID)


def test_the_command_ends_the_reminder_and_keeps_the_channel(run, served: World) -> None:
    run("channel", "add", "shop", "--phone", PHONE, *ADD, "--respondio-channel-id", "4242")
    run("channel", "add", "other", "--phone", SECOND_PHONE)
    remove_partner(served)

    done = run("offboard", "shop", tty=True, stdin="shop\ny\n1\n")

    assert done.code == 0, done.err
    assert "link the companions again, from " in done.out
    assert "in respond.io: Settings, Channels: delete channel 4242" in done.out
    for command in (("reminder", "check"), ("channel", "list")):
        listed = run(*command, "--json").data["channels"]
        assert [entry["channel"] for entry in listed] == ["other"]
    notices = run("reminder", "notify", "--dry-run", "--to", "json://127.0.0.1:9/", "--json")
    assert "shop" not in notices.out
    assert run("channel", "restore", "shop").code == 0


def test_the_receipt_is_shown_again_afterwards(run, served: World) -> None:
    run("channel", "add", "shop", "--phone", PHONE, *ADD)
    remove_partner(served)

    first = run("offboard", "shop", "--yes", "--json")
    again = run("offboard", "shop", "--json")

    assert (first.code, again.code) == (0, 0)
    assert again.data == first.data
    assert first.data["status"] == "finished"
    assert first.data["kind"] == "offboard"
    assert [step["step"] for step in first.data["steps"]] == IDS
    assert first.data["aftercare"]["restore"] == "wacoex channel restore shop"
    assert first.data["dry_run"] is False


def test_without_a_terminal_it_needs_yes(run, served: World) -> None:
    run("channel", "add", "shop", "--phone", PHONE, *ADD)

    done = run("offboard", "shop", "--json")

    assert done.code == 2
    assert "--yes" in done.envelope["errors"][0]["hint"]


def test_a_dry_run_shows_both_ways_and_asks_nothing(run, served: World) -> None:
    run("channel", "add", "shop", "--phone", PHONE, *ADD)

    done = run("offboard", "shop", "-n")

    assert done.code == 0
    assert "Settings, Account, Business Platform" in done.out
    assert "Meta Business Settings, WhatsApp Accounts" in done.out
    assert "proof so far: Meta reported no removal, is_on_biz_app is true" in done.out
    result = run("offboard", "shop", "-n", "--json").data
    assert (result["dry_run"], result["journey_id"], result["status"]) == (True, None, "open")
    assert {step["state"] for step in result["steps"]} == {"open"}


def test_a_channel_archived_in_another_way_is_not_offboarded(run) -> None:
    run("channel", "add", "shop", "--phone", PHONE)
    run("channel", "remove", "shop", "--yes")

    done = run("offboard", "shop", "--yes")

    assert done.code == UsageError.exit_status
    assert "wacoex channel restore shop" in done.err


def test_two_names_are_one_too_many(run) -> None:
    assert run("offboard", "shop", "-c", "other").code == 2
