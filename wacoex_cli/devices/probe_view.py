"""A probe as people and scripts see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.devices import view
from wacoex_cli.devices.model import DeviceState
from wacoex_cli.devices.probe_rule import THE_PHONE, WordOutcome, is_silence_expected, visibility
from wacoex_cli.findings.model import finding_text
from wacoex_cli.terminal.render import ForPerson, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.devices.model import Device
    from wacoex_cli.devices.probe_rule import Probe, ProbeWord
    from wacoex_cli.devices.registry import Inventory
    from wacoex_cli.findings.model import Finding

PROBE_FINDINGS = frozenset({"WX301", "WX304"})
_PHONE = "the phone itself"
_COLUMNS = ("device", "word", "result")
_WORDS = {
    WordOutcome.SEEN: "visible",
    WordOutcome.NOT_SEEN: "not seen",
    WordOutcome.NOT_SENT: "not sent",
}


def name_of(device: Device | None) -> str:
    """`companion 2 (web, front desk)`, or the phone."""
    return _PHONE if device is None else view.described(device)


def instructions(probe: Probe, devices: Sequence[Device]) -> Iterator[str]:
    """What to send from where, a line for each word that has not come back."""
    known = {one.device_id: one for one in devices}
    for word in probe.waiting:
        yield (
            f"send  {word.word}  from {name_of(known.get(word.device_id))} to {probe.contact},"
            " as it stands"
        )


def not_probed(found: Inventory) -> Iterator[str]:
    """The companions that have to be linked again before they can be probed."""
    for device, state in found.devices:
        if state is not DeviceState.LINKED:
            yield f"{view.described(device)} is {state.value}, so it is left out"


def probe_data(
    probe: Probe, found: Inventory, channel: str, findings: Sequence[Finding]
) -> dict[str, object]:
    """The `data` of `device probe`."""
    words = {one.device_id: one for one in probe.words}
    phone = words[THE_PHONE]
    return {
        "channel": channel,
        "contact": probe.contact,
        "began_at": probe.began_at,
        "ended_at": probe.ended_at,
        "heard": probe.heard,
        "phone": {
            "visible": visibility(phone, heard=bool(probe.heard)),
            **_word_data(phone),
        },
        "devices": [
            {**view.device_data(device, state), **_word_data(words.get(device.device_id))}
            for device, state in found.devices
        ],
        "findings": [one.to_json() for one in findings],
    }


def probe_text(
    probe: Probe, found: Inventory, findings: Sequence[Finding], now: datetime
) -> Iterator[str | Table | ForPerson]:
    """Visible or not seen, for each device; for a person also what follows from it."""
    known = {device.device_id: device for device, _ in found.devices}
    rows = [
        (name_of(known.get(one.device_id)), one.word, _WORDS[one.outcome])
        for one in probe.words
        if one.outcome is not None
    ]
    yield Table(_COLUMNS, rows)
    for word in probe.words:
        device = known.get(word.device_id)
        if device is not None and is_silence_expected(device, word):
            yield ForPerson(
                f"{view.described(device)}: to be expected, what is sent on {device.kind.value}"
                " reaches no partner"
            )
    if not probe.heard:
        yield ForPerson("no echo came in at all meanwhile, so nothing is learnt about any device")
    for finding in findings:
        yield ForPerson(f"\n{finding_text(finding, now)}")


def _word_data(word: ProbeWord | None) -> dict[str, object]:
    return {
        "word": word.word if word else None,
        "outcome": word.outcome.value if word and word.outcome else None,
        "seen_at": word.seen_at if word else None,
    }
