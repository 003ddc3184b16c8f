"""Signatures, the group commit and the projections behind it: nobody is held up."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pytest

from wacoex_cli.errors import WacoexError
from wacoex_cli.events.listener import Projector, Writer, is_same, is_signed
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.platforms.events import Event, Kind, Payload, Projection, Source, Via

BODY = b'{"object": "whatsapp_business_account",  "entry": []}'
KEYS = ("first-key", "second-key")


def meta(key: str, body: bytes = BODY) -> str:
    return f"sha256={hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}"


def respondio(key: str, body: bytes = BODY) -> str:
    return base64.b64encode(hmac.new(key.encode(), body, hashlib.sha256).digest()).decode()


def test_the_published_example_of_an_hmac_fits() -> None:
    # RFC 4231, test case 2.
    body = b"what do ya want for nothing?"
    digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"

    assert is_signed(Source.META, body, f"sha256={digest}", ["Jefe"])
    assert is_signed(
        Source.RESPONDIO, body, base64.b64encode(bytes.fromhex(digest)).decode(), ["Jefe"]
    )


@pytest.mark.parametrize("key", KEYS)
def test_any_of_the_keys_may_have_signed(key: str) -> None:
    assert is_signed(Source.META, BODY, meta(key), KEYS)
    assert is_signed(Source.RESPONDIO, BODY, respondio(key), KEYS)


@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        "sha256=zz",
        "sha256=00",
        "sha1=" + "0" * 40,
        "=",
        "nonsense",
        "Ä",
        meta("another-key"),
        respondio("another-key"),
        meta(KEYS[0], BODY + b" "),
        respondio(KEYS[0], BODY.replace(b"  ", b" ")),
        meta(KEYS[0])[:-2],
        respondio(KEYS[0])[:-4],
    ],
)
def test_nothing_else_fits(source: Source, header: str | None) -> None:
    assert not is_signed(source, BODY, header, KEYS)


def test_a_signature_of_one_platform_is_not_valid_for_the_other() -> None:
    assert not is_signed(Source.RESPONDIO, BODY, meta(KEYS[0]), KEYS)
    assert not is_signed(Source.META, BODY, respondio(KEYS[0]), KEYS)


@pytest.mark.parametrize("source", Source)
def test_without_a_key_nothing_fits(source: Source) -> None:
    assert not is_signed(source, BODY, meta(""), ())


def test_verify_tokens_are_compared_whole() -> None:
    assert is_same("token-two", ("token-one", "token-two"))
    assert not is_same("token", ("token-one", "token-two"))
    assert not is_same("", ())
    assert not is_same("tökén", ("token-one",))


AT = "2026-11-07T12:00:00.000Z"


def payload(name: str, message_id: str | None = None) -> Payload:
    event = Event(f"meta:message:{name}", Kind.MESSAGE, Source.META, AT, message_id=message_id)
    return Payload(Source.META, f"digest-{name}", 100, "{}", (event,))


def stored_by(state: State, clock: Any, payloads: Sequence[Payload]) -> tuple[list[Any], int]:
    """What a writer answers to payloads that wait when it begins, and how often it commits."""
    commits: list[int] = []

    async def operation() -> list[Any]:
        writer = Writer(state, clock, on_stored=lambda: commits.append(1))
        calls = [asyncio.ensure_future(writer.store(entry)) for entry in payloads]
        await asyncio.sleep(0)
        assert writer.waiting == len(payloads)
        writer.start()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        writer.close()
        return list(answers)

    return asyncio.run(operation()), len(commits)


def test_waiting_deliveries_are_committed_together(state, clock) -> None:
    answers, commits = stored_by(state, clock, [payload(f"{n}") for n in range(600)])

    assert [answer.is_new for answer in answers] == [True] * 600
    assert commits == 2  # 500 at most in one transaction
    assert state.value("SELECT COUNT(*) FROM events") == 600


def test_the_same_delivery_twice_in_one_commit_is_a_duplicate(state, clock) -> None:
    answers, _ = stored_by(state, clock, [payload("A"), payload("B"), payload("A")])

    assert [answer.is_new for answer in answers] == [True, True, False]


def test_a_delivery_that_cannot_be_stored_does_not_stop_the_others(state, clock) -> None:
    unstorable = payload("B", message_id="\ud800")  # no database takes half a character

    answers, _ = stored_by(state, clock, [payload("A"), unstorable, payload("C")])

    first, failed, last = answers
    assert first.is_new
    assert last.is_new
    assert isinstance(failed, UnicodeEncodeError)
    assert state.value("SELECT COUNT(*) FROM events") == 2


def test_a_full_disk_fails_all_of_them_and_passes(state, clock) -> None:
    async def operation() -> tuple[list[Any], Any, Exception | None]:
        writer = Writer(state, clock, on_stored=lambda: None)
        writer.start()
        many = [payload(f"{number}") for number in range(400)]
        state.rows("PRAGMA max_page_count = 1")
        failed = await asyncio.gather(*map(writer.store, many), return_exceptions=True)
        problem = writer.problem
        state.rows("PRAGMA max_page_count = 100000")
        again = await writer.store(many[-1])
        writer.close()
        return [*failed, problem], again, writer.problem

    failed, again, problem = asyncio.run(operation())

    assert all(isinstance(entry, WacoexError) for entry in failed)
    assert problem is None
    assert again.is_new


class Recorder:
    """A projection that remembers the events it was given, and may fail."""

    def __init__(self, name: str, kinds: frozenset[Kind] = frozenset({Kind.MESSAGE})) -> None:
        self.seen: list[str] = []
        self.failures = 0
        self.projection = Projection(name, kinds, self._project)

    def _project(self, state: State, events: Sequence[Event], now: datetime) -> None:
        if self.failures:
            self.failures -= 1
            raise KeyError("the number +6591234567")
        self.seen += [event.key for event in events]


@pytest.fixture
def projecting(state: State):
    """Start a projector on a connection of its own; it is closed at the end."""
    opened: list[tuple[Projector, State]] = []

    def start(*recorders: Recorder, reported: list[tuple[str, str]] | None = None) -> Projector:
        own = open_state(state.path)
        projector = Projector(
            own,
            [recorder.projection for recorder in recorders],
            SystemClock(),
            on_failure=lambda name, why: (reported if reported is not None else []).append(
                (name, why)
            ),
        )
        opened.append((projector, own))
        projector.start()
        return projector

    yield start
    for projector, own in opened:
        projector.close()
        own.close()


def store_events(state: State, *names: str) -> None:
    with state.transaction():
        moment = datetime.fromisoformat(AT)
        EventLog(state).store([payload(name) for name in names], Via.LISTEN, moment)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def test_deliveries_of_an_earlier_process_are_processed_at_the_start(state, projecting) -> None:
    store_events(state, "A", "B")
    first, second = Recorder("first"), Recorder("second")

    projecting(first, second)

    until(lambda: len(first.seen) == len(second.seen) == 2)


def test_new_events_reach_every_projection_once(state, projecting) -> None:
    first, uninterested = Recorder("first"), Recorder("second", frozenset({Kind.ECHO}))
    projector = projecting(first, uninterested)

    for name in "ABC":
        store_events(state, name)
        projector.wake()
    until(lambda: not EventLog(state).behind(["second"]))
    projector.close()

    assert first.seen == [f"meta:message:{name}" for name in "ABC"]
    assert uninterested.seen == []


def test_a_projection_that_fails_delays_no_other_and_is_reported_without_its_data(
    state, projecting
) -> None:
    answer: list[tuple[str, str]] = []
    failing, other = Recorder("failing"), Recorder("other")
    failing.failures = 1
    store_events(state, "A")

    projector = projecting(failing, other, reported=answer)

    until(lambda: bool(other.seen and answer))
    assert answer == [("failing", "KeyError")]
    projector.close()  # tries once more before it ends
    assert failing.seen == ["meta:message:A"]


def test_closing_lets_the_projections_finish(state, projecting) -> None:
    recorder = Recorder("recorder")
    projector = projecting(recorder)
    store_events(state, *(f"{number}" for number in range(500)))

    projector.close()

    assert len(recorder.seen) == 500
    assert not [entry for entry in threading.enumerate() if entry.name == "projector"]
