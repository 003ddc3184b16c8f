"""What Meta says about an access token, and what is wrong with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NEEDED_SCOPES = ("whatsapp_business_management", "whatsapp_business_messaging")
EXPIRES_SOON = timedelta(days=14)
_LATEST_MOMENT = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True)
class AccessToken:
    """Meta's answer to `debug_token`; None is what Meta did not say, or a moment that never comes.

    Moments are UTC. Source: "Meta: debug_token".
    """

    is_valid: bool | None = None
    type: str | None = None
    app_id: str | None = None
    expires_at: datetime | None = None
    data_access_expires_at: datetime | None = None
    scopes: tuple[str, ...] | None = None

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
        app_id=_text(said.get("app_id")),
        expires_at=_moment(said.get("expires_at")),
        data_access_expires_at=_moment(said.get("data_access_expires_at")),
        scopes=tuple(one for one in scopes if isinstance(one, str))
        if isinstance(scopes, list)
        else None,
    )


def accounts_in(said: Mapping[str, object]) -> tuple[str, ...]:
    """The ids of the WABAs that `debug_token` names as granted, in order; often it names none."""
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


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
