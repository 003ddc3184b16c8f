"""A person says that the app was open on the phone: `reminder confirm`, or a one-time link.

A link holds a random token, of which only the hash is kept. Showing its page changes nothing: mail
scanners and previews follow links.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from wacoex_cli.channels.facts import CHANNELS, FACTS, stored_facts
from wacoex_cli.channels.model import (
    BUSINESS_NAME,
    EvidenceKind,
    Sign,
    channel_address,
)
from wacoex_cli.channels.registry import choose_channel
from wacoex_cli.channels.store import Channels, Signs
from wacoex_cli.errors import RefusedError, UsageError
from wacoex_cli.events.consumers import PageAnswer, PageRequest, WebPage
from wacoex_cli.events.store import catch_up
from wacoex_cli.foundation.clock import calendar_text, from_text, local_text, moment_from, to_text
from wacoex_cli.foundation.masking import rendered
from wacoex_cli.foundation.workspace import known_login_name
from wacoex_cli.inactivity.checks import last_proof, standings, zone_of
from wacoex_cli.inactivity.rule import tomorrow_morning
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
_LINK_SENT_TO = "link sent to "
_TITLES = {
    "question": "Is WhatsApp open on the phone?",
    "thanks": "Thank you, it is confirmed",
    "later": "You will be reminded tomorrow",
    "used": "There is nothing to do",
    "expired": "This link no longer works",
    "unknown": "Unknown link",
}


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
        """What was kept, and the next deadline in the channel's own zone."""
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


def chosen(workspace: Workspace, invocation: Invocation, names: Sequence[str]) -> list[Channel]:
    """The channels of these names, or the one that is meant when none is named.

    Raises UsageError for a channel that is not known or archived, and when the choice is open.
    """
    if not names:
        return [choose_channel(workspace, invocation)]
    return [choose_channel(workspace, replace(invocation, channel=name)) for name in names]


def confirm(
    workspace: Workspace,
    channels: Sequence[Channel],
    at: str | None,
    said_by: str | None,
    *,
    force: bool,
    dry_run: bool,
) -> list[Confirmation]:
    """Keep that somebody says the app was open at that moment; the same twice changes nothing.

    `at` is a moment in each channel's zone or with an offset, None for now; `said_by` a name, None
    for the login name. Of several channels all are confirmed, or none.

    Raises:
        UsageError: the moment is none or still to come, or there is no name.
        RefusedError: there is a newer proof, and no `force`.
    """
    state, now = workspace.state, workspace.clock.now()
    name = _checked_name(said_by)
    catch_up(state, [CHANNELS], workspace.clock)
    signs = {}
    for channel in channels:
        moment = _moment(workspace, channel, at, now, force=force)
        signs[channel.channel_id] = _confirmed(channel.channel_id, moment, name)
    new = [sign for sign in signs.values() if _is_new(state, sign)]
    if new and not dry_run:
        with state.transaction():
            Signs(state).add(new)
    # A dry run counts what would be kept, so that it shows the deadline that would follow.
    extra = {number: [sign] for number, sign in signs.items()}
    standing = standings(workspace, channels, now, extra)
    facts = stored_facts(state, channels, now, FACTS)
    done = []
    for channel in channels:
        number = channel.channel_id
        sign, connection = signs[number], facts[number].connection
        if connection.is_lost:
            workspace.warn(
                f"channel `{channel.name}` is not connected any more:"
                f" `wacoex status {channel.name}`"
            )
        done.append(
            Confirmation(
                channel,
                from_text(sign.at),
                name,
                sign in new,
                dry_run,
                standing[number],
                connection,
                zone_of(workspace, channel),
                now,
            )
        )
    return done


def _moment(
    workspace: Workspace, channel: Channel, at: str | None, now: datetime, *, force: bool
) -> datetime:
    """When the app was open, as somebody says. Raises UsageError and RefusedError."""
    zone = zone_of(workspace, channel)
    moment = now if at is None else moment_from(at, zone)
    if moment > now:
        raise UsageError(
            f"{local_text(moment, zone)} is in the future",
            hint="give the moment at which the app was open, or leave `--at` out for now",
            code="future",
        )
    proof = None if force else last_proof(workspace.state, channel, now)
    if proof and to_text(moment) < proof.at:
        newest = local_text(from_text(proof.at), zone)
        how = f"by {proof.said_by}" if proof.kind is EvidenceKind.CONFIRMED else "when connected"
        raise RefusedError(
            f"channel {channel.name} has a newer proof than {local_text(moment, zone)}:"
            f" {newest}, {how}",
            hint="nothing was changed; `--force` keeps the older one too, the newer proof decides",
            code="older_than_proof",
        )
    return moment


def _is_new(state: State, sign: Sign) -> bool:
    stored = Signs(state).newest([sign.address], sign.kind, since=sign.at, until=sign.at)
    return stored is None or stored.said_by != sign.said_by


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
    """Without a valid link nothing is said about its channel, only who used the link and when.

    A link confirms once, also when it is used twice at the same time: the second finds it used.
    """
    state, now = workspace.state, workspace.clock.now()
    token_hash = _hash(request.token)
    if request.method != "POST":
        return _page(workspace, Reminders(state).find_link(token_hash), now, "question")
    shows = "later" if request.form.get("answer") == "later" else "thanks"
    with state.transaction():
        link = Reminders(state).find_link(token_hash)
        if link and _is_valid(link, now):
            if shows == "later":
                Reminders(state).remind_again(token_hash, _tomorrow(workspace, link, now))
            else:
                Reminders(state).mark_link_used(token_hash, now)
                Signs(state).add([_confirmed(link["channel_id"], now, _said_by(link))])
    return _page(workspace, link, now, shows)


def _said_by(link: Row) -> str:
    return f"{_LINK_SENT_TO}{link['sent_to']}"


def _whose(said_by: str) -> str:
    return f"the {said_by}" if said_by.startswith(_LINK_SENT_TO) else said_by


def _tomorrow(workspace: Workspace, link: Row, now: datetime) -> datetime:
    channel = Channels(workspace.state).find(link["name"])
    zone = zone_of(workspace, channel) if channel else "UTC"
    return tomorrow_morning(now, ZoneInfo(zone))


def _page(workspace: Workspace, link: Row | None, now: datetime, shows: str) -> PageAnswer:
    """The page of a link, as it was before this request used it."""
    channel = Channels(workspace.state).find(link["name"]) if link else None
    if link is None or channel is None:
        return _rendered(404, shows="unknown")
    zone = zone_of(workspace, channel)
    if link["used_at"] and not link["archived_at"]:
        by, at = _whose(_said_by(link)), from_text(link["used_at"])
        return _rendered(410, shows="used", by=by, at=calendar_text(at, zone), zone=zone)
    if not _is_valid(link, now):
        return _rendered(410, shows="expired")
    deadline_at = standings(workspace, [channel], now)[channel.channel_id].deadline_at
    facts = stored_facts(workspace.state, [channel], now, [BUSINESS_NAME])[channel.channel_id]
    since = Signs(workspace.state).newest(
        [channel_address(channel.channel_id)],
        EvidenceKind.CONFIRMED,
        since=link["created_at"],
        until=to_text(now),
    )
    remind_at = tomorrow_morning(now, ZoneInfo(zone))
    return _rendered(
        200,
        shows=shows,
        channel=channel.name,
        business=facts.values.get(BUSINESS_NAME),
        phone=channel.phone,
        zone=zone,
        deadline=calendar_text(deadline_at, zone) if deadline_at else None,
        how_far=relative(deadline_at, now) if deadline_at else None,
        is_overdue=deadline_at is not None and deadline_at <= now,
        is_tomorrow_too_late=deadline_at is not None and deadline_at <= remind_at,
        remind=calendar_text(remind_at, zone),
        expires=calendar_text(from_text(link["expires_at"]), zone),
        by=_whose(since.said_by) if since else None,
        at=calendar_text(from_text(since.at), zone) if since else None,
    )


def _rendered(status: int, *, shows: str, **values: object) -> PageAnswer:
    page = rendered(__package__, "confirm.html.jinja", title=_TITLES[shows], shows=shows, **values)
    return PageAnswer(status, page)


def _is_valid(link: Row, now: datetime) -> bool:
    is_gone = link["used_at"] or link["archived_at"] or now >= from_text(link["expires_at"])
    return not is_gone


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
