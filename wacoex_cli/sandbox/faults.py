"""How an answer goes wrong: what Meta refuses with its codes, and the faults that stand."""

from __future__ import annotations

import random
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from wacoex_cli.sandbox.wire import Reply, json_reply


@cache
def _table() -> Mapping[tuple[int, int | None], Mapping[str, Any]]:
    text = (files("wacoex_cli") / "platforms" / "meta_errors.toml").read_text(encoding="utf-8")
    return {(row["code"], row.get("subcode")): row for row in tomllib.loads(text)["error"]}


def _row(code: int, subcode: int | None = None) -> Mapping[str, Any]:
    return _table().get((code, subcode), {})


def title_of(code: int, unknown: str = "An unknown error has occurred") -> str:
    """What Meta calls a code; `unknown` for one that it does not document (Meta: error codes)."""
    row = _row(code)
    return str(row.get("title") or row.get("titles", [unknown])[0])


class GraphError(Exception):
    """The pretend Graph API refuses; `details` is what Meta puts into `error_data`.

    The HTTP status and the message are those of the code, or of its subcode, if nothing is said.
    `user_text` is title and text for a person, as Meta says them of a template.
    """

    def __init__(
        self,
        code: int,
        details: str | None = None,
        *,
        subcode: int | None = None,
        status: int | None = None,
        message: str | None = None,
        error_type: str = "OAuthException",
        headers: Mapping[str, str] | None = None,
        user_text: tuple[str, str] | None = None,
    ) -> None:
        self.title = title_of(code)
        self.user_text = user_text
        super().__init__(details or self.title)
        self.code = code
        self.details = details
        self.subcode = subcode
        self.status = _row(code).get("http_status", 400) if status is None else status
        if message is None and subcode is not None:
            message = _row(code, subcode).get("title")
        self.message = message or f"(#{code}) {self.title}"
        self.error_type = error_type
        self.headers = headers

    def reply(self, trace_id: str) -> Reply:
        """The answer, in the shape of the Graph API (Meta: error codes)."""
        error: dict[str, object] = {
            "message": self.message,
            "type": self.error_type,
            "code": self.code,
        }
        if self.details is not None:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.user_text is not None:
            error["error_user_title"], error["error_user_msg"] = self.user_text
        body = {"error": {**error, "fbtrace_id": trace_id}}
        return json_reply(body, status=self.status, headers=self.headers)


def wrong_parameter(message: str) -> GraphError:
    """Code 100 with these words as its message."""
    return GraphError(100, message=f"(#100) {message}")


def unknown_object(method: str, node_id: str) -> GraphError:
    """Code 100 with subcode 33: the object is not there, or this token may not see it."""
    message = (
        f"Unsupported {method.lower()} request. Object with ID '{node_id}' does not exist, "
        "cannot be loaded due to missing permissions, or does not support this operation"
    )
    return GraphError(100, subcode=33, message=message, error_type="GraphMethodException")


def nonexisting_field(field: str, node_type: str) -> GraphError:
    """Code 100, as the Graph API says it of a field or an edge that a node does not have."""
    tried = f"nonexisting field ({field}) on node type ({node_type})"
    return wrong_parameter(f"Tried accessing {tried}")


DELAYS = frozenset({"latency", "arrival_jitter"})
# Refusals with a code: (code, subcode, HTTP status or None for the documented one).
REFUSALS: Mapping[str, tuple[int | None, int | None, int | None]] = {
    "refuse": (None, None, None),
    "throttled": (130429, None, None),
    "expired_token": (190, 463, None),
    "template_paused": (132015, None, None),
    "account_locked": (131031, None, None),
    "error_in_200": (131016, None, 200),
}
# Answers that cannot be used: whether the message is taken anyway, by default.
BROKEN_ANSWERS: Mapping[str, bool] = {
    "server_error": False,
    "html": False,
    "redirect": False,
    "reset_before": False,
    "reset_after": True,
    "hang": True,
    "slow_answer": True,
    "truncated_json": True,
    "invalid_json": True,
    "empty_body": True,
    "empty_object": True,
}
# What happens to the statuses that follow a message which was accepted.
STATUSES = frozenset({"status_lost", "status_duplicated", "status_reordered", "status_failed"})
# What an accepted message is said to be when Meta does not send it yet (`message_status`).
HELD_BACK: Mapping[str, str] = {"held": "held_for_quality_assessment", "paused": "paused"}
_UNDELIVERABLE = 131026
_AFTER_ACCEPTANCE = STATUSES | HELD_BACK.keys()
KINDS = DELAYS | REFUSALS.keys() | BROKEN_ANSWERS.keys() | _AFTER_ACCEPTANCE
TARGETS = frozenset({"messages", "reads", "all"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: what happens (`kind`), to which requests, how often, and for how long.

    Which: `on` messages, reads (everything else) or all; `path` is a part of the path;
    `recipients` are matched with or without `+`. How often: with `probability`, at most
    `count` times, or only at `arrivals`, numbered from 1 among the requests that match since
    the fault was put. When: from `after_seconds` on, for `for_seconds`.

    `seconds` to `seconds_max` is the delay of `latency` (arrival to answer) and
    `arrival_jitter` (before the arrival counts), and the whole length of a `slow_answer`.
    `accepts` says whether a message is taken although its answer is spoilt.

    At respond.io the same faults strike, in its own words: `throttled` is 429, `expired_token`
    401, and the `code` of a `refuse` may be an HTTP status (449, 404); `html` with the `status`
    403 is its firewall. What is no message there is struck only by a fault with a `path`.

    The `status_...` kinds concern the statuses that follow accepted messages: each status
    may be lost or come twice; those of one message may come in reverse order, or be one failure
    with `code` (131026 if none is given). A message that is `held` or `paused` is taken, and has
    no statuses before it is released.
    """

    kind: str
    on: str = "messages"
    path: str | None = None
    phone_number_id: str | None = None
    recipients: frozenset[str] = frozenset()
    arrivals: frozenset[int] = frozenset()
    probability: float = 1.0
    count: int | None = None
    after_seconds: float = 0.0
    for_seconds: float | None = None
    seconds: float = 0.0
    seconds_max: float | None = None
    code: int | None = None
    subcode: int | None = None
    status: int | None = None
    details: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str = "https://redirected.example/"
    accepts: bool | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for values that make no fault."""
        if self.kind not in KINDS:
            raise ValueError(
                f"`{self.kind}` is not a kind of fault; known: {', '.join(sorted(KINDS))}"
            )
        if self.on not in TARGETS:
            raise ValueError(f"`on` must be one of {', '.join(sorted(TARGETS))}")
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError("`probability` must be from 0 to 1")
        if self.kind == "refuse" and self.code is None:
            raise ValueError("a `refuse` needs a `code`")
        if self.seconds < 0 or (self.seconds_max is not None and self.seconds_max < self.seconds):
            raise ValueError("`seconds` must be 0 or more, and `seconds_max` not below it")

    @property
    def takes_message(self) -> bool:
        """Whether the request is carried out although its answer is spoilt."""
        return BROKEN_ANSWERS.get(self.kind, False) if self.accepts is None else self.accepts

    @property
    def error_code(self) -> int | None:
        """The code that the sender gets to read, for a fault that refuses."""
        if self.code is None and self.kind == "status_failed":
            return _UNDELIVERABLE
        return self.code if self.code is not None else REFUSALS.get(self.kind, (None,))[0]

    def concerns(self, request: Request) -> bool:
        """Whether this request is one of those the fault is for."""
        if self.on != "all" and (self.on == "messages") != request.is_message:
            return False
        if self.path is None and request.only_by_path:
            return False
        if self.path is not None and self.path not in request.path:
            return False
        if self.phone_number_id not in (None, request.phone_number_id):
            return False
        wanted = {recipient.removeprefix("+") for recipient in self.recipients}
        return not wanted or (request.recipient or "").removeprefix("+") in wanted


@dataclass(frozen=True, slots=True)
class Request:
    """What the choosing looks at; `only_by_path`: a fault strikes it only if it has a `path`."""

    path: str
    is_message: bool = False
    phone_number_id: str | None = None
    recipient: str | None = None
    only_by_path: bool = False


@dataclass(frozen=True, slots=True)
class Treatment:
    """What is done to one request; delays in seconds."""

    arrival_jitter: float = 0.0
    latency: float = 0.0
    fault: Fault | None = None


@dataclass(slots=True)
class _Standing:
    fault: Fault
    since: float
    seen: int = 0
    struck: int = 0


class Faults:
    """The faults that stand at present; the same seed and requests give the same choices."""

    def __init__(self, *, seed: int = 0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._random = random.Random(seed)
        self._monotonic = monotonic
        self._standing: list[_Standing] = []

    def replace(self, faults: Iterable[Fault], *, seed: int | None = None) -> None:
        """Set exactly these faults from now on; a `seed` starts the choosing again."""
        now = self._monotonic()
        self._standing = [_Standing(fault, now) for fault in faults]
        if seed is not None:
            self._random.seed(seed)

    def choose(self, request: Request) -> Treatment:
        """What happens to this request: delays add up, of other faults the first one strikes."""
        delays = {"latency": 0.0, "arrival_jitter": 0.0}
        chosen: Fault | None = None
        for standing in self._standing:
            fault = standing.fault
            if fault.kind in _AFTER_ACCEPTANCE:
                continue
            is_delay = fault.kind in DELAYS
            if not self._strikes(standing, request, may=is_delay or chosen is None):
                continue
            if is_delay:
                delays[fault.kind] += self._random.uniform(
                    fault.seconds, fault.seconds if fault.seconds_max is None else fault.seconds_max
                )
            else:
                chosen = fault
        return Treatment(delays["arrival_jitter"], delays["latency"], chosen)

    def strikes(self, kind: str, request: Request) -> Fault | None:
        """The first fault of that kind that strikes this request."""
        for standing in self._standing:
            if standing.fault.kind == kind and self._strikes(standing, request, may=True):
                return standing.fault
        return None

    def _strikes(self, standing: _Standing, request: Request, *, may: bool) -> bool:
        fault = standing.fault
        age = self._monotonic() - standing.since - fault.after_seconds
        if age < 0 or (fault.for_seconds is not None and age >= fault.for_seconds):
            return False
        if not fault.concerns(request):
            return False
        standing.seen += 1
        if not may or (fault.arrivals and standing.seen not in fault.arrivals):
            return False
        if fault.count is not None and standing.struck >= fault.count:
            return False
        if fault.probability < 1.0 and self._random.random() >= fault.probability:
            return False
        standing.struck += 1
        return True


_PAGE = b"<!DOCTYPE html><html><head><title>Sorry</title></head><body>Sorry, something went wrong."


def spoil(fault: Fault, reply: Reply, trace_id: str) -> Reply:
    """What the sender gets to see in place of `reply`."""
    if fault.kind not in REFUSALS:
        return _BREAKAGES[fault.kind](fault, reply)
    _, subcode, status = REFUSALS[fault.kind]
    return GraphError(
        fault.error_code or 0,
        fault.details,
        subcode=subcode if fault.subcode is None else fault.subcode,
        status=status if fault.status is None else fault.status,
        headers=fault.headers,
    ).reply(trace_id)


def _text(fault: Fault, status: int, body: bytes, media_type: str) -> Reply:
    return Reply(fault.status or status, body, {"Content-Type": media_type, **fault.headers})


def _with_body(fault: Fault, reply: Reply, body: bytes) -> Reply:
    headers = {**reply.headers, "Content-Type": "application/json", **fault.headers}
    return replace(reply, status=fault.status or reply.status, body=body, headers=headers)


_BREAKAGES: Mapping[str, Callable[[Fault, Reply], Reply]] = {
    "server_error": lambda fault, _: _text(fault, 500, b"Internal Server Error", "text/plain"),
    "html": lambda fault, _: _text(fault, 200, _PAGE, "text/html; charset=utf-8"),
    "redirect": lambda fault, _: Reply(
        fault.status or 302, b"", {"Location": fault.location, **fault.headers}
    ),
    "reset_before": lambda _, __: Reply(manner="reset"),
    "reset_after": lambda _, __: Reply(manner="reset"),
    "hang": lambda _, __: Reply(manner="hang"),
    "slow_answer": lambda fault, reply: replace(reply, manner="drip", seconds=fault.seconds),
    "truncated_json": lambda fault, reply: _with_body(
        fault, reply, reply.body[: len(reply.body) // 2]
    ),
    "invalid_json": lambda fault, reply: _with_body(fault, reply, b'{"messages": [{"id": wamid'),
    "empty_body": lambda fault, reply: _with_body(fault, reply, b""),
    "empty_object": lambda fault, reply: _with_body(fault, reply, b"{}"),
}
