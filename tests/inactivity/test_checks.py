"""`wacoex reminder check`: the countdown of every channel, its findings, and WX106."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from wacoex_cli.channels.model import AccountEvent, EvidenceKind, Sign
from wacoex_cli.channels.store import AccountEvents, Signs
from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.settings import InactivitySettings
from wacoex_cli.foundation.state import State
from wacoex_cli.inactivity.checks import check_opened, check_reminder, check_running
from wacoex_cli.inactivity.model import Grade, GradedSign, NoticeAddress, NoticeReach
from wacoex_cli.inactivity.rule import standing
from wacoex_cli.inactivity.store import Reminders

Run = Callable[..., Any]

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
PHONES = {"shop": "+6560000001", "cafe": "+6560000002", "spa": "+6560000003"}


@pytest.fixture(autouse=True)
def frozen(state: State, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Time is frozen, and the program uses the state file of this test."""
    monkeypatch.setenv("WACOEX_STATE", str(state.path))
    with freeze_time(NOW) as moving:
        yield moving


@pytest.fixture
def add(run: Run, state: State) -> Callable[..., None]:
    """Add a channel, and evidence of this many days ago."""

    def call(
        name: str, days: float | None = None, kind: str = "confirmed", options: tuple[str, ...] = ()
    ) -> None:
        run("channel", "add", name, "--phone", PHONES[name], *options)
        if days is not None:
            keep(state, f"phone:{PHONES[name]}", kind, days)

    return call


def keep(state: State, address: str, kind: str, days: float, said_by: str = "ana") -> None:
    sign = Sign(address, EvidenceKind(kind), ago(days), "meta", said_by)
    with state.transaction():
        Signs(state).add([sign])


def tell(state: State, event: str, days: float, **more: Any) -> None:
    with state.transaction():
        answer = AccountEvent(f"{event}-{days}", event, ago(days), phone=PHONES["shop"], **more)
        AccountEvents(state).add([answer])


def ago(days: float) -> str:
    return to_text(NOW - timedelta(days=days))


def the_channel(outcome: Any) -> dict[str, Any]:
    [channel] = outcome.data["channels"]
    assert isinstance(channel, dict)
    return channel


@pytest.mark.parametrize(
    ("days", "code", "stage", "days_left", "ids"),
    [
        (0, 0, "ok", 14.0, []),
        (9.999, 0, "ok", 4.0, []),
        (10, 1, "warning", 4.0, ["WX101"]),
        (12, 2, "critical", 2.0, ["WX102"]),
        (14, 2, "overdue", 0.0, ["WX103"]),
        (15.5, 2, "overdue", -1.5, ["WX103"]),
    ],
)
def test_the_exit_status_follows_the_stage(
    run: Run, add: Any, days: float, code: int, stage: str, days_left: float, ids: list[str]
) -> None:
    add("shop", days)

    outcome = run("reminder", "check", "--json")

    channel = the_channel(outcome)
    assert (outcome.code, outcome.envelope["status"]) == (code, "ok")
    assert (channel["stage"], channel["days_left"]) == (stage, days_left)
    assert [finding["id"] for finding in channel["findings"]] == ids
    severity = {0: "ok", 1: "warning", 2: "critical"}[code]
    assert (channel["severity"], outcome.data["severity"]) == (severity, severity)


def test_everything_about_a_countdown_is_in_the_json(run: Run, add: Any, state: State) -> None:
    add("shop", 11, options=("--timezone", "Asia/Singapore"))
    keep(state, f"phone:{PHONES['shop']}", "echo", 1, "")

    outcome = run("reminder", "check", "shop", "--json")

    channel = the_channel(outcome)
    channel.pop("findings")
    assert channel == {
        "channel": "shop",
        "stage": "warning",
        "phone": "+6560000001",
        "owner": None,
        "severity": "warning",
        "last_opened_at": "2026-11-12T09:30:00.000Z",
        "source": "meta",
        "evidence": "confirmed",
        "grade": "proof",
        "act_by_at": "2026-11-25T09:30:00.000Z",
        "deadline_at": "2026-11-26T09:30:00.000Z",
        "days_left": 3.0,
        "weaker_evidence": [
            {
                "evidence": "echo",
                "grade": "weak",
                "at": "2026-11-22T09:30:00.000Z",
                "source": "meta",
            }
        ],
        "connection": None,
        "connection_since": None,
        "connection_reason": None,
        "connection_initiated_by": None,
        "timezone": "Asia/Singapore",
    }
    assert outcome.data["last_notify_run_at"] is None


@pytest.mark.parametrize(
    ("kind", "finding"), [(None, "WX104"), ("echo", "WX105"), ("phonebook", "WX104")]
)
def test_without_trusted_evidence_it_is_unknown(
    run: Run, add: Any, kind: str | None, finding: str
) -> None:
    # The only change of the phonebook is that of the first sync: no evidence at all.
    add("shop", 1 if kind else None, kind or "")

    outcome = run("reminder", "check", "--json")

    channel = the_channel(outcome)
    assert (outcome.code, channel["stage"], channel["days_left"]) == (3, "unknown", None)
    assert (channel["grade"], channel["deadline_at"]) == ("none", None)
    assert [entry["id"] for entry in channel["findings"]] == [finding]


def test_phonebook_changes_after_the_first_sync_are_weak_evidence(
    run: Run, add: Any, state: State
) -> None:
    add("shop", 5, "phonebook")
    keep(state, f"phone:{PHONES['shop']}", "phonebook", 1)

    weaker = the_channel(run("reminder", "check", "--json"))["weaker_evidence"]

    assert [(entry["evidence"], entry["grade"], entry["at"]) for entry in weaker] == [
        ("phonebook", "weak", ago(1))
    ]


def test_an_echo_counts_once_the_device_list_is_confirmed_to_be_empty(
    run: Run, add: Any, state: State, frozen: Any
) -> None:
    add("shop", 1, "echo")
    frozen.move_to(NOW - timedelta(days=2))
    assert run("device", "confirm", "--by", "ana").code == 0
    frozen.move_to(NOW)

    channel = the_channel(run("reminder", "check", "--json"))

    assert (channel["stage"], channel["evidence"]) == ("ok", "echo_primary")
    assert (channel["grade"], channel["days_left"]) == ("strong", 13.0)


def test_the_newest_echo_of_the_phone_counts_although_later_ones_are_weak(
    run: Run, add: Any, state: State, frozen: Any
) -> None:
    add("shop")
    frozen.move_to(NOW - timedelta(days=9))
    run("device", "confirm", "--by", "ana")
    frozen.move_to(NOW - timedelta(days=5))
    run("device", "add", "web")
    frozen.move_to(NOW)
    for days in (8, 6, 5, 1):
        keep(state, f"phone:{PHONES['shop']}", "echo", days)

    channel = the_channel(run("reminder", "check", "--json"))

    assert (channel["evidence"], channel["last_opened_at"]) == ("echo_primary", ago(6))
    assert [entry["at"] for entry in channel["weaker_evidence"]] == [ago(1)]


def test_evidence_under_any_address_of_the_channel_counts(run: Run, add: Any, state: State) -> None:
    add("shop", 11, options=("--phone-number-id", "106", "--respondio-channel-id", "7"))
    with state.transaction():
        Signs(state).note_numbers([("109", PHONES["shop"])])

    for days, address in [
        (9, "phone_number_id:106"),
        (8, "respondio_channel_id:7"),
        (7, "phone_number_id:109"),
        (6, "channel:1"),
    ]:
        keep(state, address, "confirmed", days)
        assert the_channel(run("reminder", "check", "--json"))["last_opened_at"] == ago(days)


def test_worst_comes_first_and_one_line_is_one_channel(run: Run, add: Any) -> None:
    add("cafe", 1)
    add("shop", 12.5)
    add("spa")

    lines = run("reminder", "check").out.splitlines()

    assert [line.split("\t")[:2] for line in lines] == [
        ["critical", "shop"],
        ["unknown", "spa"],
        ["ok", "cafe"],
    ]
    assert run("reminder", "check", "cafe").code == 0
    assert run("reminder", "check", "-c", "cafe").code == 0
    assert run("reminder", "check").code == 2


def test_a_deadline_is_shown_in_the_channels_own_zone_with_what_is_left(
    run: Run, add: Any, isolated_home: Path
) -> None:
    config = isolated_home / ".config/wacoex/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('timezone = "Europe/Berlin"\n[channels.spa]\ntimezone = "America/Lima"\n')
    add("shop", 11, options=("--timezone", "Asia/Singapore"))
    add("cafe", 11)
    add("spa", 11)

    out = run("reminder", "check", tty=True).out

    assert "Thu 26 Nov 17:30 Asia/Singapore  in 3 days" in out
    assert "Thu 26 Nov 10:30 Europe/Berlin   in 3 days" in out
    assert "Thu 26 Nov 04:30 America/Lima    in 3 days" in out
    assert "broadcasts do not count as opening the app" in out


def test_a_healthy_channel_shows_the_evidence_that_counts_and_that_does_not(
    run: Run, add: Any, state: State
) -> None:
    add("shop", 3)
    keep(state, f"phone:{PHONES['shop']}", "echo", 1, "")

    out = run("reminder", "check", tty=True).out

    assert "shop: the app was confirmed to be open by ana, 3 days ago (proof, counts)" in out
    assert "shop: an echo came, maybe from a linked device, 1 day ago (weak, not counted)" in out
    assert max(len(line) for line in out.splitlines() if not line.startswith("messages")) <= 80


def test_settings_of_one_channel_are_its_own(run: Run, add: Any, isolated_home: Path) -> None:
    config = isolated_home / ".config/wacoex/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        "[inactivity]\nwarning_days = 2\n"
        '[channels.cafe.inactivity]\nwarning_days = 9\ntrust = "weak"\n'
    )
    add("shop", 5)
    add("cafe", 5, "echo")

    answer = run("reminder", "check", "--json").data["channels"]

    assert [(entry["channel"], entry["stage"]) for entry in answer] == [
        ("shop", "warning"),
        ("cafe", "ok"),
    ]


def test_a_removed_channel_is_critical_at_any_countdown(run: Run, add: Any, state: State) -> None:
    add("shop", 1)
    tell(state, "PARTNER_REMOVED", 0.5, reason="CHANGE_NUMBER", initiated_by="USER")

    outcome = run("reminder", "check", "--json")

    channel = the_channel(outcome)
    assert (outcome.code, channel["severity"], channel["stage"]) == (2, "critical", "ok")
    assert (channel["connection"], channel["connection_reason"]) == ("removed", "CHANGE_NUMBER")
    assert [finding["id"] for finding in channel["findings"]] == ["WX203"]
    assert run("reminder", "check").out.startswith("removed\tshop\t")


def test_a_reconnection_starts_the_countdown_again(run: Run, add: Any, state: State) -> None:
    add("shop", 20)
    tell(state, "ACCOUNT_OFFBOARDED", 3)
    assert [
        finding["id"] for finding in the_channel(run("reminder", "check", "--json"))["findings"]
    ] == [
        "WX103",
        "WX204",
    ]
    tell(state, "ACCOUNT_RECONNECTED", 2.99)

    channel = the_channel(run("reminder", "check", "--json"))

    assert (channel["stage"], channel["evidence"], channel["grade"]) == ("ok", "connected", "proof")
    assert channel["findings"] == []


def test_a_partner_that_was_added_says_nothing_about_the_app(
    run: Run, add: Any, state: State
) -> None:
    add("shop")
    tell(state, "PARTNER_ADDED", 1)

    assert the_channel(run("reminder", "check", "--json"))["stage"] == "unknown"


def test_evidence_of_a_future_day_is_ignored_and_reported(run: Run, add: Any, frozen: Any) -> None:
    add("shop", 0)
    frozen.move_to(NOW - timedelta(days=1))

    outcome = run("reminder", "check", "--json")

    channel = the_channel(outcome)
    assert (outcome.code, channel["stage"]) == (3, "unknown")
    assert [finding["id"] for finding in channel["findings"]] == ["WX104", "WX705"]


def test_archived_channels_are_left_out(run: Run, add: Any) -> None:
    add("shop", 1)
    add("cafe", 20)
    run("channel", "remove", "cafe", "--yes")

    assert run("reminder", "check").code == 0
    assert run("reminder", "check", "cafe").code == 3


@pytest.mark.parametrize(
    "arguments", [[], ["nobody"], ["--bogus"], ["shop", "-c", "cafe"]], ids=" ".join
)
def test_every_failure_to_check_is_unknown(run: Run, add: Any, arguments: list[str]) -> None:
    outcome = run("reminder", "check", *arguments)

    assert outcome.code == 3
    assert outcome.err


def test_a_monitoring_system_gets_one_line_with_performance_data_first(run: Run, add: Any) -> None:
    add("shop", 12.5)
    add("cafe", 1.9)
    add("spa")

    outcome = run("reminder", "check", "--nagios")

    first, *others = outcome.out.splitlines()
    assert outcome.code == 2
    assert first == (
        "WACOEX CRITICAL - 1 critical (shop), 1 unknown (spa), 1 ok"
        " | 'shop'=1.5;4:;2:;;14 'spa'=U;4:;2:;;14 'cafe'=12.1;4:;2:;;14"
    )
    assert others == [
        "CRITICAL shop: WX102 the app must be opened now; the deadline is 2026-11-24 21:30 UTC",
        "UNKNOWN spa: WX104 nothing says when the app was last opened",
        "OK cafe: the deadline is 2026-12-05 11:54 UTC; the app was confirmed to be open by ana",
        "`wacoex reminder notify` has never run here",
    ]


def test_a_monitoring_system_reads_why_nothing_could_be_checked(run: Run) -> None:
    outcome = run("reminder", "check", "--nagios")

    assert outcome.code == 3
    assert outcome.out.startswith("WACOEX UNKNOWN - there is no channel in ")


def test_nagios_says_what_was_removed(run: Run, add: Any, state: State) -> None:
    add("shop", 1)
    tell(state, "PARTNER_REMOVED", 0.5)

    first = run("reminder", "check", "--nagios").out.splitlines()[0]

    assert first.startswith("WACOEX CRITICAL - 1 removed (shop) | 'shop'=13.0;")


def test_a_pager_reads_the_first_names_of_many(run: Run, add: Any) -> None:
    for name in ("shop", "cafe", "spa"):
        add(name)
    run("channel", "add", "bar", "--phone", "+6560000009")

    first = run("reminder", "check", "--nagios").out.splitlines()[0]

    assert first.startswith("WACOEX UNKNOWN - 4 unknown (bar cafe shop ...) | ")


def test_monitoring_sees_that_the_reminder_no_longer_runs(run: Run, add: Any, state: State) -> None:
    add("shop", 1)
    run("reminder", "notify", "--to", "json://127.0.0.1:9/")
    with state.transaction():
        began = to_text(NOW - timedelta(days=3))
        state.execute("UPDATE reminder_runs SET started_at = ?", [began])

    nagios, piped = run("reminder", "check", "--nagios"), run("reminder", "check")
    as_json = run("reminder", "check", "--json")

    title = "the reminder does not run any more"
    assert (nagios.code, piped.code, as_json.code) == (1, 1, 1)
    assert nagios.out.startswith(f"WACOEX WARNING - 1 ok, {title} | 'shop'=")
    assert f"warning: WX106: {title}; see `wacoex doctor`" in piped.err
    assert (as_json.data["severity"], as_json.err) == ("warning", "")


@pytest.mark.parametrize(("hours", "code"), [(1, 0), (3.5, 1)])
def test_a_schedule_that_never_ran_counts_once_its_first_run_is_missing(
    run: Run, add: Any, state: State, hours: float, code: int
) -> None:
    add("shop", 1)
    Reminders(state).keep_schedule("server", "cron", 3600, NOW - timedelta(hours=hours))

    assert run("reminder", "check").code == code


def test_the_owner_to_call_is_shown_beside_the_channel(run: Run, add: Any) -> None:
    add("shop", 12.5)
    alone = run("reminder", "check", tty=True).out
    run("channel", "edit", "shop", "--owner", "Ana Lim")

    assert "OWNER" not in alone
    assert "Ana Lim" in run("reminder", "check", tty=True).out
    assert run("reminder", "check").out.splitlines()[0].split("\t")[-1] == "Ana Lim"
    [channel] = run("reminder", "check", "--json").data["channels"]
    assert (channel["owner"], channel["phone"][0]) == ("Ana Lim", "+")


def test_the_last_run_of_notify_is_shown_and_changes_no_exit_status(run: Run, add: Any) -> None:
    add("shop", 1)
    run("reminder", "notify", "--to", "json://127.0.0.1:9/")

    outcome = run("reminder", "check", "--json")
    answer = run("reminder", "check", tty=True).out

    assert (outcome.code, outcome.data["last_notify_run_at"]) == (0, to_text(NOW))
    assert outcome.data["last_notify_exit_status"] == 0
    assert "last run of `wacoex reminder notify`: now, ended with 0" in answer


NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def confirmed(days: float) -> GradedSign:
    return GradedSign("confirmed", Grade.PROOF, NOW - days * DAY, "person", "ana")


def echo(days: float) -> GradedSign:
    return GradedSign("echo", Grade.WEAK, NOW - days * DAY, "meta")


def found(*signs: GradedSign) -> list[Finding]:
    known = standing(signs, InactivitySettings(), NOW)
    return check_opened(known, "shop", "Asia/Singapore", NOW)


@pytest.mark.parametrize(
    ("days", "finding", "severity", "said"),
    [
        (10, "WX101", Severity.WARNING, "the deadline is 2026-11-27 17:30 Asia/Singapore"),
        (12, "WX102", Severity.CRITICAL, "the deadline is 2026-11-25 17:30 Asia/Singapore"),
        (14, "WX103", Severity.CRITICAL, "the deadline was 2026-11-23 17:30 Asia/Singapore"),
    ],
)
def test_an_app_that_stays_closed_is_a_finding_with_its_deadline(
    days: float, finding: str, severity: Severity, said: str
) -> None:
    [first] = found(confirmed(days))

    assert (first.id, first.severity, first.channel) == (finding, severity, "shop")
    assert first.title.endswith(said)
    assert first.evidence[0].text == "the app was confirmed to be open by ana"
    assert "open the WhatsApp Business app on the primary phone" in first.remedy[0]
    assert "`wacoex reminder confirm shop`" in first.remedy[1]
    assert first.verify == "wacoex reminder check shop"


@pytest.mark.parametrize("days", [0, 9.99])
def test_an_app_that_was_opened_causes_no_finding(days: float) -> None:
    assert found(confirmed(days)) == []


def test_no_evidence_at_all_is_unknown() -> None:
    [first] = found()

    assert (first.id, first.severity) == ("WX104", Severity.UNKNOWN)


def test_weak_evidence_alone_is_unknown_and_says_how_it_could_count() -> None:
    [first] = found(echo(1))

    assert (first.id, first.severity) == ("WX105", Severity.UNKNOWN)
    assert first.evidence[0].text == "not counted (weak): an echo came, maybe from a linked device"
    assert "`wacoex device confirm --channel shop`" in first.remedy[-1]


def test_weaker_evidence_beside_trusted_one_is_shown_and_changes_nothing() -> None:
    assert found(confirmed(3), echo(1)) == []
    [late] = found(confirmed(11), echo(1))

    assert late.id == "WX101"
    assert [fact.text.startswith("not counted (weak)") for fact in late.evidence] == [False, True]


def test_evidence_from_the_future_is_reported_and_not_counted() -> None:
    findings = found(confirmed(-1), confirmed(11))

    assert [finding.id for finding in findings] == ["WX101", "WX705"]
    assert "at 2026-11-24T09:30:00.000Z, now it is 2026-11-23" in findings[1].evidence[0].text


def test_evidence_of_a_clock_slightly_ahead_causes_no_finding() -> None:
    assert found(confirmed(-0.002)) == []


NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
HOURLY = {"host": "box", "kind": "cron", "every_seconds": 3600, "installed_at": to_text(NOW)}


def ended(hours_ago: float, status: int | None = 0) -> dict[str, object]:
    return {"started_at": to_text(NOW - timedelta(hours=hours_ago)), "exit_status": status}


@pytest.mark.parametrize(
    ("run", "schedule", "title"),
    [
        (None, None, "the reminder has never run"),
        (None, HOURLY, "the reminder has never run"),
        (ended(3.01), HOURLY, "the reminder does not run any more"),
        (ended(49.1), None, "the reminder does not run any more"),
        (ended(-2), HOURLY, "the reminder does not run any more"),
        (ended(0.5, 4), HOURLY, "the last run of the reminder failed"),
        (ended(0.5, 7), None, "the last run of the reminder failed"),
    ],
)
def test_a_reminder_that_does_not_work_is_wx106(run, schedule, title: str) -> None:
    [finding] = check_running(run, schedule, NOW)

    assert (finding.id, finding.severity, finding.title) == ("WX106", "warning", title)


@pytest.mark.parametrize(
    ("run", "schedule"),
    [(ended(3), HOURLY), (ended(49), None), (ended(0.01, None), HOURLY), (ended(-0.1), HOURLY)],
)
def test_a_reminder_that_runs_as_it_should_causes_no_finding(run, schedule) -> None:
    assert check_running(run, schedule, NOW) == []


def test_the_ledger_gives_what_the_check_asks_for(state: State) -> None:
    store = Reminders(state)
    assert (store.last_run(), store.schedule()) == (None, None)
    store.keep_schedule("box", "cron", 3600, NOW - timedelta(days=3))
    store.keep_schedule("box", "cron", 3600, NOW)
    run_id = store.start_run(NOW - timedelta(days=1))
    store.finish_run(run_id, NOW, exit_status=0, sent=2, failed=0)
    last, schedule = store.last_run(), store.schedule()

    assert len(check_running(last, schedule, NOW)) == 1
    assert schedule is not None
    assert schedule["installed_at"] == to_text(NOW - timedelta(days=3))
    store.forget_schedule("box", "cron")
    assert store.schedule() is None
    assert check_running(last, None, NOW) == []


AN_HOUR_AGO = to_text(NOW - timedelta(hours=1))
TAKEN = NoticeAddress("json://a", AN_HOUR_AGO)
FAILED = NoticeAddress("json://b", None, "no route")


@pytest.mark.parametrize(
    ("reach", "said"),
    [
        (NoticeReach(), ["wacoex has never sent a notice or a test"]),
        (NoticeReach((None,)), ["1 address has never got a notice or a test"]),
        (
            NoticeReach((None, TAKEN, None)),
            ["2 addresses have never got a notice or a test", "json://a took a notice"],
        ),
        (NoticeReach((FAILED,), (TAKEN,)), ["the last test to json://b failed: no route"]),
    ],
)
def test_an_address_that_has_never_taken_anything_is_wx106(reach, said: list[str]) -> None:
    [finding] = check_reminder(ended(0.5), HOURLY, reach, NOW)

    assert (finding.id, finding.title) == ("WX106", "nobody knows whether a notice arrives")
    assert "wacoex reminder notify --test" in finding.remedy[0]
    for fact, beginning in zip(finding.evidence, said, strict=True):
        assert fact.text.startswith(beginning)


@pytest.mark.parametrize("reach", [NoticeReach((TAKEN,)), NoticeReach((), (TAKEN,))])
def test_addresses_that_took_something_cause_no_finding_and_are_evidence_of_another(reach) -> None:
    assert check_reminder(ended(0.5), HOURLY, reach, NOW) == []

    [finding] = check_reminder(None, HOURLY, reach, NOW)

    assert finding.title == "the reminder has never run"
    assert finding.evidence[-1].text == "json://a took a notice or a test"
    assert finding.evidence[-1].observed_at == AN_HOUR_AGO
