"""Where the ids of the state file differ from what respond.io and Meta list. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.partners.model import Drift, DriftKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.partners.model import Listed
    from wacoex_cli.platforms.meta_answers import ListedNumber
    from wacoex_cli.platforms.respondio_replies import WorkspaceChannel

_RESPONDIO_ID = "respondio_channel_id"
# Some countries write a number with a digit more or less between country code and subscriber.
_SAME_END = 8


def at_respondio(
    channel: Channel, listed: Listed, others: Collection[int | None] = ()
) -> list[Drift]:
    """How the stored respond.io channel differs from the workspace's list.

    `others` are the ids of our other channels: what belongs to them is not offered instead.
    """
    number = channel.respondio_channel_id
    if number is None or listed.channels is None:
        return []
    by_id = {one.id: one for one in listed.channels}
    if number in by_id:
        return list(_beside(channel, by_id[number], listed))
    candidate = _candidate(channel, listed, others)
    text = f"channel {number} is not in the respond.io workspace"
    if candidate is None:
        return [_respondio(DriftKind.GONE, number, text, listed)]
    was_its_own = str(candidate.id) in channel.former(_RESPONDIO_ID)
    which = "an earlier id of this channel" if was_its_own else "no channel of wacoex"
    text = f"{text}, but {_named(candidate)} is, {which}"
    return [_respondio(DriftKind.ANOTHER, number, text, listed, str(candidate.id))]


def at_meta(
    channel: Channel,
    values: Mapping[str, Any],
    numbers: Sequence[ListedNumber] | None,
    observed_at: str,
) -> list[Drift]:
    """How the stored number differs from what Meta shows for its phone_number_id.

    `values` are facts of the number, `numbers` all that Meta lists in the WABA, where it was
    asked (Meta: phone number).
    """
    stored = channel.phone_number_id
    if stored is None:
        return []
    ids = {number.phone_number_id: number.shown for number in numbers or ()}
    shown = ids.get(stored) or str(values.get("display_phone_number") or "")
    if numbers is not None and stored not in ids:
        return [_not_listed(channel, stored, ids, observed_at)]
    if shown and not _is_same(shown, channel.phone):
        text = f"Meta shows {stored} as {shown}, the state file as {channel.phone}"
        return [Drift(DriftKind.ANOTHER, "phone", channel.phone, text, "meta", observed_at)]
    return []


def _not_listed(channel: Channel, stored: str, ids: Mapping[str, str], observed_at: str) -> Drift:
    own = next((one for one, shown in ids.items() if _is_same(shown, channel.phone)), None)
    text = f"phone_number_id {stored} is not in the account {channel.waba_id}"
    if own is None:
        return Drift(DriftKind.GONE, "phone_number_id", stored, text, "meta", observed_at)
    text = f"{text}: there {channel.phone} is {own}"
    return Drift(DriftKind.ANOTHER, "phone_number_id", stored, text, "meta", observed_at, own)


def _beside(channel: Channel, own: WorkspaceChannel, listed: Listed) -> Iterator[Drift]:
    if own.source and not own.is_whatsapp:
        text = f"respond.io has {_named(own)}, which is no WhatsApp channel"
        yield _respondio(DriftKind.ANOTHER, own.id, text, listed)
    former = set(channel.former(_RESPONDIO_ID))
    for one in listed.channels or ():
        if str(one.id) in former:
            text = f"{_named(one)} is still in the respond.io workspace: an earlier one"
            yield _respondio(DriftKind.FORMER, one.id, text, listed)


def _candidate(
    channel: Channel, listed: Listed, others: Collection[int | None]
) -> WorkspaceChannel | None:
    """The one channel that may have taken the place; None when there are several or none."""
    free = [one for one in listed.channels or () if one.is_whatsapp and one.id not in others]
    former = [one for one in free if str(one.id) in channel.former(_RESPONDIO_ID)]
    found = former or free
    return found[0] if len(found) == 1 else None


def _respondio(
    kind: DriftKind, number: int, text: str, listed: Listed, use: str | None = None
) -> Drift:
    return Drift(kind, _RESPONDIO_ID, str(number), text, "respondio", listed.observed_at, use)


def _named(one: WorkspaceChannel) -> str:
    source = f", {one.source}" if one.source else ""
    return f"channel {one.id} ({one.name or 'no name'}{source})"


def _is_same(shown: str, phone: str) -> bool:
    ours, theirs = _digits(phone), _digits(shown)
    return ours[-_SAME_END:] == theirs[-_SAME_END:]


def _digits(text: str) -> str:
    return "".join(one for one in text if one.isdigit())
