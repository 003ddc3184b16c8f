"""What is wrong with the companions: WX107, WX301, WX302, WX303."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wacoex_cli.devices.checks import check_devices
from wacoex_cli.devices.model import Break, Device, DeviceKind, DeviceState
from wacoex_cli.devices.rule import state_of
from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.foundation.clock import to_text

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def device(number: int = 1, kind: DeviceKind = DeviceKind.WEB, *, unused_days: float = 1) -> Device:
    moment = to_text(NOW - timedelta(days=unused_days))
    return Device(number, 1, kind, f"desk {number}", moment, last_used_at=moment)


def findings(*devices: Device, cut: Break | None = None) -> list[Finding]:
    listed = [(one, state_of(one, cut, NOW)) for one in devices]
    return check_devices(listed, cut, "shop", NOW)


def ids(*devices: Device, cut: Break | None = None) -> list[str]:
    return [one.id for one in findings(*devices, cut=cut)]


def test_supported_companions_in_use_are_no_finding() -> None:
    assert ids() == []
    assert ids(*(device(number) for number in range(1, 5))) == []


@pytest.mark.parametrize("kind", [DeviceKind.DESKTOP_WINDOWS, DeviceKind.WEAR_OS])
def test_windows_and_wear_os_are_not_supported(kind: DeviceKind) -> None:
    [found] = findings(device(1), device(2, kind))

    assert (found.id, found.severity) == ("WX301", Severity.WARNING)
    assert [one.text for one in found.evidence] == [f"2 {kind.value} `desk 2`"]
    assert "then `wacoex device remove 2`" in found.remedy


def test_all_other_kinds_are_supported() -> None:
    others = set(DeviceKind) - {DeviceKind.DESKTOP_WINDOWS, DeviceKind.WEAR_OS}

    assert all(kind.is_supported for kind in others)


def test_a_fifth_linked_companion_cannot_be() -> None:
    [found] = findings(*(device(number) for number in range(1, 6)))

    assert (found.id, found.severity) == ("WX302", Severity.WARNING)
    assert found.title == "5 companions are listed as linked, WhatsApp allows 4"


@pytest.mark.parametrize(("days", "is_told"), [(24.9, False), (25, True), (31, True)])
def test_a_companion_unused_for_almost_thirty_days_is_told(days: float, is_told: bool) -> None:
    assert ids(device(unused_days=days)) == (["WX107"] if is_told else [])


def test_after_thirty_days_it_is_probably_gone() -> None:
    [found] = findings(device(unused_days=30))

    assert found.severity is Severity.WARNING
    assert "probably unlinked" in found.title
    assert "say so: `wacoex device relink 1`" in found.remedy


def test_one_that_nobody_knows_the_use_of_is_not_told() -> None:
    silent = Device(1, 1, DeviceKind.WEB, "web", to_text(NOW - timedelta(days=300)))

    assert ids(silent) == []


@pytest.mark.parametrize(
    ("hours", "severity", "when"),
    [
        (1, Severity.INFO, "link them again from 2026-12-01T11:00:00.000Z on"),
        (24, Severity.WARNING, "link them again now"),
    ],
)
def test_unlinked_companions_are_to_be_linked_again_after_the_sync(
    hours: int, severity: Severity, when: str
) -> None:
    cut = Break(to_text(NOW - timedelta(hours=hours)), "connecting", "meta")

    [found] = findings(device(1, unused_days=40), device(2, unused_days=3), cut=cut)

    assert (found.id, found.severity) == ("WX303", severity)
    assert found.title == f"companions were unlinked by connecting: {when}"
    assert "1 web `desk 1`, 2 web `desk 2`" in found.evidence[0].text


def test_one_linked_since_is_not_to_be_linked_again() -> None:
    cut = Break(to_text(NOW - timedelta(days=2)), "offboarding", "meta")

    assert ids(device(unused_days=1), cut=cut) == []
    assert state_of(device(unused_days=1), cut, NOW) is DeviceState.LINKED
