"""WX304: a word that was sent from a device never came back."""

from __future__ import annotations

import pytest

from wacoex_cli.devices.checks import check_probes
from wacoex_cli.devices.model import Device, DeviceKind, DeviceState
from wacoex_cli.devices.rule import Answer, WordOutcome
from wacoex_cli.findings.model import Severity

BEFORE, ASKED, AFTER = (f"2026-11-0{day}T12:00:00.000Z" for day in (5, 6, 7))


def device(kind: DeviceKind = DeviceKind.WEB, *, linked_at: str = BEFORE) -> Device:
    return Device(1, 1, kind, "desk", linked_at)


def answer(
    outcome: WordOutcome = WordOutcome.NOT_SEEN, *, device_id: int = 1, heard: bool = True
) -> Answer:
    return Answer(device_id, "babadobu", outcome, ASKED, heard)


def ids(one: Device, *answers: Answer, state: DeviceState = DeviceState.LINKED) -> list[str]:
    return [found.id for found in check_probes([(one, state)], answers, "shop")]


def test_wx304_names_the_device_the_word_and_what_to_do() -> None:
    [found] = check_probes([(device(), DeviceState.LINKED)], [answer()], "shop")

    assert (found.id, found.severity, found.channel) == ("WX304", Severity.WARNING, "shop")
    assert found.evidence[0].observed_at == ASKED
    assert "`wacoex device relink 1`" in " ".join(found.remedy)


@pytest.mark.parametrize("outcome", [WordOutcome.SEEN, WordOutcome.NOT_SENT])
def test_no_wx304_for_a_word_that_came_back_or_was_not_sent(outcome: WordOutcome) -> None:
    assert ids(device(), answer(outcome)) == []


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (device(DeviceKind.DESKTOP_WINDOWS), DeviceState.LINKED),
        (device(DeviceKind.WEAR_OS), DeviceState.LINKED),
        (device(linked_at=AFTER), DeviceState.LINKED),
        (device(), DeviceState.UNLINKED),
    ],
)
def test_no_wx304_where_the_silence_says_nothing(one: Device, state: DeviceState) -> None:
    assert ids(one, answer(), state=state) == []
    assert ids(one, answer(device_id=2), state=state) == []


def test_the_phone_itself_can_be_unheard() -> None:
    [found] = check_probes([], [answer(device_id=0, heard=False)], "shop")

    assert "sent from the phone" in found.evidence[0].text
    assert "wacoex partner check" in found.remedy[0]
