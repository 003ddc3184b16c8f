"""A person says that the app was open on the phone: `reminder confirm`, or a one-time link.

A link holds a random token, of which only the hash is kept. Showing its page changes nothing: mail
scanners and previews follow links.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.facts import CHANNELS, FACTS, stored_facts
from wacoex_cli.channels.model import EvidenceKind, Sign, channel_address
from wacoex_cli.channels.registry import choose_channel
from wacoex_cli.channels.store import Channels, Signs
from wacoex_cli.errors import RefusedError, UsageError
from wacoex_cli.events.consumers import PageAnswer, PageRequest, WebPage
from wacoex_cli.events.store import catch_up
from wacoex_cli.foundation.clock import from_text, local_text, moment_from, to_text
from wacoex_cli.foundation.masking import rendered
from wacoex_cli.foundation.workspace import known_login_name
from wacoex_cli.inactivity.checks import NO_EVIDENCE, last_proof, standings, zone_of
from wacoex_cli.inactivity.store import Reminders
from wacoex_cli.terminal.render import relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.channels.facts import Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing
    from wacoex_cli.terminal.options import Invocation

_LONGEST_NAME = 100
_LINK_VALID_FOR = timedelta(days=7)
_LINK_KEPT_FOR = timedelta(days=30)


@dataclass(frozen=True)
class Confirmation:
    """What was kept, and where the channel stands at `now`. `zone` is for showing times."""

    channel: Channel
    at: datetime
    said_by: str
    is_new: bool
    dry_run: bool
    standing: Standing
    connection: Connection
    zone: str
    now: datetime

    def to_json(self) -> dict[str, Any]:
        """The `data` of `reminder confirm`."""
        return {
            "channel": self.channel.name,
            "confirmed_at": self.at,
            "confirmed_by": self.said_by,
            "is_new": self.is_new,
            "dry_run": self.dry_run,
            **self.standing.to_json(),
            **self.connection.to_json(),
        }

    def lines(self) -> Iterator[str]:
        """What was kept, the next deadline in the channel's own zone, and what does not count."""
        now = from_text(to_text(self.now))  # As exact as what was kept: else 14 days would be 13.
        would = "would be confirmed" if self.dry_run else "confirmed"
        at = local_text(self.at, self.zone)
        yield f"channel {self.channel.name}: {would} by {self.said_by}, the app was open at {at}"
        counted = self.standing.counted
        if counted and counted.at > self.at:
            newer = local_text(counted.at, self.zone)
            yield f"newer evidence decides: {counted.text}, at {newer}"
        for title, moment in (
            ("next deadline", self.standing.deadline_at),
            ("act by", self.standing.act_by_at),
        ):
            if moment:
                yield f"{title}: {local_text(moment, self.zone)} ({relative(moment, now)})"
        yield NO_EVIDENCE


def confirm(
    workspace: Workspace,
    invocation: Invocation,
    at: str | None,
    said_by: str | None,
    *,
    force: bool,
    dry_run: bool,
) -> Confirmation:
    """Keep that somebody says the app was open at that moment; the same twice changes nothing.

    `at` is a moment in the channel's zone or with an offset, None for now; `said_by` a name, None
    for the login name.

    Raises:
        UsageError: the channel is not known, the moment is none or still to come, or there is no
            name.
        RefusedError: there is a newer proof, and no `force`.
    """
    channel = choose_channel(workspace, invocation)
    state, now = workspace.state, workspace.clock.now()
    zone = zone_of(workspace, channel)
    moment = now if at is None else moment_from(at, zone)
    name = _checked_name(said_by)
    catch_up(state, [CHANNELS], workspace.clock)
    if moment > now:
        raise UsageError(
            f"{local_text(moment, zone)} is in the future",
            hint="give the moment at which the app was open, or leave `--at` out for now",
            code="future",
        )
    proof = None if force else last_proof(state, channel, now)
    if proof and to_text(moment) < proof.at:
        newest = local_text(from_text(proof.at), zone)
        how = f"by {proof.said_by}" if proof.kind is EvidenceKind.CONFIRMED else "when connected"
        raise RefusedError(
            f"there is a newer proof than {local_text(moment, zone)}: {newest}, {how}",
            hint="nothing was changed; `--force` keeps the older one too, the newer proof decides",
            code="older_than_proof",
        )
    sign = _confirmed(channel.channel_id, moment, name)
    stored = Signs(state).newest([sign.address], sign.kind, since=sign.at, until=sign.at)
    is_new = stored is None or stored.said_by != name
    if is_new and not dry_run:
        with state.transaction():
            Signs(state).add([sign])
    # A dry run counts what would be kept, so that it shows the deadline that would follow.
    standing = standings(workspace, [channel], now, {channel.channel_id: [sign]})
    connection = stored_facts(state, [channel], now, FACTS)[channel.channel_id].connection
    if connection.is_lost:
        workspace.warn(
            f"channel `{channel.name}` is not connected any more: `wacoex status {channel.name}`"
        )
    return Confirmation(
        channel,
        from_text(sign.at),
        name,
        is_new,
        dry_run,
        standing[channel.channel_id],
        connection,
        zone,
        now,
    )


def _checked_name(said_by: str | None) -> str:
    if said_by is None:
        said_by = known_login_name()
        if said_by is None:
            raise UsageError(
                "wacoex does not know who confirms it: this system gives no user name",
                hint="give a name with `--by WHO`",
                code="no_name",
            )
    name = " ".join(said_by.split())
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"the name of the person must have 1 to {_LONGEST_NAME} characters",
            hint="give it with `--by WHO`",
            code="bad_name",
        )
    return name


def _confirmed(channel_id: int, at: datetime, said_by: str) -> Sign:
    address = channel_address(channel_id)
    return Sign(address, EvidenceKind.CONFIRMED, to_text(at), "person", said_by)


def create_link(
    state: State, public_url: str, channel_id: int, sent_to: str, now: datetime
) -> tuple[str, datetime]:
    """A new link for a channel, and when it expires. One transaction of its own."""
    token = secrets.token_urlsafe(32)
    expires_at = now + _LINK_VALID_FOR
    reminders = Reminders(state)
    with state.transaction():
        reminders.forget_links(now - _LINK_KEPT_FOR)
        reminders.add_link(_hash(token), channel_id, sent_to, now, expires_at)
    return f"{public_url.rstrip('/')}/confirm/{token}", expires_at


def pages(workspace: Workspace) -> Sequence[WebPage]:
    """What `events listen` serves for the confirmation links."""
    return (
        WebPage("/confirm/{token}", ("GET", "POST"), functools.partial(_page_answer, workspace)),
    )


def _page_answer(workspace: Workspace, request: PageRequest) -> PageAnswer:
    """Without a valid link nothing is said about its channel.

    A link works once, also when it is used twice at the same time: the second finds it gone.
    """
    state, now = workspace.state, workspace.clock.now()
    if request.method != "POST":
        link = Reminders(state).find_link(_hash(request.token))
        return _page(workspace, link, now, "Is the phone open?", "question")
    with state.transaction():
        link = Reminders(state).find_link(_hash(request.token))
        if link and _is_valid(link, now):
            Reminders(state).mark_link_used(link["token_hash"], now)
            said_by = f"link sent to {link['sent_to']}"
            Signs(state).add([_confirmed(link["channel_id"], now, said_by)])
    return _page(workspace, link, now, "Thank you", "thanks")


def _page(
    workspace: Workspace, link: Row | None, now: datetime, title: str, shows: str
) -> PageAnswer:
    if link is None:
        return _rendered(404, title="Unknown link", shows="unknown")
    channel = Channels(workspace.state).find(link["name"])
    if not _is_valid(link, now) or channel is None:
        return _rendered(410, title="This link no longer works", shows="expired")
    deadline_at = standings(workspace, [channel], now)[channel.channel_id].deadline_at
    deadline = "Nobody knows when the app was last opened."
    if deadline_at:
        deadline = f"Deadline: {local_text(deadline_at, zone_of(workspace, channel))}"
    return _rendered(
        200, title=title, shows=shows, channel=channel.name, phone=channel.phone, deadline=deadline
    )


def _rendered(status: int, **values: str) -> PageAnswer:
    return PageAnswer(status, rendered(__package__, "confirm.html.jinja", **values))


def _is_valid(link: Row, now: datetime) -> bool:
    is_gone = link["used_at"] or link["archived_at"] or now >= from_text(link["expires_at"])
    return not is_gone


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
