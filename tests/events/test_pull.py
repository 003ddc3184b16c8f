"""`wacoex events pull`: each contact is read back to where the last pull began."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wacoex_cli.errors import CredentialError, TemporaryError
from wacoex_cli.events.pull import (
    Person,
    PullLog,
    PullProgress,
    PullTally,
    Reader,
    Survey,
    survey,
    sweep,
)
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.foundation.state import open_state
from wacoex_cli.platforms.events import Kind, Source
from wacoex_cli.platforms.respondio import RespondIO
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.respondio_world import (
    DEFAULT_RESPONDIO_TOKEN,
    RESPONDIO_CHANNEL_ID,
    RESPONDIO_WEBCHAT_ID,
)
from wacoex_cli.sandbox.serve import application, running
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID, World

ANA = Person.of_phone("+6591000001")
BEN = Person.of_phone("+6591000002")
NEVER = 10**9


class Workspace:
    """A pretend respond.io and a state file; time passes only when somebody waits."""

    def __init__(self, state, clock) -> None:
        self.state, self.clock = state, clock
        self.world = default_world(monotonic=clock.monotonic, now=lambda: clock.now().timestamp())
        self.respondio = self.world.respondio
        self.token = DEFAULT_RESPONDIO_TOKEN
        self.tally = PullTally()

    def read(self, *people: Person, breaks_after: int = NEVER, since_days: float = 30) -> PullTally:
        """Read people; the network breaks for good after this many calls."""
        return self.use(
            lambda reader: reader.read(people, lambda done: None), breaks_after, since_days
        )

    def survey(self) -> Survey:
        found: list[Survey] = []

        async def look(reader: Reader) -> None:
            found.append(await survey(reader))

        self.use(look)
        return found[0]

    def sweep(self, breaks_after: int = NEVER) -> PullTally:
        """Survey and read everybody."""

        async def everybody(reader: Reader) -> None:
            await sweep(reader, await survey(reader), lambda done: None, lambda: None)

        return self.use(everybody, breaks_after)

    def use(
        self, what: Callable[[Reader], Any], breaks_after: int = NEVER, since_days: float = 30
    ) -> PullTally:
        self.tally = PullTally()
        asyncio.run(self._use(what, breaks_after, since_days))
        return self.tally

    async def _use(self, what: Callable[[Reader], Any], breaks_after: int, since: float) -> None:
        http = Http(self.clock, log=lambda text: None, transport=Network(self.world, breaks_after))
        client = RespondIO(
            http, Secret(self.token, "test"), "http://sandbox/respondio/v2", clock=self.clock
        )
        log = PullLog(self.state, self.clock, self.tally, key=b"key", store_bodies=False)
        moment = self.clock.now() - timedelta(days=since)
        try:
            await what(Reader(client, RESPONDIO_CHANNEL_ID, log, since=moment))
        finally:
            await http.aclose()

    def write(self, count: int = 1, phone: str = ANA.name, **more: Any) -> list[int]:
        """Let messages happen, a second apart."""
        contact = self.respondio.find(f"phone:{phone}")
        assert contact is not None
        written = []
        for _ in range(count):
            self.clock.advance(1)
            item = self.respondio.add_message(contact, {"type": "text", "text": "secret"}, **more)
            written.append(item["messageId"])
        return written

    def known(self, *kinds: Kind) -> list[str]:
        """The respond.io ids of the messages in the log, oldest first."""
        found = EventLog(self.state).find(
            kinds=kinds or (Kind.MESSAGE, Kind.ECHO), newest_first=False
        )
        return [str(event.data["respondio_message_id"]) for event in found]

    @property
    def list_calls(self) -> int:
        return self.respondio.calls["message/list"]


class Network(httpx.ASGITransport):
    """The way to the pretend world, until it breaks."""

    def __init__(self, world, breaks_after: int) -> None:
        super().__init__(application(world))
        self._left = breaks_after

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._left -= 1
        if self._left < 0:
            raise httpx.ReadError("broken")
        return await super().handle_async_request(request)


@pytest.fixture
def there(state, clock) -> Workspace:
    return Workspace(state, clock)


def test_messages_echoes_and_unsupported_ones_become_events(there: Workspace) -> None:
    tally = there.read(ANA, BEN)

    assert tally.by_kind == {Kind.MESSAGE: 1, Kind.ECHO: 1, Kind.STATUS: 1, Kind.UNSUPPORTED: 1}
    assert (tally.contacts, tally.stored, tally.duplicates) == (2, 3, 0)
    [echo] = EventLog(there.state).find(kinds=[Kind.ECHO])
    assert (echo.contact, echo.respondio_channel_id) == (ANA.name, RESPONDIO_CHANNEL_ID)


def test_messages_of_other_channels_are_left_alone(there: Workspace) -> None:
    there.write(2, channel_id=RESPONDIO_WEBCHAT_ID)

    tally = there.read(ANA)

    assert (tally.stored, tally.elsewhere) == (2, 2)


def test_a_message_that_was_read_is_not_stored_again(there: Workspace) -> None:
    there.read(ANA)

    again = there.read(ANA)

    assert (again.stored, again.duplicates) == (0, 2)
    assert EventLog(there.state).newest_arrival(Source.RESPONDIO) is not None


def test_a_known_event_does_not_count_as_an_arrival(there: Workspace) -> None:
    there.read(ANA)
    before = EventLog(there.state).newest_arrival(Source.RESPONDIO)
    there.clock.advance(3600)
    there.read(ANA)

    assert EventLog(there.state).newest_arrival(Source.RESPONDIO) == before


def test_a_burst_is_paged_back_to_the_watermark(there: Workspace) -> None:
    there.read(ANA)
    before = there.list_calls
    written = there.write(130)

    tally = there.read(ANA)

    assert tally.stored == 130
    assert set(map(str, written)) <= set(there.known())
    assert there.list_calls - before == 3


def test_a_quiet_contact_costs_one_call(there: Workspace) -> None:
    there.write(130)
    there.read(ANA)
    before = there.list_calls

    there.read(ANA)

    assert there.list_calls - before == 1


def test_the_first_pull_goes_back_as_far_as_asked(there: Workspace) -> None:
    old = there.write(60)
    there.clock.advance(40 * 86_400)
    new = there.write(60)

    there.read(ANA)
    assert there.known() == list(map(str, new))

    there.read(ANA, since_days=60)
    assert set(map(str, old + new)) <= set(there.known())


def test_a_pull_after_a_long_pause_leaves_no_gap(there: Workspace) -> None:
    there.read(ANA)
    there.clock.advance(86_400)
    forgotten = there.write(60)
    there.clock.advance(60 * 86_400)
    there.write(60)

    there.read(ANA)

    assert set(map(str, forgotten)) <= set(there.known())


def test_a_status_that_changed_later_is_seen(there: Workspace) -> None:
    [number] = there.write(traffic="outgoing", source="api")
    there.read(ANA)
    there.respondio.add_status(number, "delivered")

    tally = there.read(ANA)

    assert tally.by_kind == {Kind.STATUS: 1}


def test_a_message_and_its_webhook_are_one_event(there: Workspace) -> None:
    there.read(ANA)
    log = PullLog(there.state, there.clock, PullTally(), key=b"key", store_bodies=False)
    [item] = [
        message
        for message in there.respondio.contacts[21000001].messages.values()
        if "sender" in message
    ]

    log.keep(
        Source.RESPONDIO,
        [
            {
                "event_type": "message.sent",
                "event_id": "0f9a",
                "contact": {"id": 21000001, "phone": ANA.name, "firstName": "Ana"},
                "message": item,
                "channel": {"id": str(RESPONDIO_CHANNEL_ID)},
            }
        ],
    )

    assert (log.tally.stored, log.tally.duplicates) == (0, 1)


def test_no_text_and_no_name_is_kept(there: Workspace) -> None:
    there.write(3)
    there.sweep()

    kept = str(there.state.rows("SELECT body FROM payloads"))
    assert "secret" not in kept
    assert "rye bread" not in kept
    assert "Ben" not in kept


def test_unknown_and_unready_contacts_are_counted_and_do_not_stop_the_others(there) -> None:
    there.respondio.add_contact("+6591000003", ready_in=60)

    tally = there.read(Person.of_phone("+6591000009"), Person.of_phone("+6591000003"), ANA)

    assert (tally.not_found, tally.not_ready, tally.contacts) == (1, 1, 1)


def test_a_refused_token_stops_everything(there: Workspace) -> None:
    there.token = "nobody"

    with pytest.raises(CredentialError):
        there.read(ANA)


def test_a_limit_is_waited_out(there: Workspace) -> None:
    there.respondio.set_limit("message/list", 1)
    people = [Person.of_phone(f"+65920000{n:02}") for n in range(12)]
    for person in people:
        there.respondio.add_contact(person.name)

    assert there.read(*people).contacts == 12
    assert there.respondio.calls["message/list"] == 12


def test_the_watermark_stays_when_a_pull_breaks_in_the_middle(there: Workspace) -> None:
    there.read(ANA)
    before = PullProgress(there.state, RESPONDIO_CHANNEL_ID).watermark(ANA.name)
    there.write(130)

    with pytest.raises(TemporaryError):
        there.read(ANA, breaks_after=1)

    assert PullProgress(there.state, RESPONDIO_CHANNEL_ID).watermark(ANA.name) == before
    assert there.tally.stored == 50
    assert there.read(ANA).stored == 80


def test_ids_as_text_and_unknown_enums_are_read(there: Workspace) -> None:
    [number] = there.write()
    item = there.respondio.contacts[21000001].messages[number]
    item.update(messageId=str(number), channelId=str(RESPONDIO_CHANNEL_ID), traffic="sideways")

    there.read(ANA)

    assert str(number) in there.known()


def test_a_survey_counts_contacts_and_learns_the_rate(there: Workspace) -> None:
    for n in range(150):
        there.respondio.add_contact(f"+6592000{n:03}")

    found = there.survey()

    assert (found.contacts, found.calls, found.calls_per_second) == (152, 154, 18.0)
    assert found.seconds == pytest.approx(152 / 18 + 2 / 4.5)
    assert found.sentence() == (
        "contacts to read: 152, at least 154 calls, about 1 min at 18 message lists a second"
    )


def test_a_sweep_reads_everybody_with_or_without_a_number(there: Workspace) -> None:
    nobody = there.respondio.add_contact(None, "Web")
    there.respondio.add_message(nobody, {"type": "text", "text": "hi"})

    assert there.sweep().contacts == 3
    contacts = {event.contact for event in EventLog(there.state).find()}
    assert contacts == {ANA.name, BEN.name, f"contact:{nobody.id}"}
    assert PullProgress(there.state, RESPONDIO_CHANNEL_ID).open_sweep() is None


def test_a_sweep_and_a_pull_share_the_watermark_of_a_number(there: Workspace) -> None:
    there.write(60)
    there.sweep()
    before = there.list_calls

    assert there.read(ANA).stored == 0
    assert there.list_calls - before == 1


def test_an_interrupted_sweep_continues_where_it_stopped(there: Workspace) -> None:
    people = [there.respondio.add_contact(f"+6592000{n:03}") for n in range(120)]
    for person in people:
        there.respondio.add_message(person, {"type": "text", "text": "hi"})
    # Counting takes three calls, then a page and its hundred contacts, then another page begins.
    with pytest.raises(TemporaryError):
        there.sweep(breaks_after=3 + 101 + 8)
    first = there.tally.contacts

    found = there.survey()
    assert (found.contacts, found.begun.contacts_done) == (22, 100)
    assert "continues the sweep of 2026-11-07" in found.sentence()

    assert 100 <= first < 122
    assert there.sweep().contacts == 22
    assert len(set(there.known())) == 122


def test_a_sweep_whose_place_is_gone_begins_again(there: Workspace) -> None:
    with there.state.transaction():
        now, progress = there.clock.now(), PullProgress(there.state, RESPONDIO_CHANNEL_ID)
        progress.begin_sweep(now)
        progress.advance_sweep("99", 100, now)

    assert there.survey().begun.started_at is None
    assert there.sweep().contacts == 2


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 4)), min_size=1, max_size=4))
def test_every_message_is_in_the_log_once_after_any_failure(
    clock, tmp_path: Path, rounds: list[tuple[int, int]]
) -> None:
    state = open_state(Path(tempfile.mkdtemp(dir=tmp_path)) / "state.db")
    there = Workspace(state, clock)
    try:
        for count, breaks_after in rounds:
            there.write(count)
            with contextlib.suppress(TemporaryError):
                there.read(ANA, breaks_after=breaks_after)
        there.read(ANA)

        written = there.respondio.contacts[21000001].messages
        assert there.known() == [str(number) for number in sorted(written)]
    finally:
        state.close()


ANA_PHONE = "+6591000001"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A pretend Meta and respond.io, and the tokens for both."""
    made = default_world()
    with running(made) as base_url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", base_url)
        monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)
        monkeypatch.setenv("WACOEX_RESPONDIO_BASE_URL", f"{base_url}/respondio/v2")
        monkeypatch.setenv("WACOEX_RESPONDIO_TOKEN", DEFAULT_RESPONDIO_TOKEN)
        yield made


@pytest.fixture
def shop(run: Callable[..., Any], world: World) -> World:
    """The channel `shop`, known to Meta and to respond.io."""
    ids = ("--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID)
    run("channel", "add", "shop", "--phone", PHONE, *ids)
    run("channel", "edit", "shop", "--respondio-channel-id", str(RESPONDIO_CHANNEL_ID))
    return world


@pytest.fixture
def pull(run: Callable[..., Any], shop: World) -> Callable[..., Any]:
    def call(*options: str, **more: Any) -> Any:
        return run("events", "pull", *options, **more)

    return call


@pytest.fixture
def sent(run: Callable[..., Any], shop: World) -> None:
    """A broadcast to somebody respond.io knows and somebody it does not know."""
    Path("people.csv").write_text(f"phone\n{ANA_PHONE}\n+6592000001\n")
    done = run(
        *("broadcast", "send", "--to", "people.csv", "--template", "opening_hours"),
        *("--lang", "en_US", "--yes"),
    )
    assert done.code == 0


def test_a_named_contact_is_read(pull) -> None:
    done = pull("--contact", ANA_PHONE)

    assert done.code == 0
    assert done.out.splitlines() == [
        "contacts read: 1, in calls: 1; payloads: 2 stored, 0 known already",
        "new: 1 echo, 1 message, 1 status",
    ]
    assert "contacts read: 0 of 1" in done.err


def test_the_json_has_every_figure(pull) -> None:
    data = pull("--contact", "+65 9100 0001", "--contact", "+6592000001", "--json").data

    assert data.pop("by_kind")["echo"] == 1
    assert data == {
        "channel": "shop",
        "contacts": 1,
        "calls": 2,
        "stored": 2,
        "duplicates": 0,
        "elsewhere": 0,
        "not_found": 1,
        "not_ready": 0,
        "refused": 0,
        "history": {"available": None, "checked": 0, "why_not": None},
        "estimate": None,
        "resumed": False,
        "finished": True,
        "dry_run": False,
    }


def test_an_empty_list_of_contacts_is_reported_and_no_failure(pull) -> None:
    done = pull()

    assert done.code == 0
    assert done.out.startswith("there is no contact to read: ")
    assert pull("--dry-run").out == done.out


def test_the_probe_contact_is_read_without_being_named(pull, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(f'[events]\nprobe_contact = "{ANA_PHONE}"\n')

    assert pull("--json", env={"WACOEX_CONFIG_DIR": str(tmp_path)}).data["contacts"] == 1


def test_recipients_of_broadcasts_are_read_and_meta_gives_their_statuses(
    pull, run, sent: None
) -> None:
    planned = pull("--dry-run").out
    data = pull("--json").data

    assert planned.splitlines() == [
        "respond.io: contacts to read: 2, at least 2 calls,"
        " about 1 min at 5 message lists a second",
        "Meta: the status of 2 of our messages",
    ]
    assert (data["contacts"], data["not_found"]) == (1, 1)
    assert data["history"] == {"available": True, "checked": 2, "why_not": None}
    counts = run("broadcast", "show", "1", "--json").data["counts"]
    assert counts["delivered"] == 2


def test_a_missing_message_history_is_reported_once_and_no_failure(pull, shop: World, sent) -> None:
    shop.patch_settings({"message_history": False})

    done = pull()

    assert done.code == 0
    assert done.out.count("Meta offers no message history here") == 1
    assert pull("--json").data["history"]["available"] is False


def test_without_respondio_meta_alone_is_asked(
    pull, sent: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WACOEX_RESPONDIO_TOKEN")

    assert pull("--json").data["history"]["checked"] == 2


def test_without_any_token_the_error_says_how_to_give_one(
    pull, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("META", "RESPONDIO"):
        monkeypatch.delenv(f"WACOEX_{name}_TOKEN")

    done = pull()

    assert done.code == 4
    assert "neither a respondio-token nor a meta-token" in done.err
    assert "WACOEX_RESPONDIO_TOKEN" in done.err


def test_a_named_contact_needs_the_respondio_token(pull, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WACOEX_RESPONDIO_TOKEN")

    assert pull("--contact", ANA_PHONE).code == 4


def test_a_channel_without_its_respondio_id_gets_a_list_of_them(run, world: World) -> None:
    run("channel", "add", "shop", "--phone", PHONE)

    done = run("events", "pull", "--contact", ANA_PHONE)

    assert done.code == 2
    assert f"--respondio-channel-id N`; N is one of {RESPONDIO_CHANNEL_ID} (" in done.err


@pytest.mark.parametrize(
    ("options", "reported"),
    [(("--contact", "Ana"), "is not a phone number"), (("--since", "soon"), "is not a time")],
)
def test_options_that_cannot_be_read_are_usage_errors(
    pull, options: tuple[str, ...], reported: str
) -> None:
    done = pull(*options)

    assert (done.code, reported in done.err) == (2, True)


def test_everybody_is_counted_first_and_asked_about(pull) -> None:
    requests = pull("--all-contacts", tty=True, stdin="n\n")
    read = pull("--all-contacts", "--yes")

    assert requests.code == 1
    assert "contacts to read: 2, at least 3 calls, about 1 min at 18 message lists" in requests.err
    assert read.code == 0
    assert read.out.startswith("contacts read: 2, in calls: 5; payloads: 3 stored")


def test_without_a_terminal_everybody_needs_yes(pull, shop: World) -> None:
    done = pull("--all-contacts")

    assert (done.code, "--yes" in done.err) == (2, True)
    assert shop.respondio.calls.total() == 0


def test_a_dry_run_over_everybody_only_estimates(pull) -> None:
    data = pull("--all-contacts", "--dry-run", "--json").data

    assert data["estimate"] == {
        "contacts": 2,
        "calls": 3,
        "seconds": 0.3,
        "calls_per_second": 18.0,
    }
    assert (data["contacts"], data["stored"]) == (0, 0)


def test_throttled_out_is_temporary(pull, shop: World) -> None:
    shop.respondio.set_limit("message/list", 0)
    shop.respondio.retry_after = 90

    done = pull("--contact", ANA_PHONE, "--json")

    assert done.code == 6
    assert done.envelope["errors"][0]["code"] == "respondio_429"
    assert done.data["finished"] is False


def test_when_only_one_platform_answers_it_is_partial(pull, shop: World, sent: None) -> None:
    shop.respondio.set_limit("message/list", 0)
    shop.respondio.retry_after = 90

    done = pull("--json")

    assert (done.code, done.envelope["status"]) == (7, "partial")
    assert done.data["history"]["checked"] == 2


def test_a_contact_that_is_not_ready_makes_it_partial(pull, shop: World) -> None:
    shop.respondio.add_contact("+6591000003", ready_in=600)

    done = pull("--contact", ANA_PHONE, "--contact", "+6591000003")

    assert done.code == 7
    assert "contacts that it still processes: 1" in done.out


def test_a_refused_token_is_a_credential_error(pull, shop: World) -> None:
    shop.respondio.token = "another"

    done = pull("--contact", ANA_PHONE)

    assert done.code == 4
    assert "wacoex auth login respondio-token" in done.err
    assert DEFAULT_RESPONDIO_TOKEN not in done.err
