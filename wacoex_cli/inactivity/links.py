"""One-time links that confirm a phone: a random token, of which only the hash is kept, and a page.

Showing the page changes nothing: mail scanners and previews follow links.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.channels.model import EvidenceKind, Sign, channel_address
from wacoex_cli.channels.store import Channels, Signs
from wacoex_cli.events.consumers import PageAnswer, PageRequest, WebPage
from wacoex_cli.foundation.clock import from_text, local_text, to_text
from wacoex_cli.foundation.masking import rendered
from wacoex_cli.inactivity import notices_ledger
from wacoex_cli.inactivity.reading import standings, zone_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace

VALID_FOR = timedelta(days=7)
_KEPT_FOR = timedelta(days=30)


class Validity(StrEnum):
    """Whether a link can still confirm."""

    VALID = "valid"
    GONE = "gone"  # used, expired, or its channel is archived
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Link:
    """A link as its token finds it. Without a valid one nothing is told about the channel."""

    validity: Validity
    channel_id: int = 0
    channel: str = ""
    phone: str = ""
    sent_to: str = ""


def create(
    state: State, public_url: str, channel_id: int, sent_to: str, now: datetime
) -> tuple[str, datetime]:
    """A new link for a channel, and when it expires. One transaction of its own."""
    token = secrets.token_urlsafe(32)
    expires_at = now + VALID_FOR
    with state.transaction():
        notices_ledger.forget_links(state, now - _KEPT_FOR)
        notices_ledger.add_link(
            state,
            _hash(token),
            channel_id=channel_id,
            sent_to=sent_to,
            now=now,
            expires_at=expires_at,
        )
    return f"{public_url.rstrip('/')}/confirm/{token}", expires_at


def look_up(state: State, token: str, now: datetime) -> Link:
    """What a token stands for; changes nothing."""
    row = notices_ledger.find_link(state, _hash(token))
    if row is None:
        return Link(Validity.UNKNOWN)
    if row["used_at"] or row["archived_at"] or now >= from_text(row["expires_at"]):
        return Link(Validity.GONE)
    return Link(Validity.VALID, row["channel_id"], row["name"], row["phone"], row["sent_to"])


def confirm(state: State, token: str, now: datetime) -> Link:
    """Use a link: whoever holds it says that the phone is open now.

    A link works once, also when it is used twice at the same time: the second finds it gone.
    """
    with state.transaction():
        link = look_up(state, token, now)
        if link.validity is not Validity.VALID:
            return link
        notices_ledger.use_link(state, _hash(token), now)
        said_by = f"link sent to {link.sent_to}"
        address = channel_address(link.channel_id)
        Signs(state).add([Sign(address, EvidenceKind.CONFIRMED, to_text(now), "person", said_by)])
    return link


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def pages(workspace: Workspace) -> Sequence[WebPage]:
    """What `events listen` serves for the confirmation links."""
    return (
        WebPage("/confirm/{token}", ("GET", "POST"), functools.partial(_page_answer, workspace)),
    )


def _page_answer(workspace: Workspace, request: PageRequest) -> PageAnswer:
    is_post = request.method == "POST"
    check = confirm if is_post else look_up
    link = check(workspace.state, request.token, workspace.clock.now())
    if link.validity is Validity.UNKNOWN:
        return _page(404, "Unknown link", shows="unknown")
    if link.validity is not Validity.VALID:
        return _page(410, "This link no longer works", shows="expired")
    return _page(
        200,
        "Thank you" if is_post else "Is the phone open?",
        shows="thanks" if is_post else "question",
        channel=link.channel,
        phone=link.phone,
        deadline=_deadline(workspace, link),
    )


def _page(status: int, title: str, **values: str) -> PageAnswer:
    return PageAnswer(status, rendered(__package__, "confirm.html.jinja", title=title, **values))


def _deadline(workspace: Workspace, link: Link) -> str:
    channel = Channels(workspace.state).find(link.channel)
    if channel is None:
        return ""
    known = standings(workspace, [channel], workspace.clock.now())[channel.channel_id]
    if known.deadline_at is None:
        return "Nobody knows when the app was last opened."
    return f"Deadline: {local_text(known.deadline_at, zone_of(workspace, channel))}"
