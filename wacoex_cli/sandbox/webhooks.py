"""What the pretend world tells by webhook: where to, signed how, and everything it has told."""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    "phone_number_name_update",
    "phone_number_quality_update",
    "security",
    "user_preferences",
)
# How long to wait before each further try; Meta goes on for days, with growing pauses.
RETRY_AFTER_SECONDS = (0.2, 0.5, 1.0, 2.0)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Where webhooks go. Without a secret of its own the world signs with its default one.

    `statuses` says whether accepted messages are followed by statuses; None: if `meta_url` is set.
    """

    meta_url: str | None = None
    app_secret: str | None = field(default=None, repr=False)
    verify_token: str | None = field(default=None, repr=False)
    respondio_url: str | None = None
    signing_key: str | None = field(default=None, repr=False)
    statuses: bool | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for an address that is not on this machine."""
        for url in filter(None, (self.meta_url, self.respondio_url)):
            if not is_loopback(url):
                raise ValueError(f"`{url}` is no http address of this machine; nothing leaves it")

    @property
    def tells_statuses(self) -> bool:
        """Whether accepted messages are followed by statuses."""
        return self.meta_url is not None if self.statuses is None else self.statuses


def is_loopback(url: str) -> bool:
    """Whether `url` is an http address of this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


@dataclass(frozen=True, slots=True)
class Letter:
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


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try to deliver a letter: the status of the answer, or why there was none."""

    letter: int
    source: Source
    attempt: int
    status: int | None = None
    error: str | None = None


class Outbox:
    """Every webhook this world has emitted, and those still to be delivered. Thread-safe."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self._letters: list[Letter] = []
        self._waiting: list[tuple[float, int, Letter]] = []
        self._under_way = 0
        self._lock = threading.Lock()

    def add(
        self, source: Source, body: Mapping[str, Any], *, due: float, url: str | None = None
    ) -> None:
        """Let a webhook be told at `due` (monotonic seconds)."""
        with self._lock:
            letter = Letter(len(self._letters) + 1, due, source, body, url)
            self._letters.append(letter)
            heapq.heappush(self._waiting, (due, letter.number, letter))

    def take(self, now: float) -> Letter | None:
        """The next letter that is due by `now`; the taker reports `delivered` or `again`."""
        with self._lock:
            if not self._waiting or self._waiting[0][0] > now:
                return None
            self._under_way += 1
            return heapq.heappop(self._waiting)[2]

    def settle(self, delivery: Delivery | None, again: Letter | None = None) -> None:
        """A letter that was taken has been tried; `again` is the same letter, due later."""
        with self._lock:
            self._under_way -= 1
            if delivery is not None:
                self.deliveries.append(delivery)
            if again is not None:
                heapq.heappush(self._waiting, (again.due, again.number, again))

    def waiting(self) -> int:
        """How many letters are still to be delivered."""
        with self._lock:
            return len(self._waiting) + self._under_way

    def emitted(self, now: float) -> list[Mapping[str, Any]]:
        """The payloads told by `now`, in the order in which they were due."""
        with self._lock:
            told = [letter for letter in self._letters if letter.due <= now]
        return [one.body for one in sorted(told, key=lambda one: (one.due, one.number))]


def signature(source: Source, key: str, content: bytes) -> dict[str, str]:
    """The header that signs these very bytes (Meta: validating payloads; respond.io webhooks)."""
    digest = hmac.new(key.encode(), content, hashlib.sha256)
    if source == "meta":
        return {"X-Hub-Signature-256": f"sha256={digest.hexdigest()}"}
    return {"X-Webhook-Signature": base64.b64encode(digest.digest()).decode()}
