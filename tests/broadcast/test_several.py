"""Several broadcasts in one command: side by side, each with its own pace, lock and end."""

from __future__ import annotations

import copy
import json
import signal
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.bench.figures import most_in_a_second
from tests.broadcast.conftest import LeapingClock
from wacoex_cli.broadcast.send_task import Approval, prepare
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.errors import RefusedError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.http import WINDOW
from wacoex_cli.foundation.workspace import open_workspace
from wacoex_cli.ledger.model import Status
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, WABA_ID, Node
from wacoex_cli.sending.guards import send_order
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.render import Invocation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.broadcast.conftest import Shop
    from wacoex_cli.ledger.model import Broadcast

_FIRST_NUMBER_ID = 106540352290000


class Agency:
    """A shop with further numbers, each with a list of people of its own."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self._people = 0

    def number_id(self, number: int) -> str:
        return str(_FIRST_NUMBER_ID + number)

    def add_number(self, number: int) -> None:
        world, name = self.shop.world, self.number_id(number)
        values = copy.deepcopy(world.nodes[PHONE_NUMBER_ID].values)
        phone = f"+65610{number:05}"
        values["display_phone_number"] = phone
        world.nodes[name] = Node(world.nodes[PHONE_NUMBER_ID].kind, name, WABA_ID, values)
        world.set_limit(name, 1_000_000)
        details = Details(phone=phone, phone_number_id=name, waba_id=WABA_ID)
        now = self.shop.clock.now()
        self.shop.channel = registry.add_channel(self.shop.state, f"n{number}", details, now)

    def planned(self, number: int, people: int) -> Broadcast:
        """A broadcast from a number of its own to people whom no other one has."""
        self.add_number(number)
        return self.planned_more(people)

    def planned_more(self, people: int) -> Broadcast:
        """One more from the number that was added last."""
        first = self._people
        self._people += people
        rows = [(self.shop.phone(first + row),) for row in range(1, people + 1)]
        return self.shop.planned(self.shop.file(f"people{first}.csv", rows))

    def status(self, broadcast: Broadcast) -> Status:
        return Broadcasts(self.shop.state).status(broadcast.broadcast_id)

    def taken(self) -> Counter[str]:
        """How many messages the sandbox has taken of each number."""
        return Counter(entry.phone_number_id for entry in self.shop.world.log.accepted())


@pytest.fixture
def agency(shop: Shop) -> Agency:
    return Agency(shop)


def test_several_broadcasts_are_sent_side_by_side(agency: Agency, cli: Callable[..., Any]) -> None:
    planned = [agency.planned(number, 30) for number in (1, 2, 3)]
    ids = [each.broadcast_id for each in planned]

    ended = cli("broadcast", "send", *ids, "--yes", "--json")

    assert ended.code == 0, ended.err
    data = ended.data
    assert [each["broadcast_id"] for each in data["broadcasts"]] == ids
    assert {each["status"] for each in data["broadcasts"]} == {"completed"}
    assert (data["totals"]["taken"], data["left_out"]) == (90, [])
    assert set(agency.taken().values()) == {30}
    assert agency.shop.taken_twice() == []


def test_each_number_keeps_its_own_limit(agency: Agency, cli: Callable[..., Any]) -> None:
    planned = [agency.planned(number, 40) for number in (1, 2)]
    for number in (1, 2):
        agency.shop.world.set_limit(agency.number_id(number), 20)

    cli("broadcast", "send", *(each.broadcast_id for each in planned), "--yes", "--json")

    for number in (1, 2):
        arrivals = agency.shop.world.log.accepted()
        at = [entry.at for entry in arrivals if entry.phone_number_id == agency.number_id(number)]
        assert most_in_a_second(at) <= 20
    assert {entry.outcome for entry in agency.shop.world.log.arrivals} == {"accepted"}


def test_three_numbers_have_more_requests_under_way_than_one_may_have(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    seconds, people = 2.0, 40
    ids = [agency.planned(number, people).broadcast_id for number in (1, 2, 3)]
    agency.shop.faults(Fault("latency", seconds=seconds))

    ended = cli("broadcast", "send", *ids, "--yes", "--rate", "20", "--json")

    assert (ended.code, ended.data["totals"]["taken"]) == (0, 3 * people), ended.err
    log = agency.shop.world.log
    assert len(log.arrivals) == 3 * people
    # Each stays open for two seconds.
    assert most_in_a_second(entry.at / seconds for entry in log.arrivals) > WINDOW


def test_all_planned_sends_every_planned_broadcast(agency: Agency, cli: Callable[..., Any]) -> None:
    planned = [agency.planned(1, 5), agency.planned_more(5), agency.planned(2, 5)]

    ended = cli("broadcast", "send", "--all-planned", "--yes", "--expect", "15", "--json")

    assert ended.code == 0, ended.err
    assert {agency.status(each) for each in planned} == {Status.COMPLETED}


def test_all_planned_of_one_channel_leaves_the_others(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    first, second = agency.planned(1, 5), agency.planned(2, 5)

    cli("broadcast", "send", "--all-planned", "--yes", "--channel", "n2", "--json")

    assert (agency.status(first), agency.status(second)) == (Status.PLANNED, Status.COMPLETED)


def test_without_any_planned_broadcast_the_command_is_refused(
    shop: Shop, cli: Callable[..., Any]
) -> None:
    ended = cli("broadcast", "send", "--all-planned", "--yes")

    assert ended.code == 2
    assert "no broadcast is planned" in ended.err


def test_expect_counts_the_people_of_all(agency: Agency, cli: Callable[..., Any]) -> None:
    ids = [agency.planned(number, 5).broadcast_id for number in (1, 2)]

    ended = cli("broadcast", "send", *ids, "--yes", "--expect", "5")

    assert ended.code == 5
    assert "the broadcasts go to 10 people in all, not 5" in ended.err
    assert not agency.shop.world.log.accepted()


@pytest.mark.parametrize("code", [131042, 131031, 368], ids=["payment", "locked", "policy"])
def test_a_broadcast_that_meta_stops_leaves_the_others_alone(
    agency: Agency, cli: Callable[..., Any], code: int
) -> None:
    bad, good, other = (agency.planned(number, 20) for number in (1, 2, 3))
    agency.shop.faults(Fault("refuse", code=code, phone_number_id=agency.number_id(1)))

    ids = [each.broadcast_id for each in (bad, good, other)]
    ended = cli("broadcast", "send", *ids, "--yes", "--json")

    assert ended.code == 7
    assert [agency.status(each) for each in (bad, good, other)] == [
        Status.PAUSED,
        Status.COMPLETED,
        Status.COMPLETED,
    ]
    [error] = ended.envelope["errors"]
    assert (error["code"], error["details"]["broadcast_ids"]) == (
        f"meta_{code}",
        [bad.broadcast_id],
    )
    assert agency.taken() == {agency.number_id(2): 20, agency.number_id(3): 20}


def test_a_broadcast_whose_rows_cannot_be_written_leaves_the_others_alone(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    good, bad, other = (agency.planned(number, 20) for number in (1, 2, 3))
    with agency.shop.state.transaction():
        agency.shop.state.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE OF state ON recipients"
            f" WHEN NEW.broadcast_id = {bad.broadcast_id} AND NEW.state = 'accepted'"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )

    ids = [each.broadcast_id for each in (good, bad, other)]
    ended = cli("broadcast", "send", *ids, "--yes", "--json")

    assert ended.code == 7
    [error] = ended.envelope["errors"]
    assert (error["code"], error["details"]["broadcast_ids"]) == (
        "state_refused",
        [bad.broadcast_id],
    )
    assert [each["status"] for each in ended.data["broadcasts"]] == [
        "completed",
        "paused",
        "completed",
    ]
    assert agency.status(bad) is Status.PAUSED
    # The run that continues it learns from the notes what had left.
    with agency.shop.state.transaction():
        agency.shop.state.execute("DROP TRIGGER refuse")
    cli("broadcast", "resume", bad.broadcast_id, "--yes")
    assert agency.status(bad) is Status.COMPLETED
    assert agency.shop.taken_twice() == []
    assert not agency.shop.counts(bad).keys() & {"pending", "sending"}


def test_the_stop_of_one_broadcast_is_shown_while_the_others_continue(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    fine, bad = (agency.planned(number, 40) for number in (1, 2))
    agency.shop.faults(Fault("refuse", code=131042, phone_number_id=agency.number_id(2)))

    ended = cli("broadcast", "send", fine.broadcast_id, bad.broadcast_id, "--yes")

    warned = ended.err.index(f"warning: broadcast {bad.broadcast_id} (n2): 0 of 40, paused: Meta")
    assert warned < ended.err.index(f"info: broadcast {fine.broadcast_id} (n1): 40 of 40")
    rows = [line.split("\t")[:4] for line in ended.out.splitlines()[:2]]
    assert rows == [
        [str(bad.broadcast_id), "n2", "paused", "0"],
        [str(fine.broadcast_id), "n1", "completed", "40"],
    ]


def test_a_screen_shows_a_line_for_each_the_worst_first(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    fine, bad = (agency.planned(number, 40) for number in (1, 2))
    agency.shop.faults(Fault("refuse", code=131042, phone_number_id=agency.number_id(2)))

    ended = cli("broadcast", "send", fine.broadcast_id, bad.broadcast_id, "--yes", tty=True)

    screen = ended.err[ended.err.rindex(f"broadcast {bad.broadcast_id} (n2): 0 of 40, paused") :]
    assert screen.index("n1): 40 of 40") < screen.index("2 broadcasts")


def test_broadcasts_that_ended_alike_are_one_error(agency: Agency, cli: Callable[..., Any]) -> None:
    ids = [agency.planned(number, 10).broadcast_id for number in (1, 2)]
    agency.shop.faults(Fault("expired_token"))

    ended = cli("broadcast", "send", *ids, "--yes", "--json")

    assert ended.code == 4
    [error] = ended.envelope["errors"]
    assert error["details"]["broadcast_ids"] == ids
    assert f"wacoex broadcast resume {ids[0]} {ids[1]}" in error["hint"]


def test_resuming_all_again_passes_over_broadcasts_that_have_ended(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    done, paused = agency.planned(1, 5), agency.planned(2, 5)
    cli("broadcast", "send", done.broadcast_id, "--yes")
    with agency.shop.state.transaction():
        Broadcasts(agency.shop.state).set_status(paused.broadcast_id, Status.PAUSED)

    ended = cli("broadcast", "resume", done.broadcast_id, paused.broadcast_id, "--yes", "--json")

    assert ended.code == 0, ended.err
    assert [each["broadcast_id"] for each in ended.data["left_out"]] == [done.broadcast_id]
    assert agency.status(paused) is Status.COMPLETED


def test_an_id_that_is_given_twice_counts_once(agency: Agency, cli: Callable[..., Any]) -> None:
    number = agency.planned(1, 5).broadcast_id

    ended = cli("broadcast", "send", number, number, "--yes", "--expect", "5", "--json")

    assert ended.code == 0, ended.err
    assert ended.data["totals"]["taken"] == 5


def test_when_none_can_be_sent_all_are_named(agency: Agency, cli: Callable[..., Any]) -> None:
    done, paused = agency.planned(1, 5), agency.planned(2, 5)
    cli("broadcast", "send", done.broadcast_id, "--yes")
    with agency.shop.state.transaction():
        Broadcasts(agency.shop.state).set_status(paused.broadcast_id, Status.PAUSED)

    ended = cli("broadcast", "send", done.broadcast_id, paused.broadcast_id, "--yes", "--json")

    assert (ended.code, ended.envelope["status"]) == (2, "error")
    assert [error["code"] for error in ended.envelope["errors"]] == ["wrong_status"] * 2
    assert f"broadcast {paused.broadcast_id} (n2)" in ended.envelope["errors"][1]["message"]


def test_a_broadcast_that_must_not_be_sent_is_left_out_and_named(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    done, other = agency.planned(1, 5), agency.planned(2, 5)
    cli("broadcast", "send", done.broadcast_id, "--yes")

    ended = cli("broadcast", "send", done.broadcast_id, other.broadcast_id, "--yes", "--json")

    assert ended.code == 7
    [left_out] = ended.data["left_out"]
    assert (left_out["broadcast_id"], left_out["code"]) == (done.broadcast_id, "wrong_status")
    assert agency.status(other) is Status.COMPLETED


def test_a_broadcast_that_another_process_sends_is_left_out_and_named(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    running, other = agency.planned(1, 400), agency.planned(2, 5)
    process = agency.shop.start(
        "-m", "wacoex_cli", "broadcast", "send", running.broadcast_id, "--yes", "--rate", "20"
    )
    try:
        while not agency.shop.world.log.accepted():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        ended = cli("broadcast", "send", running.broadcast_id, other.broadcast_id, "--yes")
        assert ended.code == 0, ended.err
        assert f"broadcast {running.broadcast_id} (n1) is left out" in ended.err
        assert f"is being sent by process {process.pid}" in ended.err
        assert agency.status(other) is Status.COMPLETED
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def test_a_signal_lets_all_of_them_drain(agency: Agency) -> None:
    planned = [agency.planned(number, 400) for number in (1, 2, 3)]
    ids = [each.broadcast_id for each in planned]
    process = agency.shop.start("-m", "wacoex_cli", "broadcast", "send", *ids, "--yes", "--json")
    while len(agency.taken()) < 3:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)

    process.send_signal(signal.SIGINT)
    out, err = process.communicate()

    assert process.returncode == 130, err
    assert {each["status"] for each in json.loads(out)["data"]["broadcasts"]} == {"paused"}
    for each in planned:
        counts = agency.shop.counts(each)
        assert counts.keys() <= {"accepted", "pending"}
        assert counts["accepted"] + counts["pending"] == 400


def test_progress_as_json_names_the_broadcast(agency: Agency, cli: Callable[..., Any]) -> None:
    ids = [agency.planned(number, 10).broadcast_id for number in (1, 2)]

    ended = cli("broadcast", "send", *ids, "--yes", "--progress", "json")

    lines = [json.loads(line) for line in ended.out.splitlines()]
    seen = {
        (line["broadcast_id"], line["of"], line["channel"], line["total"])
        for line in lines
        if line.get("event") == "progress"
    }
    assert seen == {
        (ids[0], f"broadcast {ids[0]}", "n1", 10),
        (ids[1], f"broadcast {ids[1]}", "n2", 10),
    }


@pytest.mark.parametrize(
    "options",
    [("--to", "people.csv"), ("--dry-run",), ("--wait",), ("--all-planned",)],
    ids=" ".join,
)
def test_options_for_one_broadcast_are_refused_for_several(
    shop: Shop, cli: Callable[..., Any], options: tuple[str, ...]
) -> None:
    ended = cli("broadcast", "send", 1, 2, "--yes", *options)

    assert ended.code == 2
    assert "error:" in ended.err
    assert "hint:" in ended.err


def test_lines_of_a_log_name_channel_and_broadcast(agency: Agency, cli: Callable[..., Any]) -> None:
    ids = [agency.planned(1, 3).broadcast_id, agency.planned_more(3).broadcast_id]

    ended = cli("broadcast", "send", *ids, "--yes", "-vv")

    requests = [line for line in ended.err.splitlines() if "POST" in line]
    for number in ids:
        assert sum(f" n1 broadcast {number} " in line for line in requests) == 3


def test_an_unknown_channel_is_named_and_not_called_empty(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    agency.planned(1, 5)

    ended = cli("broadcast", "send", "--all-planned", "--channel", "n11", "--yes")

    assert ended.code == 2
    assert "no channel `n11`" in ended.err
    assert "is planned" not in ended.err


def test_one_moment_for_channels_in_several_time_zones_is_refused(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    ids = [agency.planned(number, 5).broadcast_id for number in (1, 2)]
    cli("channel", "edit", "n2", "--timezone", "Europe/Berlin")

    ended = cli("broadcast", "send", *ids, "--not-before", "23:59", "--yes", "--json")

    [error] = ended.envelope["errors"]
    assert (ended.code, error["code"]) == (2, "bad_time")
    assert error["details"]["broadcast_ids"] == ids
    assert not agency.shop.world.log.accepted()


class _Speaker(TerminalDialogue):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(Invocation())
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


class _WaitingClock(LeapingClock):
    """Each wait is over at once; something happens during the first."""

    def __init__(self, event: Callable[[], None]) -> None:
        super().__init__()
        self._events = [event]

    async def sleep(self, seconds: float) -> None:
        while self._events:
            self._events.pop()()
        self.leap(seconds)


def approved_after_a_wait(
    agency: Agency, planned: list[Broadcast], event: Callable[[], None], expect: int | None
) -> tuple[list[int], list[int], list[str]]:
    """Ids of those that may be sent and of those that may not, and what is said of the wait."""
    clock = _WaitingClock(event)
    moment = to_text(clock.now() + timedelta(minutes=10))
    order = send_order(rate=None, overrule=None, expect=expect, not_before=moment, yes=True)
    refused, speaker = list[int](), _Speaker()
    with open_workspace(
        environ=agency.shop.environ,
        clock=clock,
        warn=speaker.note,
        log=lambda text: None,
        announce=lambda settings: None,
    ) as workspace:
        tasks = []
        for broadcast in planned:
            channel = registry.active(workspace.state, broadcast.channel)
            tasks.append(prepare(workspace, channel, broadcast, order, speaker))
        approval = Approval(
            workspace,
            order,
            speaker,
            lambda task: speaker,
            lambda broadcast, error: refused.append(broadcast.broadcast_id),
        )
        approved = [task.broadcast.broadcast_id for task, _ in approval.get(tasks)]
    return approved, refused, [text for text in speaker.said if "waiting until" in text]


@pytest.fixture
def two_planned(agency: Agency) -> tuple[list[Broadcast], Callable[[], None]]:
    """Two planned broadcasts, and what cancels the second."""
    planned = [agency.planned(number, 5) for number in (1, 2)]

    def cancel() -> None:
        with agency.shop.state.transaction():
            Broadcasts(agency.shop.state).set_status(planned[1].broadcast_id, Status.CANCELLED)

    return planned, cancel


def test_people_are_counted_again_after_the_wait(
    agency: Agency, two_planned: tuple[list[Broadcast], Callable[[], None]]
) -> None:
    planned, cancel = two_planned

    with pytest.raises(RefusedError, match="it is for 5 people, not 10"):
        approved_after_a_wait(agency, planned, cancel, expect=10)


def test_cancelling_one_waiting_broadcast_leaves_the_others(
    agency: Agency, two_planned: tuple[list[Broadcast], Callable[[], None]]
) -> None:
    planned, cancel = two_planned

    approved, refused, said = approved_after_a_wait(agency, planned, cancel, expect=None)

    assert approved == [planned[0].broadcast_id]
    assert refused == [planned[1].broadcast_id]
    assert [text.endswith("; Ctrl-C ends the wait, and nothing is sent") for text in said] == [True]
