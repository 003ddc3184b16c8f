"""The state of the pretend world: who may do what, what is there, what has arrived."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from wacoex_cli.sandbox.arrivals import Arrival, ArrivalLog
from wacoex_cli.sandbox.codes import Codes
from wacoex_cli.sandbox.faults import Faults
from wacoex_cli.sandbox.limits import COEXISTENCE_LIMIT, PairRate, SlidingSecond
from wacoex_cli.sandbox.nodes import PHONE_NUMBER, TEMPLATE, Node
from wacoex_cli.sandbox.refusals import Refusal
from wacoex_cli.sandbox.respondio_world import RespondIOWorld
from wacoex_cli.sandbox.webhooks import WEBHOOK_FIELDS, Callbacks, Outbox

DEFAULT_TOKEN = "sandbox-token-0123456789"  # noqa: S105 - a marker, no secret
APP_SECRET = "sandbox-app-secret-0123456789"  # noqa: S105 - a marker, no secret
SIGNING_KEY = "sandbox-signing-key-0123456789"
APP_ID = "100000000000001"
APP_NAME = "wacoex sandbox"
PARTNER_APP_ID = "100000000000002"
PARTNER_APP_NAME = "respond.io WA BSP"
BUSINESS_ID = "102000000000001"
PARTNER_BUSINESS_ID = "102000000000002"
WABA_ID = "104000000000001"
PHONE_NUMBER_ID = "106000000000001"
PHONE = "+6560000001"
SECOND_PHONE_NUMBER_ID = "106000000000002"
SECOND_PHONE = "+6560000002"
# Somebody else's: there, but not for the default token.
FOREIGN_WABA_ID = "104000000000009"
FOREIGN_PHONE_NUMBER_ID = "106000000000009"

SEND_SCOPE = "whatsapp_business_messaging"
READ_SCOPE = "whatsapp_business_management"


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; times are Unix seconds, 0 means never (Meta: debug_token)."""

    value: str = field(repr=False)
    scopes: frozenset[str] = frozenset({SEND_SCOPE, READ_SCOPE})
    waba_ids: frozenset[str] = frozenset({WABA_ID})
    business_id: str = BUSINESS_ID
    app_id: str = APP_ID
    type: str = "SYSTEM_USER"
    expires_at: float = 0
    data_access_expires_at: float = 0
    revoked: bool = False

    def expired(self, now: float) -> bool:
        """Whether it has ended by `now` (Unix seconds)."""
        return 0 < self.expires_at <= now


@dataclass(slots=True)
class Contents:
    """Everything that a reset brings back."""

    nodes: dict[str, Node]
    tokens: dict[str, Token]
    subscribed_apps: dict[str, list[dict[str, Any]]]
    assigned_users: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the world behaves; `app_secret` makes `appsecret_proof` compulsory.

    `shares_history` is what the owner of the phone chose while connecting.
    """

    app_secret: str | None = field(default=None, repr=False)
    throttle_status: int = 400
    pair_rate: bool = True
    message_history: bool = True
    shares_history: bool = True


class World:
    """One pretend Meta. `monotonic` times arrivals, `now` (Unix seconds) expires tokens."""

    def __init__(
        self,
        build: Callable[[], Contents],
        *,
        settings: Settings | None = None,
        seed: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._build = build
        self._first_settings = settings or Settings()
        self._seed = seed
        self.monotonic = monotonic
        self._wall = now
        # Message ids stay unique over resets and restarts: a state file may outlive the sandbox.
        self.age = f"{int(now()):x}"
        self._taken = 0
        self.faults = Faults(monotonic=monotonic)
        self.reset()

    def reset(self) -> None:
        """Begin anew: default contents and limits, the present, no faults, no arrivals."""
        self.travelled = 0.0
        contents = self._build()
        self.nodes = contents.nodes
        self.tokens = contents.tokens
        self.subscribed_apps = contents.subscribed_apps
        self.assigned_users = contents.assigned_users
        self.settings = self._first_settings
        self.faults.replace([], seed=self._seed)
        self.log = ArrivalLog()
        self.respondio = RespondIOWorld(lambda: self.now(), lambda: self.monotonic())
        self.webhook_fields = list(WEBHOOK_FIELDS)
        self.callbacks = Callbacks()
        self.outbox = Outbox()
        self.codes = Codes()
        # By phone_number_id: when the app was opened, which may not send, which are not seen.
        self.opened_at: dict[str, float] = {}
        self.suspended: set[str] = set()
        self.hidden: set[str] = set()
        self.templates_revision = 0
        self._limits: dict[str, int] = {}
        self._rates: dict[str, SlidingSecond] = {}
        self._pairs: dict[str, PairRate] = {}
        self._traces = 0

    def now(self) -> float:
        """The time of this world, which can travel ahead (Unix seconds)."""
        return self._wall() + self.travelled

    def travel(self, seconds: float) -> None:
        """Let that much time pass in an instant."""
        self.travelled += seconds

    def trace_id(self) -> str:
        """A new `fbtrace_id`."""
        self._traces += 1
        return f"Asandbox{self._traces:08d}"

    def phone_numbers(self, waba_id: str) -> list[Node]:
        """The phone numbers of a WABA that can be seen."""
        found = self._of(PHONE_NUMBER.name, waba_id)
        return [node for node in found if node.id not in self.hidden]

    def templates(self, waba_id: str) -> list[Node]:
        """The templates of a WABA."""
        return list(self._of(TEMPLATE.name, waba_id))

    def template(self, waba_id: str, name: str, language: str) -> Node | None:
        """The template of that name in that language, whatever its status."""
        wanted = (name, language)
        return next(
            (
                node
                for node in self._of(TEMPLATE.name, waba_id)
                if (node.values["name"], node.values["language"]) == wanted
            ),
            None,
        )

    def _of(self, kind: str, waba_id: str) -> Iterator[Node]:
        nodes = self.nodes.values()
        return (node for node in nodes if node.kind.name == kind and node.waba_id == waba_id)

    def set_limit(self, phone_number_id: str, limit: int) -> None:
        """From now on take at most `limit` messages of that number in any second."""
        self._limits[phone_number_id] = limit

    def patch_node(self, node: Node, values: Mapping[str, object]) -> None:
        """Set fields of a node; raises ValueError for a field it does not have."""
        node.patch(values)
        if node.kind is TEMPLATE:
            self.templates_revision += 1

    def patch_token(self, value: str, changes: Mapping[str, Any]) -> None:
        """Set properties of a token, or add one; raises ValueError for an unknown property."""
        known = {each.name for each in fields(Token)} - {"value"}
        _refuse_unknown(changes, known, "token property")
        self.tokens[value] = replace(self.tokens.get(value, Token(value)), **changes)

    def patch_settings(self, changes: Mapping[str, Any]) -> None:
        """Set how the world behaves; raises ValueError for an unknown setting."""
        _refuse_unknown(changes, {each.name for each in fields(Settings)}, "setting")
        self.settings = replace(self.settings, **changes)

    def take(self, phone_number_id: str, recipient: str, at: float) -> str:
        """Take a message that arrived at `at` (monotonic seconds) and give its id.

        Raises Refusal 130429 above the limit of messages per second of the number (refused
        ones do not count; Meta: throughput) and 131056 above the pair rate.
        """
        rate = self._rates.setdefault(phone_number_id, SlidingSecond())
        pair = self._pairs.setdefault(phone_number_id, PairRate())
        if rate.count(at) >= self._limits.get(phone_number_id, COEXISTENCE_LIMIT):
            details = "Message failed to send because the throughput limit was reached."
            raise Refusal(130429, details, status=self.settings.throttle_status)
        if self.settings.pair_rate and not pair.allows(recipient, at):
            raise Refusal(131056, "Too many messages were sent to this user in a short time.")
        rate.add(at)
        pair.add(recipient, at)
        return self.message_id(recipient)

    def message_id(self, person: str) -> str:
        """A new id of a message from or to `person` (E.164)."""
        name = f"{self.age}:{self.next_number()}:{person}"
        return f"wamid.{base64.b64encode(name.encode()).decode()}"

    def next_number(self) -> int:
        """A number that this world gives once, also after a reset."""
        self._taken += 1
        return self._taken

    def record(self, arrival: Arrival) -> None:
        """Keep an arrival in the log."""
        self.log.add(arrival)


def _refuse_unknown(changes: Mapping[str, object], known: set[str], what: str) -> None:
    unknown = sorted(changes.keys() - known)
    if unknown:
        raise ValueError(f"`{unknown[0]}` is no {what}")
