"""What a notice says: which phone, until when, what to do, how to confirm it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import from_text, local_text
from wacoex_cli.inactivity.model import NoticeKind, Stage
from wacoex_cli.terminal.render import relative

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from wacoex_cli.channels.facts import Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.inactivity.model import Standing


@dataclass(frozen=True)
class Message:
    """A notice as it is sent: plain text."""

    kind: NoticeKind
    stage: Stage
    title: str
    body: str


@dataclass(frozen=True)
class Occasion:
    """Everything a notice is about. `zone` is the channel's own, `link` confirms once."""

    channel: Channel
    standing: Standing
    connection: Connection
    zone: str
    now: datetime
    kind: NoticeKind = NoticeKind.STAGE
    link: str | None = None
    link_expires_at: datetime | None = None

    def because(self, kind: NoticeKind) -> Occasion:
        """The same, with the reason to send a notice."""
        return replace(self, kind=kind)

    def confirmed_by(self, link: str, expires_at: datetime) -> Occasion:
        """The same, with a link to confirm the phone."""
        return replace(self, link=link, link_expires_at=expires_at)


def compose(on: Occasion) -> Message:
    """The notice for an occasion."""
    lines = [*_about(on), "", *_body(on)]
    return Message(on.kind, on.standing.stage, _title(on), "\n".join(lines))


def _title(on: Occasion) -> str:
    name, standing = on.channel.name, on.standing
    if on.kind is NoticeKind.REMOVED:
        return f"{name}: the channel is no longer connected"
    if on.kind is NoticeKind.RECOVERY:
        return f"{name}: phone confirmed"
    if standing.act_by_at is None:
        return f"{name}: nobody knows when the app was last opened"
    if standing.stage is Stage.OVERDUE:
        return f"{name}: overdue, open the WhatsApp Business app now"
    return f"{name}: open the WhatsApp Business app by {local_text(standing.act_by_at, on.zone)}"


def _about(on: Occasion) -> Iterator[str]:
    yield f"Channel: {on.channel.name} ({on.channel.phone})"
    if on.channel.owner:
        yield f"Owner: {on.channel.owner}"
    if on.kind in {NoticeKind.STAGE, NoticeKind.REPEAT}:
        yield f"Stage: {on.standing.stage.value}"


def _body(on: Occasion) -> Iterator[str]:
    if on.kind is NoticeKind.REMOVED:
        yield from _removed(on)
    elif on.kind is NoticeKind.RECOVERY:
        deadline = on.standing.deadline_at
        until = f", next deadline {local_text(deadline, on.zone)}" if deadline else ""
        yield f"Phone confirmed{until}. There is nothing to do now."
    else:
        yield from _countdown(on)
        yield from _what_to_do(on)


def _removed(on: Occasion) -> Iterator[str]:
    known = on.connection
    said = ", ".join(
        f"{word} {value}"
        for word, value in (
            ("reason", known.reason),
            ("initiated by", known.initiated_by),
        )
        if value
    )
    when = local_text(from_text(known.since), on.zone) if known.since else "at an unknown time"
    yield f"The partner was removed from this number: {when}, {said or 'no reason was given'}."
    yield "Messages no longer reach it. Do not connect it again before you have read what to do:"
    yield f"wacoex status {on.channel.name}"
    yield "wacoex explain WX203"


def _countdown(on: Occasion) -> Iterator[str]:
    standing = on.standing
    if standing.counted is None or standing.deadline_at is None or standing.act_by_at is None:
        yield "There is no trusted evidence that the app was ever opened, so the countdown"
        yield "cannot run. After about 14 days without the app WhatsApp disconnects the channel."
        return
    opened = local_text(standing.counted.at, on.zone)
    yield f"Last opened: {opened}, {relative(standing.counted.at, on.now)}, as far as is known"
    yield f"Act by: {_until(standing.act_by_at, on)}"
    yield f"Deadline: {_until(standing.deadline_at, on)}"
    if standing.stage is Stage.OVERDUE:
        yield "WhatsApp may have disconnected the channel already, or may do so at any moment."
    else:
        yield "After the deadline WhatsApp disconnects the channel."


def _until(moment: datetime, on: Occasion) -> str:
    return f"{local_text(moment, on.zone)}, {relative(moment, on.now)}"


def _what_to_do(on: Occasion) -> Iterator[str]:
    yield ""
    yield "What to do:"
    yield "1. Take the primary phone, open the WhatsApp Business app and keep it online for a"
    yield "   minute. A linked device, messages that come in and broadcasts do not count."
    yield f"2. Then confirm it: wacoex reminder confirm {on.channel.name}"
    if on.link and on.link_expires_at:
        until = local_text(on.link_expires_at, on.zone)
        yield f"   Or open this link, which works once and until {until}:"
        yield f"   {on.link}"
