"""Where channels stand in the countdown, from everything the state file knows about them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.facts import connected_at, reconnections
from wacoex_cli.channels.model import EvidenceKind, Sign, address_of
from wacoex_cli.channels.store import AccountEvents, Signs
from wacoex_cli.devices.store import Devices
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.inactivity import rule
from wacoex_cli.inactivity.model import Grade, GradedSign

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.model import Interval
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing

_SMALLEST_STEP = timedelta(milliseconds=1)


def standings(
    workspace: Workspace,
    channels: Sequence[Channel],
    now: datetime,
    more: Mapping[int, Sequence[Sign]] | None = None,
) -> dict[int, Standing]:
    """The countdown of each channel by channel_id, with the settings of each.

    `more` is evidence that is not stored, by channel_id. Events that came in are seen once the
    projection of the channels has caught up, which is the caller's to do.
    """
    state = workspace.state
    told = AccountEvents(state).of_channels(channels)
    alone = Devices(state).primary_only_by_channel()
    found = {}
    for one in channels:
        extra = [*reconnections(one, told[one.channel_id]), *(more or {}).get(one.channel_id, ())]
        signs = _signs(state, one, alone.get(one.channel_id, ()), extra, now)
        settings = workspace.settings_for(one.name).inactivity
        found[one.channel_id] = rule.standing(signs, settings, now)
    return found


def zone_of(workspace: Workspace, channel: Channel) -> str:
    """The time zone that a channel's times are shown in: its own, else the configured one, or UTC.

    Only for display: the rule itself counts hours.
    """
    return channel.timezone or workspace.settings_for(channel.name).timezone or "UTC"


def onboarding(channel: Channel, values: Mapping[str, Any], now: datetime) -> list[Sign]:
    """Evidence from `last_onboarded_time`, when it is read at most 14 days after that moment.

    The app took part in connecting. A moment that is older says nothing about now: the channel
    has outlived the deadline that it would set (Meta: phone number).
    """
    moment = connected_at(values)
    if moment is None or not _is_recent(moment, now):
        return []
    address = address_of(
        phone_number_id=channel.phone_number_id,
        phone=channel.phone,
        respondio_channel_id=channel.respondio_channel_id,
    )
    at = to_text(moment)
    return [Sign(address or "", EvidenceKind.CONNECTED, at, "meta", "last_onboarded_time")]


def last_proof(state: State, channel: Channel, now: datetime) -> Sign | None:
    """The newest evidence of the grade proof that is not later than now."""
    told = AccountEvents(state).of_channels([channel])
    addresses = Signs(state).addresses_for(channel)
    until = to_text(now)
    return max(
        (
            *_newest(state, addresses, EvidenceKind.CONFIRMED, until),
            *_newest(state, addresses, EvidenceKind.CONNECTED, until),
            *(one for one in reconnections(channel, told[channel.channel_id]) if one.at <= until),
        ),
        key=lambda one: (one.at, one.kind.value),
        default=None,
    )


def _signs(
    state: State,
    channel: Channel,
    alone: Sequence[Interval],
    extra: Sequence[Sign],
    now: datetime,
) -> list[GradedSign]:
    """What can decide the countdown; of a million echoes only the newest of each grade matters."""
    addresses = Signs(state).addresses_for(channel)
    until = to_text(now + rule.CLOCKS_DIFFER_AT_MOST)
    proofs = [
        *_newest(state, addresses, EvidenceKind.CONFIRMED, until),
        *_newest(state, addresses, EvidenceKind.CONNECTED, until),
        *extra,
    ]
    ahead = Signs(state).newest_after(addresses, until)
    found = [
        *proofs,
        *_echoes(state, addresses, alone, until),
        *_phonebook(state, addresses, proofs, until),
        *([ahead] if ahead else []),
    ]
    return [_graded(one, alone) for one in found]


def _echoes(
    state: State, addresses: Sequence[str], alone: Sequence[Interval], until: str
) -> Iterator[Sign]:
    """The newest echo, and the newest one that only the phone can have sent."""
    newest = list(_newest(state, addresses, EvidenceKind.ECHO, until))
    yield from newest
    if not newest or _graded(newest[0], alone).grade is Grade.STRONG:
        return
    for interval in sorted(alone, key=lambda one: one.start, reverse=True):
        end = to_text(from_text(interval.end) - _SMALLEST_STEP) if interval.end else until
        strong = list(_newest(state, addresses, EvidenceKind.ECHO, min(end, until), interval.start))
        if strong:
            yield from strong
            return


def _phonebook(
    state: State, addresses: Sequence[str], proofs: Iterable[Sign], until: str
) -> Iterator[Sign]:
    """The newest change of the phonebook, unless it came with the first sync."""
    for newest in _newest(state, addresses, EvidenceKind.PHONEBOOK, until):
        first = Signs(state).first_at(addresses, EvidenceKind.PHONEBOOK)
        connected = [one.at for one in proofs if one.kind is EvidenceKind.CONNECTED]
        began = [from_text(one) for one in (first, *connected) if one]
        if not rule.is_of_first_sync(from_text(newest.at), *began):
            yield newest


def _newest(
    state: State,
    addresses: Sequence[str],
    kind: EvidenceKind,
    until: str,
    since: str | None = None,
) -> Iterator[Sign]:
    found = Signs(state).newest(addresses, kind, until=until, since=since)
    if found:
        yield found


def _graded(sign: Sign, alone: Sequence[Interval]) -> GradedSign:
    name, grade = rule.grade(sign.kind, sign.at, alone)
    return GradedSign(name, grade, from_text(sign.at), sign.source, sign.said_by)


def _is_recent(moment: datetime, now: datetime) -> bool:
    return -rule.CLOCKS_DIFFER_AT_MOST <= now - moment <= rule.DISCONNECTS_AFTER
