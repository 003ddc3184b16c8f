"""Meta's answers as types, each read in one place: apps, users, numbers, tokens. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from wacoex_cli.errors import TemporaryError, WacoexError
from wacoex_cli.foundation.clock import to_text

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


def access_token_in(said: Mapping[str, object]) -> AccessToken:
    """The answer of `debug_token`, as far as it can be understood."""
    is_valid, scopes = said.get("is_valid"), said.get("scopes")
    return AccessToken(
        is_valid=is_valid if isinstance(is_valid, bool) else None,
        type=_text(said.get("type")),
        app_id=_name(said.get("app_id")),
        expires_at=_moment(said.get("expires_at")),
        data_access_expires_at=_moment(said.get("data_access_expires_at")),
        scopes=tuple(one for one in scopes if isinstance(one, str))
        if isinstance(scopes, list)
        else None,
        accounts=_accounts(said),
        values={
            name: _moment_text(value) if name in _MOMENTS else value for name, value in said.items()
        },
    )


class App(NamedTuple):
    """An app that gets the webhooks of a WABA; an override goes before its own callback."""

    id: str | None
    name: str | None
    override: str | None = None

    @property
    def label(self) -> str:
        """Its name and id, as far as they are told."""
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


def apps_in(nodes: Iterable[Mapping[str, Any]]) -> tuple[App, ...]:
    """The entries of `subscribed_apps`. Raises TemporaryError for one that names no app."""
    return tuple(map(_app, nodes))


def users_in(nodes: Iterable[Mapping[str, Any]]) -> tuple[User, ...]:
    """The entries of `assigned_users`."""
    return tuple(
        User(
            _name(node.get("name")) or _name(node.get("id")) or "a user without a name",
            tuple(map(str, node["tasks"])) if isinstance(node.get("tasks"), list) else (),
        )
        for node in nodes
    )


def numbers_in(nodes: Iterable[Mapping[str, Any]]) -> tuple[ListedNumber, ...]:
    """The entries of `phone_numbers`."""
    return tuple(
        ListedNumber(
            str(node.get("id") or ""),
            str(node.get("display_phone_number") or ""),
            _text(node.get("verified_name")) or None,
            on_app if isinstance(on_app := node.get("is_on_biz_app"), bool) else None,
            _text(node.get("platform_type")) or None,
            _text(node.get("status")) or None,
        )
        for node in nodes
    )


def is_not_visible(error: WacoexError) -> bool:
    """Meta knows no such object, or does not show it to this token (Meta: error codes)."""
    return (error.details.get("code"), error.details.get("subcode")) == (100, 33)


def _app(node: Mapping[str, Any]) -> App:
    inner = node.get("whatsapp_business_api_data")
    fields = {**node, **(inner if isinstance(inner, dict) else {})}
    app = App(
        _name(fields.get("id")),
        _name(fields.get("name")),
        _text(fields.get("override_callback_uri")),
    )
    if app.id is None and app.name is None:
        raise TemporaryError(
            "Meta's list of apps cannot be read",
            hint="try again in a minute; see whether a proxy answers in Meta's place",
            code="unusable_answer",
        )
    return app._replace(override=app.override or None)


def _accounts(said: Mapping[str, object]) -> tuple[str, ...]:
    rights = said.get("granular_scopes")
    found: set[str] = set()
    for right in rights if isinstance(rights, list) else ():
        if isinstance(right, Mapping) and right.get("scope") in NEEDED_SCOPES:
            targets = right.get("target_ids")
            found.update(str(one) for one in (targets if isinstance(targets, list) else ()))
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
