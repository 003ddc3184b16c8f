"""Which events are a reason to pause what is being sent, and why. Pure.

Whatever takes from Meta's side the right, or the quality, to send this template from this number.
A pause costs a command; a broadcast that goes on costs quality, or the account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.broadcast.checks import messaging_limit
from wacoex_cli.platforms.events import Kind, read_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wacoex_cli.platforms.events import Event
    from wacoex_cli.templates.model import Template

# Nothing sent through the API arrives, or soon nothing will (Meta: account_update). A violation
# is the step before a block: to go on with what may have caused it is how one gets there.
_ACCOUNT_EVENTS = frozenset(
    {"PARTNER_REMOVED", "ACCOUNT_OFFBOARDED", "ACCOUNT_DELETED", "ACCOUNT_VIOLATION"}
)
_BANS = frozenset({"DISABLE", "SCHEDULE_FOR_DISABLE"})
# Without the second nobody who replies to a broadcast can be answered.
_RESTRICTIONS = frozenset(
    {"RESTRICTED_BIZ_INITIATED_MESSAGING", "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"}
)
_UTILITY_RESTRICTIONS = frozenset(
    {"RESTRICTED_UTILITY_TEMPLATES", "RESTRICTED_DIRECT_SEND_UTILITY_TEMPLATES"}
)
# Meta: message_template_status_update. APPROVED, REINSTATED, UNARCHIVED, LOCKED (against edits)
# and LIMIT_EXCEEDED (no more new templates) let a template be sent.
_TEMPLATE_STATUSES = frozenset(
    {"ARCHIVED", "DELETED", "DISABLED", "FLAGGED", "IN_APPEAL", "PAUSED", "PENDING"}
    | {"PENDING_DELETION", "REJECTED"}
)
_NUMBER_EVENTS = frozenset({"FLAGGED", "DOWNGRADE"})
_QUALITIES = ("RED", "YELLOW", "GREEN")
# Meta: account_alerts. These are about the badge, the picture, and a limit that does not rise.
_HARMLESS_ALERTS = (
    "OBA_",
    "PROFILE_PICTURE_",
    "INCREASED_CAPABILITIES_ELIGIBILITY_",
)


def why_stop(event: Event, template: Template) -> str | None:
    """Why a broadcast of that template must not go on after an event about its channel, or None.

    The answer names what was told; it ends without a full stop.
    """
    why = _REASONS.get(event.kind)
    told = why(event, template) if why else None
    return f"Meta says {told} at {event.at}" if told else None


def _account(event: Event, template: Template) -> str | None:
    data, name = event.data, event.data.get("event") or ""
    if name in _ACCOUNT_EVENTS:
        told = (data.get("reason") or data.get("violation_type"), data.get("initiated_by"))
        why = ", ".join(str(one) for one in told if one)
        return f"{name} ({why})" if why else name
    if name == "DISABLED_UPDATE":
        ban = (data.get("ban_info") or {}).get("waba_ban_state")
        return f"{name} ({ban})" if ban in _BANS else None
    if name == "ACCOUNT_RESTRICTION":
        found = _restriction(event, template)
        return f"{name} ({found})" if found else None
    return None


def _restriction(event: Event, template: Template) -> str | None:
    is_utility = template.category == "UTILITY"
    minded = _RESTRICTIONS | (_UTILITY_RESTRICTIONS if is_utility else frozenset())
    for restriction in event.data.get("restriction_info") or ():
        ends = read_moment(restriction.get("expiration"))
        if restriction.get("restriction_type") in minded and (ends is None or ends > event.at):
            return restriction["restriction_type"]
    return None


def _template_status(event: Event, template: Template) -> str | None:
    status = (event.data.get("event") or "").upper()
    if status not in _TEMPLATE_STATUSES or not _is_about(event, template):
        return None
    told = event.data.get("reason") or event.data.get("title")
    why = f" ({told})" if told and told != "NONE" else ""
    return f"template {template.name} ({template.language}) is {status}{why}"


def _quality(event: Event, template: Template) -> str | None:
    data = event.data
    if "new" in data:
        is_lower = _is_about(event, template) and _is_lower_quality(data.get("old"), data["new"])
        what = f"the quality of template {template.name} ({template.language})"
        return f"{what} is {data['new']}" if is_lower else None
    if data.get("event") in _NUMBER_EVENTS:
        return f"the quality of the number is lower ({data['event']})"
    before, now = messaging_limit(data.get("old_limit")), messaging_limit(data.get("limit"))
    if before is None or now is None or now >= before:
        return None
    return f"the messaging limit fell from {data['old_limit']} to {data['limit']}"


def _alert(event: Event, template: Template) -> str | None:
    """A critical alert of a kind that is not known to be harmless."""
    data, name = event.data, str(event.data.get("type"))
    is_critical = data.get("severity") == "CRITICAL" and data.get("status") != "NONE"
    if not is_critical or name.startswith(_HARMLESS_ALERTS):
        return None
    return f"there is a critical alert ({name})"


def _is_about(event: Event, template: Template) -> bool:
    """Languages are `en_US` in templates, and also `en-US` in webhooks."""
    language = (event.data.get("template_language") or "").replace("-", "_").casefold()
    return (
        event.data.get("template_name") == template.name
        and language == template.language.replace("-", "_").casefold()
    )


def _is_lower_quality(before: str | None, now: str | None) -> bool:
    if now not in _QUALITIES:
        return False
    is_fall = before in _QUALITIES and _QUALITIES.index(now) < _QUALITIES.index(before)
    return now == _QUALITIES[0] or is_fall


_REASONS: Mapping[Kind, Callable[[Event, Template], str | None]] = {
    Kind.ACCOUNT_UPDATE: _account,
    Kind.TEMPLATE_STATUS: _template_status,
    Kind.QUALITY: _quality,
    Kind.ALERT: _alert,
}
KINDS = frozenset(_REASONS)
"""The kinds of events that may be a reason."""
