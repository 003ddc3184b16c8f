"""What connecting changes for those who use the app, as rows to be acknowledged. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from wacoex_cli.onboarding.model import Route


@dataclass(frozen=True)
class AppChange:
    """One row; `id` is kept in the state file."""

    id: str
    title: str
    text: str


FEATURES = (
    AppChange(
        "broadcast-lists",
        "broadcast lists",
        "no new ones and no sending; those there are can only be read",
    ),
    AppChange(
        "edit-revoke",
        "editing and deleting for everyone",
        "Meta, since November 2025: goes on working in chats with one person and is mirrored;"
        " respond.io's older help article: no longer supported",
    ),
    AppChange("disappearing", "disappearing messages", "off in all chats with one person"),
    AppChange("view-once", "view once", "off in chats with one person"),
    AppChange("live-location", "live location", "off in chats with one person"),
)
"""The five features that change (Meta: onboarding business app users)."""

_NO_HISTORY = AppChange(
    "history",
    "history and contacts",
    "stay on the phone; respond.io imports neither (Meta offers it, it depends on the partner)",
)
_HISTORY_ONCE = AppChange(
    "history",
    "history and contacts",
    "can be synced once, within 24 hours; groups never, media of the last 14 days only",
)
_LIMITATIONS = (
    AppChange(
        "app-only", "groups, calls, status", "go on in the app and are not seen through the API"
    ),
    AppChange(
        "companions",
        "linked devices",
        "all are unlinked; link them again by hand, up to 24 hours later. WhatsApp for Windows and"
        " Wear OS do not work with it",
    ),
    AppChange("rate", "20 messages a second", "in and out together, fixed by Meta"),
    AppChange(
        "keep-open",
        "the app stays in use",
        "it must be opened on the phone at least every 14 days, or the connection is lost",
    ),
)


def rows(via: Route) -> tuple[AppChange, ...]:
    """Everything to acknowledge before connecting through that signup."""
    history = _NO_HISTORY if via is Route.RESPONDIO else _HISTORY_ONCE
    return (*FEATURES, history, *_LIMITATIONS)
