"""Faults as data, and the choosing of those that strike one request."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

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
# Answers that cannot be used: whether the message is taken all the same, if not said otherwise.
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
_UNDELIVERABLE = 131026
KINDS = DELAYS | REFUSALS.keys() | BROKEN_ANSWERS.keys() | STATUSES
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

    The `status_...` kinds concern the statuses that are told of accepted messages: each status
    may be lost or told twice; those of one message may come in reverse order, or be one failure
    with `code` (131026 if none is given).
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
                f"`{self.kind}` is no kind of fault; known: {', '.join(sorted(KINDS))}"
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
        """Let exactly these faults stand, from now on; a `seed` starts the choosing anew."""
        now = self._monotonic()
        self._standing = [_Standing(fault, now) for fault in faults]
        if seed is not None:
            self._random.seed(seed)

    def clear(self) -> None:
        """Let no fault stand."""
        self._standing = []

    def choose(self, request: Request) -> Treatment:
        """What happens to this request: delays add up, of other faults the first one strikes."""
        delays = {"latency": 0.0, "arrival_jitter": 0.0}
        chosen: Fault | None = None
        for standing in self._standing:
            fault = standing.fault
            if fault.kind in STATUSES:
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


_JSON_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "kind": str,
    "on": str,
    "path": str,
    "phone_number_id": str,
    "recipients": list,
    "arrivals": list,
    "probability": (int, float),
    "count": int,
    "after_seconds": (int, float),
    "for_seconds": (int, float),
    "seconds": (int, float),
    "seconds_max": (int, float),
    "code": int,
    "subcode": int,
    "status": int,
    "details": str,
    "headers": dict,
    "location": str,
    "accepts": bool,
}
_ITEM_TYPES: Mapping[str, type] = {"recipients": str, "arrivals": int, "headers": str}


def fault_from_json(values: Mapping[str, Any]) -> Fault:
    """A fault from JSON values; raises ValueError, with the name of what is wrong."""
    unknown = sorted(values.keys() - {each.name for each in fields(Fault)})
    if unknown:
        raise ValueError(f"`{unknown[0]}` is no property of a fault")
    if "kind" not in values:
        raise ValueError("a fault needs a `kind`")
    for name, value in values.items():
        if not isinstance(value, _JSON_TYPES[name]):
            raise ValueError(f"`{name}` of a fault has the wrong type")
        if not all(isinstance(item, _ITEM_TYPES.get(name, object)) for item in _items(value)):
            raise ValueError(f"`{name}` of a fault holds a value of the wrong type")
    sets = {name: frozenset(values[name]) for name in ("recipients", "arrivals") if name in values}
    return Fault(**{**values, **sets})


def _items(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
