"""Findings about the list of companions (WX107, WX301 to WX304). Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.devices.model import MOST_LINKED, DeviceState
from wacoex_cli.devices.rule import THE_PHONE, WordOutcome, relink_from
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from wacoex_cli.devices.model import Break, Device
    from wacoex_cli.devices.rule import ProbeAnswer

UNLINKED_AFTER = timedelta(days=30)
"""A companion that is not used for about so long is unlinked (Meta: account_update)."""
WARNED_AFTER = timedelta(days=25)
_SOURCE = "device list"
_WAY_IN = (
    "see whether the partner is still connected: `wacoex partner check`",
    "see whether anything can come in: `wacoex events subscribe --check`, and that"
    " `wacoex events listen` runs; or read at respond.io: `wacoex events pull`",
)


def check_devices(
    listed: Sequence[tuple[Device, DeviceState]],
    last_break: Break | None,
    channel: str,
    now: datetime,
) -> list[Finding]:
    """Everything that is wrong with the companions of a channel, each with its state."""
    linked = [device for device, state in listed if state is DeviceState.LINKED]
    cut_off = [device for device, state in listed if state is not DeviceState.LINKED]
    return [
        *_check_unused(linked, channel, now),
        *check_supported((device for device, _ in listed), channel),
        *_check_number(linked, channel, now),
        *(_check_cut_off(cut_off, last_break, channel, now) if last_break else ()),
    ]


def check_supported(devices: Iterable[Device], channel: str) -> list[Finding]:
    """WX301: companions whose messages never reach the partner."""
    found = [one for one in devices if not one.kind.is_supported]
    if not found:
        return []
    return [
        Finding(
            id="WX301",
            severity=Severity.WARNING,
            channel=channel,
            title="an unsupported companion is linked: what is sent there reaches no partner",
            evidence=_evidence(found),
            remedy=(
                "answer customers on the phone, in WhatsApp Web in a browser, or in the inbox",
                "log it out on the phone: WhatsApp Business app, Settings, Linked devices",
                *(f"then `wacoex device remove {one.device_id}`" for one in found),
            ),
            verify=_verify(channel),
        )
    ]


def _check_number(linked: Sequence[Device], channel: str, now: datetime) -> list[Finding]:
    if len(linked) <= MOST_LINKED:
        return []
    return [
        Finding(
            id="WX302",
            severity=Severity.WARNING,
            channel=channel,
            title=f"{len(linked)} companions are listed as linked, WhatsApp allows {MOST_LINKED}",
            evidence=_evidence(linked),
            remedy=(
                "compare with the phone: WhatsApp Business app, Settings, Linked devices",
                "take off the list what is not there: `wacoex device remove ID`",
            ),
            verify=_verify(channel),
        )
    ]


def _check_cut_off(
    cut_off: Sequence[Device], last_break: Break, channel: str, now: datetime
) -> list[Finding]:
    if not cut_off:
        return []
    since = relink_from(last_break)
    is_waiting = now < since
    when = f"from {to_text(since)} on" if is_waiting else "now"
    return [
        Finding(
            id="WX303",
            severity=Severity.INFO if is_waiting else Severity.WARNING,
            channel=channel,
            title=f"companions were unlinked by {last_break.because}: link them again {when}",
            evidence=(
                Evidence(
                    f"{last_break.because}; unlinked: {', '.join(map(_name, cut_off))}",
                    last_break.source,
                    last_break.at,
                ),
            ),
            remedy=(
                "link each again: WhatsApp Business app on the phone, Settings, Linked devices;"
                " before the sync is done that may fail",
                *(f"then `wacoex device relink {one.device_id}`" for one in cut_off),
                "one that is no longer used: `wacoex device remove ID`",
            ),
            verify=_verify(channel),
        )
    ]


def _check_unused(linked: Sequence[Device], channel: str, now: datetime) -> list[Finding]:
    unused = [
        one for one in linked if one.last_used_at and _age(one.last_used_at, now) >= WARNED_AFTER
    ]
    if not unused:
        return []
    is_over = any(_age(str(one.last_used_at), now) >= UNLINKED_AFTER for one in unused)
    return [
        Finding(
            id="WX107",
            severity=Severity.WARNING,
            channel=channel,
            title="a companion was not used for 30 days: WhatsApp has probably unlinked it"
            if is_over
            else "a companion was not used for almost 30 days, as far as is known",
            evidence=tuple(
                Evidence(f"{_name(one)} was last known to be used", _SOURCE, str(one.last_used_at))
                for one in unused
            ),
            remedy=(
                "open WhatsApp on it, and link it again if it asks for that",
                *(f"say so: `wacoex device relink {one.device_id}`" for one in unused),
                "one that nobody uses: log it out on the phone, then `wacoex device remove ID`",
            ),
            verify=_verify(channel),
        )
    ]


def check_probes(
    listed: Sequence[tuple[Device, DeviceState]], answers: Sequence[ProbeAnswer], channel: str
) -> list[Finding]:
    """WX304: a word that was sent from a supported device, or from the phone, never came back.

    Says nothing about unsupported kinds (WX301), about a device that was linked anew since, and
    about one that is not linked. Where nothing at all came in, the way in is looked at first.
    """
    linked = {one.device_id: one for one, state in listed if state is DeviceState.LINKED}
    unseen = [
        one
        for one in answers
        if one.outcome is WordOutcome.NOT_SEEN and _can_be_seen(linked.get(one.device_id), one)
    ]
    if not unseen:
        return []
    heard = [one for one in unseen if one.heard]
    found = [linked[one.device_id] for one in unseen if one.device_id != THE_PHONE]
    return [
        Finding(
            id="WX304",
            severity=Severity.WARNING,
            channel=channel,
            title="a word sent as a probe never came back: what is sent from there is not heard"
            if heard
            else "no word sent as a probe came back, and nothing else did",
            evidence=tuple(
                Evidence(
                    f"`{one.word}`, sent from {_name(linked.get(one.device_id))},"
                    f" never came back; {'other echoes did' if one.heard else 'no echo did'}",
                    "probe",
                    one.asked_at,
                )
                for one in unseen
            ),
            remedy=(
                *(() if heard else _WAY_IN),
                "on the phone, see whether the word stands in the chat: if not, the device is no"
                " longer linked",
                *(
                    f"log {_name(one)} out on the phone, link it again, then"
                    f" `wacoex device relink {one.device_id}`"
                    for one in found
                ),
                "until then answer customers from a device that is visible, or in the inbox",
            ),
            verify=f"wacoex device probe -c {channel}",
        )
    ]


def _can_be_seen(device: Device | None, answer: ProbeAnswer) -> bool:
    if answer.device_id == THE_PHONE:
        return True
    is_same_link = device is not None and device.newest_link_at <= answer.asked_at
    return device is not None and device.kind.is_supported and is_same_link


def _age(moment: str, now: datetime) -> timedelta:
    return now - from_text(moment)


def _evidence(devices: Iterable[Device]) -> tuple[Evidence, ...]:
    return tuple(Evidence(_name(one), _SOURCE, one.newest_link_at) for one in devices)


def _name(device: Device | None) -> str:
    if device is None:
        return "the phone"
    return f"{device.device_id} {device.kind.value} `{device.name}`"


def _verify(channel: str) -> str:
    return f"wacoex device list -c {channel}"
