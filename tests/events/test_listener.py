"""The listener: 200 only for what is stored, a 4xx for the rest, and no content in its log."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from wacoex_cli.errors import StateError
from wacoex_cli.events import listener
from wacoex_cli.events.consumers import PageAnswer, PageRequest, WebPage
from wacoex_cli.events.listener import (
    MOST_BYTES,
    Keys,
    Listener,
    ListenReport,
    Writer,
    prefix_of,
)
from wacoex_cli.events.wrapping import read_delivery
from wacoex_cli.platforms.events import Source

SECRET, SIGNING_KEY, VERIFY_TOKEN = "app-secret-1", "signing-key-1", "verify-token-1"
META, RESPONDIO = "/webhooks/meta", "/webhooks/respondio"
MARK = "MARK65912345"
FIXTURES = Path(__file__).parent / "fixtures"


def delivery(*messages: str, text: str = MARK) -> bytes:
    """A webhook of Meta with these messages."""
    entry = {
        "id": "104000000000001",
        "time": 1_790_000_000,
        "changes": [
            {
                "field": "messages",
                "value": {
                    "messaging_product": "whatsapp",
                    "metadata": {"display_phone_number": "6560000001", "phone_number_id": "106"},
                    "messages": [
                        {
                            "from": "6591234567",
                            "id": name,
                            "timestamp": "1790000000",
                            "type": "text",
                            "text": {"body": text},
                        }
                        for name in messages
                    ],
                },
            }
        ],
    }
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def signed(body: bytes, *, key: str = SECRET, **more: Any) -> httpx.Request:
    """A delivery as Meta signs it."""
    digest = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    return post(META, body, {"X-Hub-Signature-256": f"sha256={digest}"}, **more)


def from_respondio(body: bytes, *, key: str = SIGNING_KEY) -> httpx.Request:
    digest = hmac.new(key.encode(), body, hashlib.sha256).digest()
    return post(RESPONDIO, body, {"X-Webhook-Signature": base64.b64encode(digest).decode()})


def post(
    path: str, body: Any, headers: dict[str, str] | None = None, prefix: str = ""
) -> httpx.Request:
    return httpx.Request("POST", f"http://here{prefix}{path}", content=body, headers=headers)


def get(path: str, **params: str) -> httpx.Request:
    return httpx.Request("GET", f"http://here{path}", params=params)


def handshake(token: str = VERIFY_TOKEN, mode: str = "subscribe") -> httpx.Request:
    requests = {"hub.mode": mode, "hub.challenge": "1158201444", "hub.verify_token": token}
    return get(META, **requests)


class Notes:
    """A dialogue that remembers its notes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    warn = note

    def detail(self, text: str, level: int = 1) -> None:
        self.lines.append(text)

    def confirm(self, question: str, *, flag: str) -> bool:
        raise AssertionError("nobody can answer")

    def ask(self, question: str, *, flag: str) -> str:
        raise AssertionError("nobody can answer")

    def secret(self, question: str) -> str:
        raise AssertionError("nobody can answer")


@pytest.fixture
def notes() -> Notes:
    return Notes()


Talk = Callable[..., list[httpx.Response]]


@pytest.fixture
def talk(state, clock, notes: Notes) -> Talk:
    """Make requests, one after the other or `at_once`, of a listener with these settings."""

    async def conversation(
        requests: Sequence[httpx.Request],
        keys: Keys,
        pages: Sequence[WebPage],
        public_url: str | None,
        at_once: bool,
    ) -> list[httpx.Response]:
        def read(source: Source, body: bytes) -> Any:
            return read_delivery(source, body, key=b"local", received_at=clock.now())

        writer = Writer(state, clock, on_stored=lambda: None)
        report = ListenReport(notes, clock, streams_json=False)
        listener = Listener(keys, read, writer, report, clock.now())
        application = listener.application(pages, prefix_of(public_url))
        transport = httpx.ASGITransport(application)
        writer.start()
        try:
            if at_once:
                calls = (transport.handle_async_request(request) for request in requests)
                return list(await asyncio.gather(*calls))
            return [await transport.handle_async_request(request) for request in requests]
        finally:
            writer.close()

    def run(
        *requests: httpx.Request,
        secrets: tuple[str, ...] = (SECRET,),
        signing_keys: tuple[str, ...] = (SIGNING_KEY,),
        verify_tokens: tuple[str, ...] = (VERIFY_TOKEN,),
        insecure: bool = False,
        pages: Sequence[WebPage] = (),
        public_url: str | None = None,
        at_once: bool = False,
    ) -> list[httpx.Response]:
        signing = {Source.META: secrets, Source.RESPONDIO: signing_keys}
        keys = Keys(signing, verify_tokens, insecure)
        return asyncio.run(conversation(requests, keys, pages, public_url, at_once))

    return run


def statuses(answers: Sequence[httpx.Response]) -> list[int]:
    return [entry.status_code for entry in answers]


def body_of(answer: httpx.Response) -> str:
    async def whole() -> bytes:
        return await answer.aread()

    return asyncio.run(whole()).decode()


def keys_in(state: Any) -> list[str]:
    rows = state.rows("SELECT event_key FROM events ORDER BY event_id")
    return [row["event_key"] for row in rows]


def test_a_signed_delivery_is_in_the_log_when_it_is_answered(talk: Talk, state) -> None:
    assert statuses(talk(signed(delivery("wamid.A", "wamid.B")))) == [200]
    assert keys_in(state) == ["meta:message:wamid.A", "meta:message:wamid.B"]


def test_every_app_secret_that_is_known_fits(talk: Talk, state) -> None:
    requests = (
        signed(delivery("wamid.A"), key="shared"),
        signed(delivery("wamid.B"), key="shops-own"),
        signed(delivery("wamid.C"), key="another"),
    )

    assert statuses(talk(*requests, secrets=("shared", "shops-own"))) == [200, 200, 401]
    assert len(keys_in(state)) == 2


def test_respondio_signs_with_a_key_for_each_webhook(talk: Talk, state) -> None:
    body = (FIXTURES / "respondio_message_received.json").read_bytes()
    keys = ("incoming", "outgoing")

    answers = talk(
        from_respondio(body, key="outgoing"),
        from_respondio(body, key="another"),
        signing_keys=keys,
    )

    assert statuses(answers) == [200, 401]
    assert len(keys_in(state)) == 1


def test_respondios_send_test_is_answered_with_200(talk: Talk) -> None:
    body = (FIXTURES / "respondio_send_test.json").read_bytes()

    assert statuses(talk(from_respondio(body))) == [200]


@pytest.mark.parametrize(
    "fixture",
    sorted(
        entry.name for entry in FIXTURES.glob("meta_*.json") if "message_history" not in entry.name
    ),
)
def test_every_kind_of_webhook_of_meta_is_taken(talk: Talk, fixture: str) -> None:
    assert statuses(talk(signed((FIXTURES / fixture).read_bytes()))) == [200]


def test_a_delivery_that_comes_five_times_is_stored_once(talk: Talk, state) -> None:
    requests = [signed(delivery("wamid.A")) for _ in range(5)]

    assert statuses(talk(*requests, at_once=True)) == [200] * 5
    assert keys_in(state) == ["meta:message:wamid.A"]
    assert state.value("SELECT COUNT(*) FROM payloads") == 1


def test_a_thousand_updates_in_one_delivery_are_stored(talk: Talk, state) -> None:
    body = delivery(*(f"wamid.{number}" for number in range(1000)))

    assert statuses(talk(signed(body))) == [200]
    assert len(keys_in(state)) == 1000


def test_a_body_of_3_mib_is_taken_and_one_byte_more_is_not(talk: Talk, state) -> None:
    empty = len(delivery("wamid.A", text=""))
    largest = delivery("wamid.A", text="x" * (MOST_BYTES - empty))
    larger = delivery("wamid.B", text="x" * (MOST_BYTES - empty + 1))

    assert statuses(talk(signed(largest), signed(larger))) == [200, 413]
    assert keys_in(state) == ["meta:message:wamid.A"]


def test_a_body_that_hides_its_length_is_cut_off_at_the_limit(talk: Talk, state) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b"x" * 65536

    assert statuses(talk(post(META, endless()))) == [413]
    assert sent <= MOST_BYTES + 2 * 65536
    assert keys_in(state) == []


def test_too_many_deliveries_at_once_are_asked_to_come_again(
    talk: Talk, state, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_MOST_HELD_BYTES", 1000)

    (answer,) = talk(signed(delivery("wamid.A", text="x" * 1000)))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert statuses(talk(signed(delivery("wamid.A")))) == [200]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(META, delivery("wamid.A")), 401),
        (post(META, delivery("wamid.A"), {"X-Hub-Signature-256": "sha256=" + "0" * 64}), 401),
        (signed(delivery("wamid.A")[:-20]), 400),
        (signed(b""), 400),
        (signed(b"[1, 2]"), 400),
        (signed(b'{"object": NaN}'), 400),
        (signed(b'{"object": "\xff"}'), 400),
        (signed(b'{"object": "' + b"x" * (20 * 1024**2) + b'"}'), 413),
        (signed(b"[" * 100_000), 400),
        (post(RESPONDIO, b'{"event_type": "message.received"}'), 401),
        (httpx.Request("PUT", f"http://here{META}"), 405),
        (get(RESPONDIO), 405),
        (post("/healthz", b""), 405),
        (get("/"), 404),
        (get(f"/{MARK}"), 404),
        (get(f"{META}/x"), 404),
        (get(f"{META}/"), 403),
        (get(META), 403),
        (handshake(token="guessed"), 403),
        (handshake(mode="unsubscribe"), 403),
        (get(META, **{"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN}), 403),
    ],
)
def test_the_rest_is_refused_with_one_line_that_gives_nothing_away(
    talk: Talk, state, notes: Notes, request_: httpx.Request, status: int
) -> None:
    (answer,) = talk(request_)

    assert answer.status_code == status
    assert state.value("SELECT COUNT(*) FROM payloads") == 0
    assert state.value("SELECT COUNT(*) FROM arrivals") == 0
    (line,) = notes.lines
    assert str(status) in line
    for hidden in (MARK, "wamid", "659123", SECRET, VERIFY_TOKEN, "guessed"):
        assert hidden not in line + body_of(answer)


def packed(body: bytes, signed_bytes: bytes, encoding: str = "gzip") -> httpx.Request:
    """A delivery that a proxy packed."""
    digest = hmac.new(SECRET.encode(), signed_bytes, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={digest}"}
    return post(META, body, {**headers, "Content-Encoding": encoding} if encoding else headers)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", ""])
def test_a_packed_delivery_is_signed_as_meta_means_it_or_as_it_came(
    talk: Talk, state, encoding: str
) -> None:
    first, second = delivery("wamid.A"), delivery("wamid.B")
    small = gzip.compress(second)

    answers = talk(packed(gzip.compress(first), first, encoding), packed(small, small, encoding))

    assert statuses(answers) == [200, 200]
    assert keys_in(state) == ["meta:message:wamid.A", "meta:message:wamid.B"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (packed(gzip.compress(b"{}"), b"something else"), 401),
        (post(META, gzip.compress(b"{}"), {"Content-Encoding": "gzip"}), 401),
        (packed(b"no gzip", b"no gzip"), 400),
        (packed(gzip.compress(b"x" * 99)[:-9], b"x" * 99), 400),
        (packed(gzip.compress(b" " * (MOST_BYTES + 1)), b" " * (MOST_BYTES + 1)), 413),
        (packed(b"{}", b"{}", encoding="br"), 415),
    ],
)
def test_a_packed_delivery_that_is_broken_too_large_or_unsigned_is_refused(
    talk: Talk, state, request_: httpx.Request, status: int
) -> None:
    assert statuses(talk(request_)) == [status]
    assert keys_in(state) == []


def test_a_packed_delivery_of_3_mib_is_taken(talk: Talk, state) -> None:
    body = delivery("wamid.A")
    body += b" " * (MOST_BYTES - len(body))

    assert statuses(talk(packed(gzip.compress(body), body))) == [200]


def test_a_slash_at_the_end_of_the_address_does_not_matter(talk: Talk, state) -> None:
    body = delivery("wamid.A")
    request = signed(body)
    request.url = request.url.copy_with(path=f"{META}/")
    shake = handshake()
    shake.url = httpx.URL(str(shake.url).replace(META, f"{META}/"))

    answers = talk(request, shake)

    assert statuses(answers) == [200, 200]
    assert keys_in(state) == ["meta:message:wamid.A"]


@pytest.mark.parametrize("is_text", [False, True])
def test_a_delivery_wrapped_by_another_program_is_read(talk: Talk, state, is_text: bool) -> None:
    bodies = [json.loads(delivery(name)) for name in ("wamid.A", "wamid.B")]
    inner = [json.dumps(body) if is_text else body for body in bodies]
    items: list[Any] = [{"headers": {}, "params": {}, "query": {}, "body": body} for body in inner]
    from_another = from_respondio(
        json.dumps({"body": {"event_type": "contact.created", "contact": {"id": 7}}}).encode()
    )

    answers = talk(signed(json.dumps(items).encode()), from_another)

    assert statuses(answers) == [200, 200]
    rows = state.rows("SELECT kind, data FROM events ORDER BY event_id")
    assert [row["kind"] for row in rows] == ["message", "message", "other"]
    assert "contact.created" in rows[2]["data"]


def test_the_handshake_answers_the_bare_challenge(talk: Talk) -> None:
    (answer,) = talk(handshake())

    assert (answer.status_code, body_of(answer)) == (200, "1158201444")
    assert answer.headers["content-type"].startswith("text/plain")


def test_without_a_verify_token_every_handshake_is_refused(talk: Talk) -> None:
    assert statuses(talk(handshake(token=""), verify_tokens=())) == [403]


def test_a_face_without_a_key_is_closed_and_the_other_open(talk: Talk, state) -> None:
    requests = (signed(delivery("wamid.A")), handshake(), from_respondio(b"{}"))

    assert statuses(talk(*requests, secrets=())) == [403, 403, 200]
    assert statuses(talk(*requests, signing_keys=())) == [200, 200, 403]


def test_insecure_opens_a_face_without_keys_and_no_other(talk: Talk) -> None:
    unsigned = post(META, delivery("wamid.A"))

    assert statuses(talk(unsigned, secrets=(), insecure=True)) == [200]
    assert statuses(talk(unsigned, insecure=True)) == [401]


@pytest.mark.parametrize("header", ["Origin", "Sec-Fetch-Site"])
def test_insecure_takes_nothing_from_a_page_in_a_browser(talk: Talk, header: str) -> None:
    forged = post(META, delivery("wamid.A"), {header: "http://127.0.0.1:8765"})

    assert statuses(talk(forged, secrets=(), insecure=True)) == [403]


@pytest.mark.parametrize("public_url", ["https://shop.example/hooks/wa", "https://shop.example"])
def test_behind_a_proxy_it_answers_with_the_prefix_and_without(talk: Talk, public_url: str) -> None:
    prefix = prefix_of(public_url)
    bodies = [delivery("wamid.A"), delivery("wamid.B")]

    answers = talk(signed(bodies[0]), signed(bodies[1], prefix=prefix), public_url=public_url)

    assert statuses(answers) == [200, 200]
    assert statuses(talk(get("/other/webhooks/meta"), public_url=public_url)) == [404]


def test_health_counts_and_gives_nothing_away(talk: Talk) -> None:
    *_, answer = talk(signed(delivery("wamid.A")), signed(delivery("wamid.A")), get("/healthz"))

    assert json.loads(body_of(answer)) == {
        "ok": True,
        "stored": 1,
        "duplicates": 1,
        "queued": 0,
        "newest_at": "2026-11-07T12:00:00.000Z",
        "started_at": "2026-11-07T12:00:00.000Z",
    }


def test_when_nothing_can_be_stored_the_sender_is_asked_to_come_again(
    talk: Talk, state, notes: Notes
) -> None:
    state.rows("PRAGMA max_page_count = 1")  # no page more than there are
    large = delivery(*(f"wamid.{number}" for number in range(1000)))

    first, second, health = talk(signed(large), signed(large), get("/healthz"))

    assert (first.status_code, second.status_code) == (503, 503)
    assert (first.headers["retry-after"], body_of(first)) == ("30", "try again later\n")
    assert keys_in(state) == []
    assert (health.status_code, json.loads(body_of(health))["ok"]) == (503, False)
    (line,) = notes.lines  # the same problem is logged once a minute
    assert "the disk is full" in line


class Shown:
    """A page that remembers what it was asked."""

    def __init__(self, answer: Callable[[PageRequest], PageAnswer] | None = None) -> None:
        self.queried: list[PageRequest] = []
        self._answer = answer or (lambda request: PageAnswer(200, "<p>sure?</p>"))
        self.page = WebPage("/confirm/{token}", ("GET", "POST"), self.show)

    def show(self, request: PageRequest) -> PageAnswer:
        self.queried.append(request)
        return self._answer(request)


def test_a_page_of_another_package_is_served_and_kept_private(talk: Talk) -> None:
    shown = Shown()

    seen, done = talk(
        get("/confirm/abc"),
        post("/confirm/abc", b"who=Ana+Lim&sure=yes", {"Content-Type": "text/plain"}),
        pages=[shown.page],
    )

    assert (seen.status_code, body_of(seen)) == (200, "<p>sure?</p>")
    assert shown.queried == [
        PageRequest("GET", "abc"),
        PageRequest("POST", "abc", {"who": "Ana Lim", "sure": "yes"}),
    ]
    for answer in (seen, done):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "form-action 'self'" in answer.headers["content-security-policy"]


def test_a_form_of_more_than_4_kib_is_refused(talk: Talk, notes: Notes) -> None:
    shown = Shown()

    assert statuses(talk(post("/confirm/abc", b"x" * 4097), pages=[shown.page])) == [413]
    assert shown.queried == []
    assert "abc" not in notes.lines[0]


def failing(error: Exception) -> Callable[[PageRequest], PageAnswer]:
    def answer(request: PageRequest) -> PageAnswer:
        raise error

    return answer


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError(MARK), 500), (StateError(f"no {MARK}"), 503)]
)
def test_a_failed_page_is_logged_in_one_line_without_details(
    talk: Talk, notes: Notes, error: Exception, status: int
) -> None:
    (answer,) = talk(get("/confirm/abc"), pages=[Shown(failing(error)).page])

    assert answer.status_code == status
    assert MARK not in body_of(answer)
    (line,) = notes.lines
    assert "abc" not in line


@pytest.fixture(autouse=True)
def nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever the libraries have to say goes nowhere but through us."""
    yield
    assert capfd.readouterr() == ("", "")


def test_a_signed_object_that_nothing_reads_is_kept_and_reported_in_one_line(
    talk: Talk, state, notes: Notes
) -> None:
    body = json.dumps({"object": "page", "code": 7, "said": f"{MARK} in words"}).encode()

    assert statuses(talk(signed(body), signed(body))) == [200, 200]

    (row,) = state.rows("SELECT kind, data FROM events")
    assert (row["kind"], json.loads(row["data"])["keys"]) == ("other", ["code", "object", "said"])
    lines = [line for line in notes.lines if "is kept as `other`" in line]
    assert len(lines) == 1
    assert MARK not in str(notes.lines)
    assert MARK.encode() not in state.path.read_bytes()
    wal = state.path.with_name(f"{state.path.name}-wal")
    assert not wal.exists() or MARK.encode() not in wal.read_bytes()
