"""What the list of companions and the probes say."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.channels.model import AccountEvent
from wacoex_cli.devices.checks import check_devices, check_probes
from wacoex_cli.devices.model import (
    Break,
    Device,
    DeviceKind,
    DeviceState,
    Interval,
    ListConfirmation,
    ProbeAnswer,
    WordOutcome,
    breaks_in,
    free_slots,
    primary_only,
    state_of,
)
from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.foundation.clock import to_text


def at(day: int, hour: int = 12) -> str:
    return f"2026-11-{day:02}T{hour:02}:00:00.000Z"


def device(
    number: int, linked: int, *, relinked: int | None = None, removed: int | None = None
) -> Device:
    return Device(
        number,
        1,
        DeviceKind.WEB,
        "web",
        at(linked),
        relinked_at=at(relinked) if relinked else None,
        removed_at=at(removed) if removed else None,
    )


def said(day: int, companions: int = 0, *, known: int = 0) -> ListConfirmation:
    """Somebody confirms a list that knows companions up to that number."""
    return ListConfirmation(at(day), "Ana", companions, known)


def test_nobody_has_confirmed_so_anything_may_have_sent_it() -> None:
    assert primary_only([], []) == ()


def test_an_empty_list_that_is_confirmed_counts_from_that_moment() -> None:
    assert primary_only([], [said(5)]) == (Interval(at(5), None),)


def test_a_list_that_holds_a_companion_proves_nothing() -> None:
    assert primary_only([device(1, 3)], [said(5, companions=1, known=1)]) == ()


def test_it_ends_when_the_next_companion_is_linked() -> None:
    devices = [device(1, 8), device(2, 7)]

    assert primary_only(devices, [said(5)]) == (Interval(at(5), at(7)),)


def test_removing_the_companion_does_not_begin_it_again_but_a_confirmation_does() -> None:
    gone = device(1, 7, removed=8)

    assert primary_only([gone], [said(5)]) == (Interval(at(5), at(7)),)
    assert primary_only([gone], [said(5), said(9, known=1)]) == (
        Interval(at(5), at(7)),
        Interval(at(9), None),
    )


def test_a_companion_reported_later_shows_that_the_list_was_incomplete() -> None:
    forgotten = device(1, 3)

    assert primary_only([forgotten], [said(5)]) == ()
    assert primary_only([device(1, 5)], [said(5)]) == ()


def test_linking_again_does_not_hide_the_first_link() -> None:
    assert primary_only([device(1, 7, relinked=20)], [said(5)]) == (Interval(at(5), at(7)),)


def test_confirming_twice_is_one_time() -> None:
    assert primary_only([], [said(9), said(5)]) == (Interval(at(5), None),)


def test_a_clock_that_went_back_cannot_hide_a_companion() -> None:
    """Linked after the confirmation, although the clock says before."""
    linked_later = device(4, 2)

    assert primary_only([linked_later], [said(5, known=3)]) == ()


@given(
    links=st.lists(st.integers(1, 28), max_size=5),
    days=st.lists(st.tuples(st.integers(1, 28), st.integers(0, 5)), max_size=5),
    seed=st.integers(0, 1000),
)
def test_intervals_are_sorted_and_separate_for_any_order_of_rows(
    links: list[int], days: list[tuple[int, int]], seed: int
) -> None:
    devices = [device(number, day) for number, day in enumerate(links, start=1)]
    confirmations = [said(day, known=known) for day, known in dict(days).items()]
    found = primary_only(devices, confirmations)
    random.Random(seed).shuffle(devices)
    random.Random(seed).shuffle(confirmations)

    assert primary_only(devices, confirmations) == found
    for before, after in itertools.pairwise(found):
        assert before.end is not None
        assert before.start < before.end <= after.start


BREAK = Break(at(5), "connecting", "meta")


@pytest.mark.parametrize(
    ("first", "now", "state"),
    [
        (device(1, 3), datetime(2026, 11, 5, 12, tzinfo=UTC), DeviceState.WAITING),
        (device(1, 3), datetime(2026, 11, 6, 11, 59, tzinfo=UTC), DeviceState.WAITING),
        (device(1, 3), datetime(2026, 11, 6, 12, tzinfo=UTC), DeviceState.UNLINKED),
        (device(1, 5), datetime(2026, 11, 6, 12, tzinfo=UTC), DeviceState.LINKED),
        (device(1, 3, relinked=6), datetime(2026, 11, 6, 12, tzinfo=UTC), DeviceState.LINKED),
    ],
)
def test_connecting_unlinks_what_was_linked_before(
    first: Device, now: datetime, state: DeviceState
) -> None:
    assert state_of(first, BREAK, now) is state


def test_without_such_a_moment_a_listed_companion_is_linked() -> None:
    now = datetime(2026, 11, 6, tzinfo=UTC) + timedelta(days=300)

    assert state_of(device(1, 3), None, now) is DeviceState.LINKED


def test_a_loss_unlinks_all_companions_but_coming_back_does_not() -> None:
    events = [
        AccountEvent("1", "ACCOUNT_OFFBOARDED", at(1)),
        AccountEvent("2", "ACCOUNT_RECONNECTED", at(2)),
        AccountEvent("3", "PARTNER_REMOVED", at(3), reason="PRIMARY_INACTIVITY"),
        AccountEvent("4", "PARTNER_ADDED", at(4)),
        AccountEvent("5", "PARTNER_REMOVED", at(5), reason="COMPANION_INACTIVITY"),
    ]

    assert breaks_in(events) == [
        Break(at(1), "offboarding", "meta"),
        Break(at(3), "offboarding", "meta"),
    ]


def test_four_companions_fill_the_places() -> None:
    linked = DeviceState.LINKED

    assert free_slots([]) == 4
    assert free_slots([linked, DeviceState.UNLINKED, DeviceState.WAITING]) == 3
    assert free_slots([linked] * 5) == 0


NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def used_device(
    number: int = 1, kind: DeviceKind = DeviceKind.WEB, *, unused_days: float = 1
) -> Device:
    moment = to_text(NOW - timedelta(days=unused_days))
    return Device(number, 1, kind, f"desk {number}", moment, last_used_at=moment)


def findings(*devices: Device, cut: Break | None = None) -> list[Finding]:
    listed = [(entry, state_of(entry, cut, NOW)) for entry in devices]
    return check_devices(listed, cut, "shop", NOW)


def ids(*devices: Device, cut: Break | None = None) -> list[str]:
    return [finding.id for finding in findings(*devices, cut=cut)]


def test_supported_companions_in_use_cause_no_finding() -> None:
    assert ids() == []
    assert ids(*(used_device(number) for number in range(1, 5))) == []


@pytest.mark.parametrize("kind", [DeviceKind.DESKTOP_WINDOWS, DeviceKind.WEAR_OS])
def test_windows_and_wear_os_are_not_supported(kind: DeviceKind) -> None:
    [found] = findings(used_device(1), used_device(2, kind))

    assert (found.id, found.severity) == ("WX301", Severity.WARNING)
    assert [entry.text for entry in found.evidence] == [f"2 {kind.value} `desk 2`"]
    assert "then `wacoex device remove 2`" in found.remedy


def test_all_other_kinds_are_supported() -> None:
    others = set(DeviceKind) - {DeviceKind.DESKTOP_WINDOWS, DeviceKind.WEAR_OS}

    assert all(kind.is_supported for kind in others)


def test_a_fifth_linked_companion_cannot_be() -> None:
    [found] = findings(*(used_device(number) for number in range(1, 6)))

    assert (found.id, found.severity) == ("WX302", Severity.WARNING)
    assert found.title == "5 companions are listed as linked, WhatsApp allows 4"


@pytest.mark.parametrize(("days", "is_found"), [(24.9, False), (25, True), (31, True)])
def test_a_companion_unused_for_almost_thirty_days_is_a_finding(
    days: float, is_found: bool
) -> None:
    assert ids(used_device(unused_days=days)) == (["WX107"] if is_found else [])


def test_after_thirty_days_it_is_probably_gone() -> None:
    [found] = findings(used_device(unused_days=30))

    assert found.severity is Severity.WARNING
    assert "probably unlinked" in found.title
    assert "record that it is in use: `wacoex device relink 1`" in found.remedy


def test_a_companion_without_a_known_use_causes_no_finding() -> None:
    silent = Device(1, 1, DeviceKind.WEB, "web", to_text(NOW - timedelta(days=300)))

    assert ids(silent) == []


@pytest.mark.parametrize(
    ("hours", "severity", "when"),
    [
        (1, Severity.INFO, "link them again from 2026-12-01T11:00:00.000Z on"),
        (24, Severity.WARNING, "link them again now"),
    ],
)
def test_unlinked_companions_must_be_linked_again_after_the_sync(
    hours: int, severity: Severity, when: str
) -> None:
    cut = Break(to_text(NOW - timedelta(hours=hours)), "connecting", "meta")

    [found] = findings(used_device(1, unused_days=40), used_device(2, unused_days=3), cut=cut)

    assert (found.id, found.severity) == ("WX303", severity)
    assert found.title == f"companions were unlinked by connecting: {when}"
    result, listed = found.evidence
    assert (result.text, result.said_by) == ("connecting", "Meta")
    assert (listed.text, listed.said_by) == (
        "unlinked: 1 web `desk 1`, 2 web `desk 2`",
        "device list",
    )


def test_a_companion_linked_since_need_not_be_linked_again() -> None:
    cut = Break(to_text(NOW - timedelta(days=2)), "offboarding", "meta")

    assert ids(used_device(unused_days=1), cut=cut) == []
    assert state_of(used_device(unused_days=1), cut, NOW) is DeviceState.LINKED


BEFORE, ASKED, AFTER = (f"2026-11-0{day}T12:00:00.000Z" for day in (5, 6, 7))


def probed_device(kind: DeviceKind = DeviceKind.WEB, *, linked_at: str = BEFORE) -> Device:
    return Device(1, 1, kind, "desk", linked_at)


def answer(
    outcome: WordOutcome = WordOutcome.NOT_SEEN, *, device_id: int = 1, heard: bool = True
) -> ProbeAnswer:
    return ProbeAnswer(device_id, "babadobu", outcome, ASKED, heard)


def probe_ids(
    first: Device, *answers: ProbeAnswer, state: DeviceState = DeviceState.LINKED
) -> list[str]:
    return [found.id for found in check_probes([(first, state)], answers, "shop")]


def test_wx304_names_the_device_the_word_and_what_to_do() -> None:
    [found] = check_probes([(probed_device(), DeviceState.LINKED)], [answer()], "shop")

    assert (found.id, found.severity, found.channel) == ("WX304", Severity.WARNING, "shop")
    assert found.evidence[0].observed_at == ASKED
    assert "`wacoex device relink 1`" in " ".join(found.remedy)


@pytest.mark.parametrize("outcome", [WordOutcome.SEEN, WordOutcome.NOT_SENT])
def test_no_wx304_for_a_word_that_came_back_or_was_not_sent(outcome: WordOutcome) -> None:
    assert probe_ids(probed_device(), answer(outcome)) == []


@pytest.mark.parametrize(
    ("first", "state"),
    [
        (probed_device(DeviceKind.DESKTOP_WINDOWS), DeviceState.LINKED),
        (probed_device(DeviceKind.WEAR_OS), DeviceState.LINKED),
        (probed_device(linked_at=AFTER), DeviceState.LINKED),
        (probed_device(), DeviceState.UNLINKED),
    ],
)
def test_no_wx304_where_the_silence_says_nothing(first: Device, state: DeviceState) -> None:
    assert probe_ids(first, answer(), state=state) == []
    assert probe_ids(first, answer(device_id=2), state=state) == []


def test_the_phone_itself_can_be_unheard() -> None:
    [found] = check_probes([], [answer(device_id=0, heard=False)], "shop")

    assert "sent from the phone" in found.evidence[0].text
    assert "wacoex partner check" in found.remedy[0]
