"""The state of the pretend world: who may do what, what is there, what has arrived."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from wacoex_cli.sandbox.faults import Faults, GraphError, unknown_object
from wacoex_cli.sandbox.respondio_world import RespondIOWorld
from wacoex_cli.sandbox.wire import (
    DAY_SECONDS,
    WEBHOOK_FIELDS,
    Arrival,
    ArrivalLog,
    Call,
    Callbacks,
    Outbox,
    SlidingSecond,
)

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

COEXISTENCE_LIMIT = 20  # messages per second (Meta: throughput)
PAIR_SECONDS = 6.0  # one message to the same user in that time (Meta: pair rate limits)
_INBOX_KEEPS = 1000
PAIR_BURST = 45  # messages to the same user within PAIR_SECONDS, on credit


@dataclass(frozen=True, slots=True)
class NodeKind:
    """A type of node: every field it has, and those it answers with when none is named."""

    name: str
    fields: frozenset[str]
    default_fields: tuple[str, ...]


def _kind(name: str, default_fields: str, other_fields: str) -> NodeKind:
    defaults = tuple(default_fields.split())
    return NodeKind(name, frozenset([*defaults, *other_fields.split()]), defaults)


# Meta: WhatsApp Business Account phone number API
PHONE_NUMBER = _kind(
    "WhatsAppBusinessPhoneNumber",
    "id display_phone_number verified_name quality_rating",
    "status is_on_biz_app platform_type host_platform quality_score throughput "
    "whatsapp_business_manager_messaging_limit messaging_limit_tier name_status new_name_status "
    "code_verification_status account_mode last_onboarded_time is_official_business_account "
    "official_business_account health_status webhook_configuration is_pin_enabled "
    "is_preverified_number search_visibility country_code country_dial_code username certificate",
)
# Meta: WhatsApp Business Account API
WABA = _kind(
    "WhatsAppBusinessAccount",
    "id name timezone_id message_template_namespace",
    "status account_review_status business_verification_status country currency creation_time "
    "ownership_type owner_business owner_business_info on_behalf_of_business_info "
    "is_shared_with_partners primary_funding_id primary_business_location health_status "
    "is_enabled_for_insights marketing_messages_onboarding_status "
    "disable_marketing_messages_on_cloud_api whatsapp_business_manager_messaging_limit",
)
# Meta: template management
TEMPLATE = _kind(
    "WhatsAppMessageTemplate",
    "id name language status category components parameter_format",
    "quality_score rejected_reason previous_category health_status message_send_ttl_seconds",
)


# Graph API: Business, Application. They are there to be taken for something else.
BUSINESS = _kind("Business", "id name", "verification_status created_time primary_page link")
APPLICATION = _kind("Application", "id name link category", "namespace app_domains")


@dataclass(frozen=True, slots=True)
class Node:
    """One object of the Graph; a field without a value is left out of answers, as Meta does."""

    kind: NodeKind
    id: str
    waba_id: str
    values: dict[str, Any]

    def patch(self, values: Mapping[str, object]) -> None:
        """Set fields; raises ValueError for one that this kind of node does not have."""
        unknown = sorted(values.keys() - (self.kind.fields - {"id"}))
        if unknown:
            raise ValueError(f"`{unknown[0]}` cannot be set on a {self.kind.name}")
        self.values.update(values)

    @property
    def phone(self) -> str:
        """The number of a phone number (E.164)."""
        return "+" + "".join(filter(str.isdigit, str(self.values["display_phone_number"])))


def meta_time(at: float) -> str:
    """A moment (Unix seconds) as the Graph API writes times."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%S%z")


def moment_of(text: str) -> float:
    """The Unix seconds of a time as the Graph API writes it."""
    return datetime.fromisoformat(text).timestamp()


def subscribed_app(app_id: str, name: str) -> dict[str, Any]:
    """A row of `subscribed_apps`."""
    link = f"https://www.facebook.com/games/?app_id={app_id}"
    return {"whatsapp_business_api_data": {"id": app_id, "name": name, "link": link}}


def app_of(row: Mapping[str, Any]) -> str:
    """The id of the app in a row of `subscribed_apps`."""
    return str(row["whatsapp_business_api_data"]["id"])


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


@dataclass(frozen=True, slots=True)
class ExampleUpload:
    """An upload that has begun: the app it belongs to, and what was announced of the file."""

    app_id: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Medium:
    """A file that somebody uploaded for the messages of a number; `at` is Unix seconds."""

    LIFETIME_SECONDS: ClassVar[float] = 30 * DAY_SECONDS

    id: str
    phone_number_id: str
    media_type: str
    sha256: str
    size: int
    at: float

    def has_ended(self, now: float) -> bool:
        """Whether its 30 days are over by `now` (Meta: media)."""
        return now - self.at >= self.LIFETIME_SECONDS


@dataclass(slots=True)
class Code:
    """A code of the signup window; `at` is Unix seconds, `tries` how often it was shown."""

    waba_id: str
    at: float
    tries: int = 0


class Codes:
    """The codes that signup windows handed out since the reset, by their values.

    One becomes a token once, within 30 seconds (Meta: embedded signup implementation).
    """

    LIFETIME_SECONDS = 30.0

    def __init__(self) -> None:
        self.issued: dict[str, Code] = {}

    def issue(self, waba_id: str, now: float) -> str:
        """A new code for that WABA."""
        value = f"AQsandbox{secrets.token_hex(16)}"
        self.issued[value] = Code(waba_id, now)
        return value

    def take(self, value: str, now: float) -> str:
        """The WABA of a code.

        Raises GraphError 100 with subcode 36009 for one that was used, 36007 for one that expired.
        """
        code = self.issued.get(value)
        if code is None:
            raise GraphError(100, message="Invalid verification code format.")
        code.tries += 1
        if code.tries > 1:
            raise GraphError(100, subcode=36009)
        if now - code.at > self.LIFETIME_SECONDS:
            raise GraphError(100, subcode=36007)
        return code.waba_id


@dataclass(slots=True)
class _Credit:
    burst_began: float
    burst_size: int
    paid_at: float


class PairRate:
    """One message to a user every six seconds, or a burst that is paid back by waiting.

    A burst of up to 45 within six seconds is allowed; afterwards nothing is, until the time
    has passed that these messages would have needed (Meta: pair rate limits).
    """

    def __init__(self) -> None:
        self._credits: dict[str, _Credit] = {}

    def allows(self, recipient: str, now: float) -> bool:
        """Whether one more message to `recipient` may be taken at `now` (monotonic seconds)."""
        credit = self._credits.get(recipient)
        if credit is None or now >= credit.paid_at:
            return True
        return now - credit.burst_began < PAIR_SECONDS and credit.burst_size < PAIR_BURST

    def add(self, recipient: str, now: float) -> None:
        """Note a message that was taken."""
        credit = self._credits.get(recipient)
        if credit is None or now >= credit.paid_at:
            self._credits[recipient] = _Credit(now, 1, now + PAIR_SECONDS)
            return
        credit.burst_size += 1
        credit.paid_at += PAIR_SECONDS


@dataclass(slots=True)
class Contents:
    """Everything that a reset brings back; apps and users by the id of their WABA."""

    nodes: dict[str, Node]
    tokens: dict[str, Token]
    subscribed_apps: dict[str, list[dict[str, Any]]]
    assigned_users: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass(slots=True)
class Review:
    """What happens to templates that are written: reviewed `seconds` later, with that result.

    `holds` leaves them in review. `category` is what Meta makes of a new one, None for what it is.
    The rest is what has happened, by the ids of templates or WABAs, in Unix seconds.
    """

    seconds: float = 2.0
    status: str = "APPROVED"
    reason: str = "NONE"
    category: str | None = None
    holds: bool = False
    waiting: dict[str, float] = field(default_factory=dict)
    created: list[float] = field(default_factory=list)
    edited: dict[str, list[float]] = field(default_factory=dict)
    deleted: dict[tuple[str, str], float] = field(default_factory=dict)
    before_archive: dict[str, str] = field(default_factory=dict)
    writes: list[tuple[str, str, str]] = field(default_factory=list)

    def date_back(self, seconds: float) -> None:
        """Let all that has happened be that much older."""
        self.waiting = {key: at - seconds for key, at in self.waiting.items()}
        self.created = [at - seconds for at in self.created]
        self.edited = {key: [at - seconds for at in each] for key, each in self.edited.items()}
        self.deleted = {key: at - seconds for key, at in self.deleted.items()}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the world behaves; `app_secret` makes `appsecret_proof` compulsory.

    `shares_history` is what the owner of the phone chose while connecting. Without
    `returns_callback_data` statuses lack what the sender gave a message to be known by. The list
    of an account's numbers refuses the fields in `list_refuses`, leaves out those in `list_omits`,
    and refuses pages of more than `list_most` numbers as too much data. Without `takes_batches` a
    request holds one question; without `batch_passes_token` its questions come without a token.
    """

    app_secret: str | None = field(default=None, repr=False)
    throttle_status: int = 400
    pair_rate: bool = True
    message_history: bool = True
    shares_history: bool = True
    returns_callback_data: bool = True
    list_refuses: frozenset[str] = frozenset()
    list_omits: frozenset[str] = frozenset()
    list_most: int | None = None
    takes_batches: bool = True
    batch_passes_token: bool = True


class World:
    """One pretend Meta. `monotonic` times arrivals, `now` (Unix seconds) expires tokens."""

    def __init__(
        self,
        build: Callable[[], Contents],
        *,
        settings: Behaviour | None = None,
        seed: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._build = build
        self._first_settings = settings or Behaviour()
        self._seed = seed
        self.monotonic = monotonic
        self._wall = now
        # Message ids stay unique over resets and restarts: a state file may outlive the sandbox.
        self.age = f"{int(now()):x}"
        self._taken = 0
        self.faults = Faults(monotonic=monotonic)
        self.reset()

    def reset(self) -> None:
        """Begin again: default contents and limits, the present, no faults, no arrivals."""
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
        # Uploaded files by their ids, and how many were uploaded of each content and number.
        self.media: dict[str, Medium] = {}
        self.uploads: Counter[tuple[str, str]] = Counter()
        # Uploads of examples that have begun, by their ids, and the handles of finished ones.
        self.sessions: dict[str, ExampleUpload] = {}
        self.handles: set[str] = set()
        # People's ids for this business, each with the number that it hides (E.164), if known.
        self.user_ids: dict[str, str | None] = {}
        # By phone_number_id: when the app was opened, which may not send, which are not seen.
        self.opened_at: dict[str, float] = {}
        self.suspended: set[str] = set()
        self.hidden: set[str] = set()
        # Accepted messages that wait at Meta, by their ids: the arrival, and what was sent.
        self.held_back: dict[str, tuple[Arrival, Mapping[str, Any]]] = {}
        # What people got, newest last: who, when (Unix seconds), from which number, the message.
        self.inbox: deque[tuple[str, float, str, Mapping[str, Any]]] = deque(maxlen=_INBOX_KEEPS)
        # What `reminder notify` sent to this world's own address, as it was posted.
        self.notices: list[dict[str, Any]] = []
        self.templates_revision = 0
        self.review = Review()
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

    def date_back(self, seconds: float) -> None:
        """Let that much time pass by dating all that has happened back; the present stays.

        Programs beside this world keep their own clock, and see that time has passed. Messages
        that were taken keep their times.
        """
        for node in self.nodes.values():
            if node.kind is PHONE_NUMBER:
                onboarded = moment_of(node.values["last_onboarded_time"])
                node.patch({"last_onboarded_time": meta_time(onboarded - seconds)})
        self.opened_at = {number: at - seconds for number, at in self.opened_at.items()}
        self.media = {
            name: replace(medium, at=medium.at - seconds) for name, medium in self.media.items()
        }
        self.review.date_back(seconds)
        for value, token in self.tokens.items():
            ends = {
                name: max(ends_at - seconds, 1.0)
                for name in ("expires_at", "data_access_expires_at")
                if (ends_at := getattr(token, name)) > 0
            }
            self.tokens[value] = replace(token, **ends)

    def end_medium(self, media_id: str) -> None:
        """Let an uploaded file end before its time; raises ValueError when there is none."""
        if self.media.pop(media_id, None) is None:
            raise ValueError(f"there is no uploaded file `{media_id}`")

    def medium(self, media_id: str, phone_number_id: str | None) -> Medium | None:
        """The uploaded file of that id, while it lives, of that number or of any."""
        found = self.media.get(media_id)
        if found is None or found.has_ended(self.now()):
            return None
        return found if phone_number_id in (None, found.phone_number_id) else None

    def trace_id(self) -> str:
        """A new `fbtrace_id`."""
        self._traces += 1
        return f"Asandbox{self._traces:08d}"

    def app_secret(self) -> str:
        """The secret of the pretend app: it signs webhooks and is half of the app's token."""
        return self.callbacks.app_secret or self.settings.app_secret or APP_SECRET

    def phone_numbers(self, waba_id: str) -> list[Node]:
        """The phone numbers of a WABA that can be seen."""
        return [node for node in self._of(PHONE_NUMBER, waba_id) if node.id not in self.hidden]

    def phone_number(self, phone_number_id: str) -> Node:
        """The phone number of that id; raises ValueError when there is none."""
        node = self.nodes.get(phone_number_id)
        if node is None or node.kind is not PHONE_NUMBER:
            raise ValueError(f"`{phone_number_id}` is not a phone number of this world")
        return node

    def templates(self, waba_id: str) -> list[Node]:
        """The templates of a WABA."""
        return self._of(TEMPLATE, waba_id)

    def template(self, waba_id: str, name: str, language: str) -> Node | None:
        """The template of that name in that language, whatever its status."""
        for node in self.templates(waba_id):
            if (node.values["name"], node.values["language"]) == (name, language):
                return node
        return None

    def _of(self, kind: NodeKind, waba_id: str) -> list[Node]:
        nodes = self.nodes.values()
        return [node for node in nodes if node.kind is kind and node.waba_id == waba_id]

    def set_limit(self, phone_number_id: str, limit: int) -> None:
        """From now on take at most `limit` messages of that number in any second."""
        self._limits[phone_number_id] = limit

    def patch_node(self, node: Node, values: Mapping[str, object]) -> None:
        """Set fields of a node; raises ValueError for a field it does not have."""
        node.patch(values)
        if node.kind is TEMPLATE:
            self.templates_revision += 1

    def change_template(
        self, waba_id: str, name: str, language: str, values: Mapping[str, object]
    ) -> Node:
        """Set fields of a template, or make one.

        Meta says what the category was before. Raises ValueError as `patch_node` does.
        """
        node = self.template(waba_id, name, language)
        before = node.values["category"] if node else None
        if node is None:
            number = max(int(each.id) for each in self._of(TEMPLATE, waba_id)) + 1
            node = Node(TEMPLATE, str(number), waba_id, {"name": name, "language": language})
            defaults = {"status": "APPROVED", "category": "UTILITY", "components": []}
            values = {**defaults, "parameter_format": "POSITIONAL", **values}
        changed = before is not None and values.get("category", before) != before
        self.patch_node(node, {**values, "previous_category": before} if changed else values)
        self.nodes[node.id] = node
        return node

    def delete_template(self, waba_id: str, name: str, language: str) -> None:
        """Take a template out of its account; raises ValueError when there is none."""
        node = self.template(waba_id, name, language)
        if node is None:
            raise ValueError(f"there is no template `{name}` in `{language}`")
        del self.nodes[node.id]
        self.templates_revision += 1

    def patch_token(self, value: str, changes: Mapping[str, Any]) -> None:
        """Set properties of a token, or add one."""
        self.tokens[value] = replace(self.tokens.get(value, Token(value)), **changes)

    def patch_settings(self, changes: Mapping[str, Any]) -> None:
        """Set how the world behaves."""
        self.settings = replace(self.settings, **changes)

    def token_of(self, call: Call, scheme: str = "bearer") -> Token:
        """The token of a request; raises GraphError 0 without one, 190 when it is no good.

        Subcodes of 190: 463 expired, 467 invalid (Meta: error handling).
        """
        given, _, value = call.headers.get("authorization", "").partition(" ")
        if given.lower() != scheme or not value:
            raise GraphError(0, message="An access token is required to request this resource.")
        token = self.tokens.get(value)
        if token is None:
            raise GraphError(190)
        if token.revoked:
            raise GraphError(190, subcode=467)
        if token.expired(self.now()):
            raise GraphError(190, subcode=463)
        if self.settings.app_secret is not None:
            self._check_proof(call.query.get("appsecret_proof"), self.settings.app_secret, value)
        return token

    def _check_proof(self, proof: str | None, secret: str, token: str) -> None:
        """HMAC-SHA256 of the token, keyed by the app secret (Meta: secure requests)."""
        expected = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
        if proof is None:
            message = "API calls from the server require an appsecret_proof argument"
        elif not hmac.compare_digest(proof.encode(), expected.encode()):
            message = "Invalid appsecret_proof provided in the API argument"
        else:
            return
        raise GraphError(100, message=message, error_type="GraphMethodException")

    def visible_node(self, token: Token, call: Call, node_id: str, scope: str) -> Node:
        """The node, if the token may use it.

        Raises GraphError 100 with subcode 33 when it is unknown or somebody else's, 200 when it is
        in the token's portfolio but not assigned to it, and 10 when the token lacks the scope.
        """
        node = self.nodes.get(node_id)
        if node is None or node.id in self.hidden:
            raise unknown_object(call.method, node_id)
        if node.waba_id not in token.waba_ids:
            waba = self.nodes[node.waba_id]
            if waba.values.get("owner_business") != token.business_id:
                raise unknown_object(call.method, node_id)
            raise GraphError(200, message="(#200) You do not have the necessary permissions")
        if scope not in token.scopes:
            raise GraphError(10, message=f"(#10) This call requires the {scope} permission")
        return node

    def take(self, phone_number_id: str, recipient: str, at: float) -> str:
        """Take a message that arrived at `at` (monotonic seconds) and give its id.

        `recipient` is a number (E.164) or a user id; both of one person share the pair rate.

        Raises GraphError 130429 above the limit of messages per second of the number (refused
        ones do not count; Meta: throughput) and 131056 above the pair rate.
        """
        recipient = self.user_ids.get(recipient) or recipient
        rate = self._rates.setdefault(phone_number_id, SlidingSecond())
        pair = self._pairs.setdefault(phone_number_id, PairRate())
        if rate.count(at) >= self._limits.get(phone_number_id, COEXISTENCE_LIMIT):
            details = "Message failed to send because the throughput limit was reached."
            raise GraphError(130429, details, status=self.settings.throttle_status)
        if self.settings.pair_rate and not pair.allows(recipient, at):
            raise GraphError(131056, "Too many messages were sent to this user in a short time.")
        rate.add(at)
        pair.add(recipient, at)
        return self.message_id(recipient)

    def user_id(self, person: str) -> str:
        """The id of a person for this business, by number (E.164) or by the id itself.

        A person who is named here is known from then on.
        """
        found = next((name for name, phone in self.user_ids.items() if phone == person), None)
        if found is None:
            is_number = person.startswith("+")
            found = f"SG.9{person[-9:].removeprefix('+')}" if is_number else person
            self.user_ids.setdefault(found, person if is_number else None)
        return found

    def message_id(self, person: str) -> str:
        """A new id of a message from or to `person` (E.164)."""
        name = f"{self.age}:{self.next_number()}:{person}"
        return f"wamid.{base64.b64encode(name.encode()).decode()}"

    def next_number(self) -> int:
        """A number that this world gives once, also after a reset."""
        self._taken += 1
        return self._taken
