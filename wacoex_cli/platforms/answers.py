"""Answers as types: the outcome of a message, and Meta's apps, users, numbers and tokens. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from wacoex_cli.errors import RefusedError, TemporaryError, WacoexError
from wacoex_cli.foundation.clock import to_text


@dataclass(frozen=True)
class Taken:
    """The message was taken. Meta's `message_status` may be `held_for_quality_assessment`."""

    message_id: str
    message_status: str | None = None
    wa_id: str | None = None


@dataclass(frozen=True)
class Refused:
    """Meta answered with an error code; what it means stands in `error_codes`.

    `retry_after_seconds` and `regain_minutes` are the waits that Meta asked for, if it did.
    `user_text` is what it says for a person, mostly about a template.
    """

    code: int
    subcode: int | None = None
    message: str = ""
    details: str = ""
    fbtrace_id: str | None = None
    http_status: int = 400
    retry_after_seconds: float | None = None
    regain_minutes: float | None = None
    user_text: str = ""


@dataclass(frozen=True)
class Declined:
    """respond.io did not take the message: the HTTP status decides what that means.

    `said` is its own text, or what stood in its place; `retry_after_seconds` the wait it asked
    for, if it did. `from_api` is False when something else answered, such as a firewall in HTML.
    """

    status: int
    said: str = ""
    retry_after_seconds: float | None = None
    from_api: bool = True


@dataclass(frozen=True)
class Unclear:
    """The message may have been taken: the request left and no usable answer came.

    `retry_after_seconds` is the wait the server asked for, if it did.
    """

    reason: str
    retry_after_seconds: float | None = None


@dataclass(frozen=True)
class NotSent:
    """The message provably never left this machine."""

    reason: str


@dataclass(frozen=True)
class Postponed:
    """The message was not taken, because a file of it had ended: it may be sent again soon."""

    reason: str


@dataclass(frozen=True)
class Lapsed:
    """The message was not sent, and never is: the offer in it is over."""

    reason: str


Reply = Taken | Refused | Declined | Unclear | NotSent | Postponed | Lapsed

NEEDED_SCOPES = ("whatsapp_business_management", "whatsapp_business_messaging")
EXPIRES_SOON = timedelta(days=14)
# Moments that Meta gives as Unix seconds; 0 is never.
_MOMENTS = frozenset({"expires_at", "data_access_expires_at"})
_LATEST_MOMENT = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True)
class AccessToken:
    """Meta's answer to `debug_token`; None is what Meta did not say, or a moment that never comes.

    Moments are UTC. `accounts` are the WABAs it names as granted, often none; `values` is the
    answer as Meta gave it, its moments as RFC 3339 or `never`. Source: "Meta: debug_token".
    """

    is_valid: bool | None = None
    type: str | None = None
    app_id: str | None = None
    expires_at: datetime | None = None
    data_access_expires_at: datetime | None = None
    scopes: tuple[str, ...] | None = None
    accounts: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def warnings(self, now: datetime) -> list[str]:
        """What will stop it soon (within 14 days), and what it may not do."""
        found = []
        for what, moment in (
            ("it expires", self.expires_at),
            ("its access to data ends", self.data_access_expires_at),
        ):
            if moment is not None and moment - now <= EXPIRES_SOON:
                found.append(f"{what} {_in_days(moment, now)}")
        if self.scopes is not None:
            missing = [f"`{scope}`" for scope in NEEDED_SCOPES if scope not in self.scopes]
            if missing:
                found.append(f"it lacks the permission {' and '.join(missing)}")
        return found


def access_token_in(said: dict[str, Any]) -> AccessToken:
    """The answer of `debug_token`, as far as it can be understood."""
    is_valid, scopes = said.get("is_valid"), said.get("scopes")
    return AccessToken(
        is_valid=is_valid if isinstance(is_valid, bool) else None,
        type=_text(said.get("type")),
        app_id=_name(said.get("app_id")),
        expires_at=_moment(said.get("expires_at")),
        data_access_expires_at=_moment(said.get("data_access_expires_at")),
        scopes=tuple(scope for scope in scopes if isinstance(scope, str))
        if isinstance(scopes, list)
        else None,
        accounts=_accounts(said),
        values=said | {name: _moment_text(said[name]) for name in _MOMENTS & said.keys()},
    )


class App(NamedTuple):
    """An app that gets the webhooks of a WABA; an override goes before its own callback."""

    id: str | None
    name: str | None
    override: str | None = None

    @property
    def label(self) -> str:
        """Its name and id, as far as they are known."""
        if self.name and self.id:
            return f"{self.name} ({self.id})"
        return self.name or self.id or "an app without a name"


class User(NamedTuple):
    """A user of a business portfolio whom the WABA is assigned to, and what they may do."""

    name: str
    tasks: tuple[str, ...] = ()


class ListedNumber(NamedTuple):
    """A number as the list of its WABA shows it; None and "" are what Meta did not say."""

    phone_number_id: str
    shown: str = ""
    verified_name: str | None = None
    is_on_biz_app: bool | None = None
    platform_type: str | None = None
    status: str | None = None

    @property
    def digits(self) -> str:
        """The number that is shown, its digits alone."""
        return "".join(char for char in self.shown if char.isdigit())


def app_in(node: Mapping[str, Any]) -> App:
    """An entry of `subscribed_apps`. Raises TemporaryError for one that names no app."""
    inner = node.get("whatsapp_business_api_data")
    fields = {**node, **(inner if isinstance(inner, dict) else {})}
    app = App(
        _name(fields.get("id")),
        _name(fields.get("name")),
        _text(fields.get("override_callback_uri")) or None,
    )
    if app.id is None and app.name is None:
        raise TemporaryError(
            "Meta's list of apps cannot be read",
            hint="try again in a minute; see whether a proxy answers in Meta's place",
            code="unusable_answer",
        )
    return app


def user_in(node: Mapping[str, Any]) -> User:
    """An entry of `assigned_users`."""
    return User(
        _name(node.get("name")) or _name(node.get("id")) or "a user without a name",
        tuple(map(str, node["tasks"])) if isinstance(node.get("tasks"), list) else (),
    )


def number_in(node: Mapping[str, Any]) -> ListedNumber:
    """An entry of `phone_numbers`."""
    return ListedNumber(
        str(node.get("id") or ""),
        str(node.get("display_phone_number") or ""),
        _text(node.get("verified_name")) or None,
        on_app if isinstance(on_app := node.get("is_on_biz_app"), bool) else None,
        _text(node.get("platform_type")) or None,
        _text(node.get("status")) or None,
    )


def is_not_visible(error: WacoexError) -> bool:
    """Meta knows no such object, or does not show it to this token (Meta: error codes)."""
    return (error.details.get("code"), error.details.get("subcode")) == (100, 33)


A_NUMBER, AN_ACCOUNT = "a phone number", "a WhatsApp Business Account"
PORTFOLIO, AN_APP = "a business portfolio", "an app"


class IdOf(StrEnum):
    """What an id is to be, as the fields and options of a channel name it."""

    NUMBER = "phone_number_id"
    ACCOUNT = "waba_id"

    @property
    def noun(self) -> str:
        """What such an id belongs to."""
        return A_NUMBER if self is IdOf.NUMBER else AN_ACCOUNT

    @property
    def way_to_find(self) -> str:
        """Where a person finds the right one (Meta: phone numbers)."""
        places = {
            IdOf.NUMBER: "WhatsApp Manager, Phone numbers, the number",
            IdOf.ACCOUNT: "Business settings, Accounts, WhatsApp accounts, the account",
        }
        return f"its id is in {places[self]}; `wacoex channel discover` lists it too"


WRONG_KIND = "wrong_kind_of_id"
"""The code of the failure that an id belongs to an object of another kind."""
_NODE_TYPE = re.compile(r"on node type \((\w+)\)")
_NODE_TYPES = {
    "business": PORTFOLIO,
    "application": AN_APP,
    "user": "a person",
    "page": "a page",
    "whatsappbusinessaccount": AN_ACCOUNT,
    "whatsappbusinessphonenumber": A_NUMBER,
}


def wrong_kind(
    error: WacoexError, object_id: str, wanted: IdOf, edge: str = ""
) -> RefusedError | None:
    """The failure that an id is none of the kind wanted, where Meta's refusal says so.

    A field that a node does not have is refused with the type of the node (code 100). Types that
    are not known here say nothing. Of a list, the `edge` of a node, only a refusal of the edge
    itself is about the node: a field is refused with the type of what the list holds.
    """
    message = str(error.details.get("message", ""))
    found = _NODE_TYPE.search(message) if not edge or f"({edge})" in message else None
    kind = _NODE_TYPES.get(found[1].lower()) if found else None
    if kind is None or kind == wanted.noun or "subcode" in error.details:
        return None
    return RefusedError(
        f"{object_id} is the id of {kind}, not of {wanted.noun}",
        hint=wanted.way_to_find,
        code=WRONG_KIND,
        details={**error.details, "wanted": wanted.value},
    )


def _accounts(said: Mapping[str, object]) -> tuple[str, ...]:
    rights = said.get("granular_scopes")
    found: set[str] = set()
    for right in rights if isinstance(rights, list) else ():
        if isinstance(right, Mapping) and right.get("scope") in NEEDED_SCOPES:
            targets = right.get("target_ids")
            found.update(map(str, targets if isinstance(targets, list) else ()))
    return tuple(sorted(found))


def _in_days(moment: datetime, now: datetime) -> str:
    day = moment.strftime("%Y-%m-%d")
    if moment <= now:
        return f"on {day}, which has passed"
    days = (moment - now).days
    return f"in {days} day{'' if days == 1 else 's'} ({day})" if days else f"within a day ({day})"


def _moment(value: object) -> datetime | None:
    """Unix seconds; 0 is never."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LATEST_MOMENT:
        return datetime.fromtimestamp(value, UTC)
    return None


def _moment_text(seconds: object) -> object:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return seconds
    try:
        return to_text(datetime.fromtimestamp(seconds, UTC)) if seconds else "never"
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _name(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and value else None
