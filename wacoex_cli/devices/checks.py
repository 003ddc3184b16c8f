"""Findings about the list of companions (WX107, WX301 to WX304). Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.devices.model import MOST_LINKED, THE_PHONE, DeviceState, WordOutcome, relink_from
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from wacoex_cli.devices.model import Break, Device, ProbeAnswer

UNLINKED_AFTER = timedelta(days=30)
"""A companion that is not used for about so long is unlinked (Meta: account_update)."""
WARNED_AFTER = timedelta(days=25)
_SOURCE = "device list"


def check_devices(
    listed: Sequence[tuple[Device, DeviceState]],
    last_break: Break | None,
    channel: str,
    now: datetime,
) -> list[Finding]:
    """Everything that is wrong with the companions of a channel, each with its state."""
    linked = [device for device, state in listed if state is DeviceState.LINKED]
    cut_off = [device for device, state in listed if state is not DeviceState.LINKED]
    found = _check_unused(linked, channel, now)
    found += check_supported((device for device, _ in listed), channel)
    if len(linked) > MOST_LINKED:
        evidence, count = _evidence(linked), len(linked)
        found.append(
            Finding("WX302", Severity.WARNING, channel, evidence, linked=count, most=MOST_LINKED)
        )
    if last_break and cut_off:
        since, because = relink_from(last_break), last_break.because
        unlinked = f"unlinked: {', '.join(_name(device) for device in cut_off)}"
        found.append(
            Finding(
                "WX303",
                Severity.INFO if now < since else Severity.WARNING,
                channel,
                (
                    Evidence(because, last_break.source, last_break.at),
                    Evidence(unlinked, "device list", last_break.at),
                ),
                because=because,
                when=f"from {to_text(since)} on" if now < since else "now",
                devices=[device.device_id for device in cut_off],
            )
        )
    return found


def check_supported(devices: Iterable[Device], channel: str) -> list[Finding]:
    """WX301: companions whose messages never reach the partner."""
    found = [device for device in devices if not device.kind.is_supported]
    if not found:
        return []
    ids = [device.device_id for device in found]
    return [Finding("WX301", Severity.WARNING, channel, _evidence(found), devices=ids)]


def _check_unused(linked: Sequence[Device], channel: str, now: datetime) -> list[Finding]:
    unused = {
        device.device_id: (age, device)
        for device in linked
        if device.last_used_at and (age := now - from_text(device.last_used_at)) >= WARNED_AFTER
    }
    if not unused:
        return []
    is_over = any(age >= UNLINKED_AFTER for age, _ in unused.values())
    evidence = [
        Evidence(f"{_name(device)} was last known to be used", _SOURCE, str(device.last_used_at))
        for _, device in unused.values()
    ]
    case, ids = "over" if is_over else "almost", list(unused)
    return [Finding("WX107", Severity.WARNING, channel, evidence, case=case, devices=ids)]


def check_probes(
    listed: Sequence[tuple[Device, DeviceState]], answers: Sequence[ProbeAnswer], channel: str
) -> list[Finding]:
    """WX304: a word that was sent from a supported device, or from the phone, never came back.

    Says nothing about unsupported kinds (WX301), about a device that was linked again since, and
    about one that is not linked. Where nothing at all came in, the way in is looked at first.
    """
    linked = {device.device_id: device for device, state in listed if state is DeviceState.LINKED}
    unseen = [
        answer
        for answer in answers
        if answer.outcome is WordOutcome.NOT_SEEN
        and _can_be_seen(linked.get(answer.device_id), answer)
    ]
    if not unseen:
        return []
    is_heard = any(answer.heard for answer in unseen)
    found = [linked[answer.device_id] for answer in unseen if answer.device_id != THE_PHONE]
    evidence = [
        Evidence(
            f"`{answer.word}`, sent from {_name(linked.get(answer.device_id))},"
            f" never came back; {'other echoes did' if answer.heard else 'no echo did'}",
            "probe",
            answer.asked_at,
        )
        for answer in unseen
    ]
    return [
        Finding(
            "WX304",
            Severity.WARNING,
            channel,
            evidence,
            case="one_way" if is_heard else "silence",
            is_heard=is_heard,
            names=[_name(device) for device in found],
            devices=[device.device_id for device in found],
        )
    ]


def _can_be_seen(device: Device | None, answer: ProbeAnswer) -> bool:
    if answer.device_id == THE_PHONE:
        return True
    is_same_link = device is not None and device.newest_link_at <= answer.asked_at
    return device is not None and device.kind.is_supported and is_same_link


def _evidence(devices: Iterable[Device]) -> tuple[Evidence, ...]:
    return tuple(Evidence(_name(device), _SOURCE, device.newest_link_at) for device in devices)


def _name(device: Device | None) -> str:
    if device is None:
        return "the phone"
    return f"{device.device_id} {device.kind.value} `{device.name}`"
