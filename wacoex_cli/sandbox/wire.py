"""What travels: requests and answers as data, webhooks, and the log of messages that came."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import heapq
import hmac
import json
import secrets
import socket
import ssl
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import httpx
from starlette.types import Receive, Scope, Send

DAY_SECONDS = 86_400.0
SANDBOX_HEADER = "X-Wacoex-Sandbox"
_DRIPS = 10
_MOST_STALLS = 1_000

Source = Literal["meta", "respondio"]

# Meta: webhook fields of a WhatsApp Business Account; all of them are switched on at first.
WEBHOOK_FIELDS = (
    "messages",
    "smb_message_echoes",
    "smb_app_state_sync",
    "history",
    "account_update",
    "account_alerts",
    "business_capability_update",
    "message_template_status_update",
    "message_template_components_update",
    "template_category_update",
    "phone_number_name_update",
    "phone_number_quality_update",
    "security",
    "user_preferences",
    "standby",
    "messaging_handovers",
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ANSWER_WITHIN_SECONDS = 5.0
_MOST_BODY_BYTES = 16 * 1024 * 1024
_MOST_UPLOAD_BYTES = 101 * 1024 * 1024


class BodyTooLarge(Exception):
    """The body of a request is larger than anything that is sent to Meta."""


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request; header names in lower case, `origin` as the client addressed us.

    `port` is the one that we listen on, None for the usual one.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes
    client: str
    origin: str
    port: int | None = None

    @property
    def is_to_loopback(self) -> bool:
        """Whether `Host` is this machine and our port, and no name that was pointed at it."""
        return self.origin in {
            f"http://{f'[{name}]' if ':' in name else name}{port}"
            for name in LOOPBACK
            for port in ("" if self.port in (None, 80) else f":{self.port}", f":{self.port or 80}")
        }

    def json(self) -> Any:
        """The body as JSON values, or None when it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; `manner` says how it travels, `seconds` how long a `drip` takes."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: Literal["whole", "drip", "reset", "hang"] = "whole"
    seconds: float = 0.0


MOST_IN_BATCH = 50


def batched_calls(call: Call) -> list[Call]:
    """The calls that one request holds, with its headers (Graph API: batch requests).

    Raises ValueError, with what the Graph says, for a batch that is none or too large.
    """
    given = call.json()
    batch = (given if isinstance(given, dict) else call.query).get("batch")
    if isinstance(batch, str):
        batch = json.loads(batch)
    if not isinstance(batch, list) or not batch:
        raise ValueError("batch parameter must be a JSON array")
    if len(batch) > MOST_IN_BATCH:
        said = "Too many requests in batch message. Maximum batch size is"
        raise ValueError(f"{said} {MOST_IN_BATCH}")
    return [_call_in_batch(call, part) for part in batch]


def _call_in_batch(call: Call, part: object) -> Call:
    fields = part if isinstance(part, dict) else {}
    method, url = fields.get("method"), fields.get("relative_url")
    if method not in ("GET", "POST", "PUT", "DELETE") or not isinstance(url, str):
        raise ValueError("Each request in a batch needs a method and a relative_url")
    if method in ("GET", "DELETE") and "body" in fields:
        raise ValueError("GET and DELETE requests in a batch take no body")
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        raise ValueError("The relative_url of a request in a batch must be relative")
    path, query = f"/{parts.path.lstrip('/')}", dict(parse_qsl(parts.query, True))
    body = str(fields.get("body", "")).encode()
    return replace(call, method=method, path=path, query=query, body=body)


def batch_reply(call: Call, replies: Sequence[Reply]) -> Reply:
    """The answers to the calls of a batch, in their order; null for one that never came."""
    given = call.json()
    wish = (given if isinstance(given, dict) else call.query).get("include_headers", True)
    has_headers = wish not in (False, "false")
    rows: list[dict[str, object] | None] = []
    for reply in replies:
        row: dict[str, object] = {"code": reply.status, "body": reply.body.decode()}
        if has_headers:
            row["headers"] = [{"name": name, "value": it} for name, it in reply.headers.items()]
        rows.append(row if reply.manner in ("whole", "drip") else None)
    return json_reply(rows)


def json_reply(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Reply:
    """An answer with a JSON body."""
    body = json.dumps(value, separators=(",", ":")).encode()
    media_type = {"Content-Type": "application/json; charset=UTF-8"}
    return Reply(status, body, {**media_type, **(headers or {})})


async def read_call(scope: Scope, receive: Receive) -> Call:
    """The whole request; raises ClientLeft when it never becomes complete, or BodyTooLarge."""
    body = bytearray()
    is_file = scope["path"].endswith("/media") or "/upload:" in scope["path"]
    most = _MOST_UPLOAD_BYTES if is_file else _MOST_BODY_BYTES
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientLeft
        body += event.get("body", b"")
        if len(body) > most:
            raise BodyTooLarge
        more = event.get("more_body", False)
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    return Call(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers=headers,
        body=bytes(body),
        client=scope["client"][0] if scope.get("client") else "",
        origin=f"{scope.get('scheme', 'http')}://{headers.get('host', 'localhost')}",
        port=(scope.get("server") or ("", None))[1],
    )


async def deliver(reply: Reply, receive: Receive, send: Send) -> None:
    """Send the answer in its manner; a `reset` breaks the connection as a crashed proxy does."""
    if reply.manner == "reset":
        # ASGI has no word for this: uvicorn's `send` is a method of the object with the transport.
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        if transport is None:
            raise ConnectionResetError("the sandbox broke the connection")
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    if reply.manner in ("reset", "hang"):
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    headers = {**reply.headers, "Content-Length": str(len(reply.body)), SANDBOX_HEADER: "1"}
    raw = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    pieces = _DRIPS if reply.manner == "drip" else 1
    size = max(1, -(-len(reply.body) // pieces))
    starts = range(0, max(1, len(reply.body)), size)
    for start in starts:
        if reply.seconds:
            await asyncio.sleep(reply.seconds / len(starts))
        piece, more = reply.body[start : start + size], start != starts[-1]
        await send({"type": "http.response.body", "body": piece, "more_body": more})


# As the webhook node of n8n hands an item on; as AWS API Gateway and others do.
WRAPPERS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "n8n": lambda body: [
        {
            "headers": {"content-type": "application/json"},
            "params": {},
            "query": {},
            "body": body,
            "webhookUrl": "https://n8n.example/webhook/1",
            "executionMode": "production",
        }
    ],
    "text": lambda body: {"headers": {}, "body": json.dumps(body)},
}


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Where webhooks go. Without a secret of its own the world signs with its default one.

    `statuses` says whether accepted messages are followed by statuses; None: if `meta_url` is set.
    `gzip` packs them as a proxy may do, after they were signed. `wrapper` hands them on as another
    program does, which signs what it sends: `n8n`, or `text` with the body as a text.
    """

    meta_url: str | None = None
    app_secret: str | None = field(default=None, repr=False)
    verify_token: str | None = field(default=None, repr=False)
    respondio_url: str | None = None
    signing_key: str | None = field(default=None, repr=False)
    statuses: bool | None = None
    gzip: bool = False
    wrapper: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for an address that is not on this machine, or an unknown wrapper."""
        if self.wrapper not in (None, *WRAPPERS):
            raise ValueError(f"`wrapper` must be one of {', '.join(WRAPPERS)}")
        for url in filter(None, (self.meta_url, self.respondio_url)):
            if not is_loopback(url):
                raise ValueError(
                    f"`{url}` is not an http address of this machine; nothing leaves it"
                )

    @property
    def sends_statuses(self) -> bool:
        """Whether accepted messages are followed by statuses."""
        return self.meta_url is not None if self.statuses is None else self.statuses


def is_loopback(url: str) -> bool:
    """Whether `url` is an http address of this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in LOOPBACK


@dataclass(frozen=True, slots=True)
class DueWebhook:
    """One webhook: due at monotonic seconds `due`, to `url` instead of the usual one."""

    number: int
    due: float
    source: Source
    body: Mapping[str, Any]
    url: str | None = None
    tries: int = 0

    @property
    def content(self) -> bytes:
        """The exact bytes that travel, and that are signed."""
        return json.dumps(self.body, separators=(",", ":")).encode()

    def signature(self, key: str) -> dict[str, str]:
        """The header that signs these bytes (Meta: validating payloads; respond.io: webhooks)."""
        digest = hmac.new(key.encode(), self.content, hashlib.sha256)
        if self.source == "meta":
            return {"X-Hub-Signature-256": f"sha256={digest.hexdigest()}"}
        return {"X-Webhook-Signature": base64.b64encode(digest.digest()).decode()}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try to deliver a webhook: the status of the answer, or why there was none."""

    webhook: int
    source: Source
    attempt: int
    status: int | None = None
    error: str | None = None


class Outbox:
    """Every webhook this world has emitted, and those still to be delivered. Thread-safe."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self._webhooks: list[DueWebhook] = []
        self._waiting: list[tuple[float, int, DueWebhook]] = []
        self._under_way = 0
        self._lock = threading.Lock()

    def add(
        self, source: Source, body: Mapping[str, Any], *, due: float, url: str | None = None
    ) -> None:
        """Let a webhook be sent at `due` (monotonic seconds)."""
        with self._lock:
            webhook = DueWebhook(len(self._webhooks) + 1, due, source, body, url)
            self._webhooks.append(webhook)
            heapq.heappush(self._waiting, (due, webhook.number, webhook))

    def take(self, now: float) -> DueWebhook | None:
        """The next webhook that is due by `now`; the taker reports to `settle`."""
        with self._lock:
            if not self._waiting or self._waiting[0][0] > now:
                return None
            self._under_way += 1
            return heapq.heappop(self._waiting)[2]

    def settle(self, delivery: Delivery | None, again: DueWebhook | None = None) -> None:
        """A webhook that was taken has been tried; `again` is the same one, due later."""
        with self._lock:
            self._under_way -= 1
            if delivery is not None:
                self.deliveries.append(delivery)
            if again is not None:
                heapq.heappush(self._waiting, (again.due, again.number, again))

    def waiting(self) -> int:
        """How many webhooks are still to be delivered."""
        with self._lock:
            return len(self._waiting) + self._under_way

    def emitted(self, now: float) -> list[Mapping[str, Any]]:
        """The payloads sent by `now`, in the order in which they were due."""
        with self._lock:
            sent = [webhook for webhook in self._webhooks if webhook.due <= now]
        return [each.body for each in sorted(sent, key=lambda each: (each.due, each.number))]


def webhook_client() -> httpx.AsyncClient:
    """A client for receivers of webhooks, which are all on this machine."""
    # Only http to this machine: an empty context saves reading the system's certificates.
    return httpx.AsyncClient(
        timeout=_ANSWER_WITHIN_SECONDS,
        trust_env=False,
        verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    )


async def shake_hands(url: str, verify_token: str) -> None:
    """Meta's handshake; raises ValueError when the receiver does not return the challenge."""
    challenge = secrets.token_hex(8)
    params = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
    try:
        async with webhook_client() as client:
            answer = await client.get(url, params=params)
    except httpx.HTTPError as error:
        raise ValueError(f"`{url}` could not be reached: {type(error).__name__}") from error
    if answer.status_code != 200 or answer.text != challenge:
        raise ValueError(f"`{url}` did not return the challenge: status {answer.status_code}")


class SlidingSecond:
    """Counts what happened in the second that ends now; times are monotonic seconds.

    Two moments exactly one second apart are in different seconds.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self.most = 0

    def count(self, now: float) -> int:
        """How many moments lie in the second up to `now`."""
        while self._times and now - self._times[0] >= 1.0:
            self._times.popleft()
        return len(self._times)

    def add(self, now: float) -> None:
        """Note one more moment, and the most that any second has held."""
        self._times.append(now)
        self.most = max(self.most, self.count(now))


@dataclass(frozen=True, slots=True)
class Arrival:
    """One attempt to send; `at` is monotonic seconds, `number` counts from 1 since the reset.

    `outcome` is `accepted`, `refused`, or the kind of fault that spoilt the answer;
    `accepted` says whether the message was taken, whatever the sender got to read. `api` is
    `meta`, or `respondio`: there `code` is the HTTP status of a refusal, and `message_id` the
    one of respond.io.
    """

    number: int
    at: float
    phone_number_id: str
    recipient: str | None
    outcome: str
    accepted: bool
    code: int | None
    message_id: str | None
    biz_opaque_callback_data: str | None = None
    without_plus: bool = False
    api: str = "meta"


@dataclass(frozen=True, slots=True)
class SyncCall:
    """One call to copy contacts or history; `onboarding` is when the number was connected.

    `code` is that of the refusal, None when it was taken.
    """

    phone_number_id: str
    sync_type: str
    onboarding: str
    code: int | None


class ArrivalFigures:
    """Running figures, so that a summary stays cheap after many thousand messages."""

    def __init__(self) -> None:
        self.by_recipient: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._codes: Counter[int] = Counter()
        self._arrived = SlidingSecond()
        self._taken = SlidingSecond()
        self._total = 0
        self._without_plus = 0
        self._first_at: float | None = None
        self._last_at: float | None = None

    def add(self, arrival: Arrival) -> None:
        """Count one arrival."""
        self._total += 1
        self._outcomes[arrival.outcome] += 1
        self._without_plus += arrival.without_plus
        self._arrived.add(arrival.at)
        self._first_at = arrival.at if self._first_at is None else self._first_at
        self._last_at = arrival.at
        if arrival.code is not None:
            self._codes[arrival.code] += 1
        if arrival.accepted:
            self._taken.add(arrival.at)
            self.by_recipient[arrival.recipient or ""] += 1

    def figures(self) -> dict[str, Any]:
        """The figures as JSON values; times in monotonic seconds."""
        duplicates = {who: times for who, times in self.by_recipient.items() if times > 1}
        return {
            "arrivals": self._total,
            "accepted": self.by_recipient.total(),
            "duplicates": duplicates,
            "refusals_by_code": {str(code): times for code, times in sorted(self._codes.items())},
            "outcomes": dict(sorted(self._outcomes.items())),
            "most_arrivals_in_one_second": self._arrived.most,
            "most_accepted_in_one_second": self._taken.most,
            "first_at": self._first_at,
            "last_at": self._last_at,
            "recipients_without_plus": self._without_plus,
        }


class ArrivalLog:
    """Every arrival in order, and the figures: over all numbers, and for each."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.violations: list[str] = []
        self.syncs: list[SyncCall] = []
        # How often each path was asked for; a batch counts as one.
        self.reads: Counter[str] = Counter()
        self.stalls: deque[tuple[float, float]] = deque(maxlen=_MOST_STALLS)
        self._all = ArrivalFigures()
        self._each: dict[str, ArrivalFigures] = {}

    def __len__(self) -> int:
        return len(self.arrivals)

    def add(self, arrival: Arrival) -> None:
        """Keep one arrival."""
        self.arrivals.append(arrival)
        self._all.add(arrival)
        self._each.setdefault(arrival.phone_number_id, ArrivalFigures()).add(arrival)

    def since(self, number: int) -> list[Arrival]:
        """The arrivals after the one with that number; 0 gives all."""
        return self.arrivals[max(number, 0) :]

    def accepted(self) -> list[Arrival]:
        """The arrivals whose message was taken."""
        return [arrival for arrival in self.arrivals if arrival.accepted]

    def summary(self) -> dict[str, Any]:
        """All figures as JSON values, with `accepted_by_recipient` over all numbers.

        `violations` are requests that nobody may make of a Coexistence number, `syncs` the
        calls to copy contacts and history, `reads` how many requests to the Graph API were no
        messages (a batch counts as one), `stalls` when and for how many seconds this server
        itself was held up: arrivals of then are dated too late.
        """
        return {
            **self._all.figures(),
            "accepted_by_recipient": dict(self._all.by_recipient),
            "violations": list(self.violations),
            "syncs": [asdict(sync) for sync in self.syncs],
            "reads": self.reads.total(),
            "stalls": [{"at": at, "seconds": seconds} for at, seconds in self.stalls],
            "phone_numbers": {number: each.figures() for number, each in self._each.items()},
        }
