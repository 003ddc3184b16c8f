"""How many broadcasts are run: side by side in this process, and divided over several ones."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import time
from dataclasses import replace
from multiprocessing import Pipe
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.broadcast.test_several import Agency
from wacoex_cli.broadcast import side_by_side
from wacoex_cli.broadcast.send_task import prepare
from wacoex_cli.broadcast.side_by_side import (
    MOST_NUMBERS_IN_A_PROCESS,
    Reporter,
    divide,
    places_for,
    run_side_by_side,
)
from wacoex_cli.channels.registry import active
from wacoex_cli.foundation.http import WINDOW, Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.foundation.workspace import meanwhile
from wacoex_cli.ledger.model import Counts, RunProgress, Status
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.meta import Meta
from wacoex_cli.sandbox.world import DEFAULT_TOKEN
from wacoex_cli.sending.guards import SendOrder
from wacoex_cli.sending.providers import MetaProvider
from wacoex_cli.sending.run import NotBegun, SendJob, Sent, send_together
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import Invocation

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.broadcast.conftest import Shop
    from wacoex_cli.ledger.model import Broadcast


@pytest.fixture
def agency(shop: Shop) -> Agency:
    return Agency(shop)


def send_here(
    agency: Agency,
    planned: list[Broadcast],
    change: Callable[[int, SendJob], SendJob] = lambda place, job: job,
) -> list[Any]:
    """Send these in this process, each job changed by its place."""
    shop = agency.shop

    async def send() -> list[Any]:
        http = Http(shop.clock, log=lambda text: None)
        meta = Meta(http, Secret(DEFAULT_TOKEN, "the test"), shop.base_url, "v26.0")
        jobs = []
        for place, broadcast in enumerate(planned):
            channel = active(shop.state, broadcast.channel)
            provider, order = MetaProvider(meta, channel, shop.base_url), SendOrder(rate=200.0)
            job = SendJob(provider, channel, broadcast, order, lambda shot: None)
            jobs.append(change(place, job))
        try:
            return await send_together(shop.state, jobs, shop.clock, lambda text: None)
        finally:
            await http.aclose()

    return asyncio.run(send())


def cancel(agency: Agency, broadcast: Broadcast) -> None:
    with agency.shop.state.transaction():
        Broadcasts(agency.shop.state).set_status(broadcast.broadcast_id, Status.CANCELLED)


def test_a_signal_that_comes_while_broadcasts_begin_pauses_all(agency: Agency) -> None:
    first, cancelled, last = planned = [agency.planned(number, 20) for number in (1, 2, 3)]
    cancel(agency, cancelled)

    def interrupt(place: int, job: SendJob) -> SendJob:
        return (
            replace(job, on_end=lambda outcome: signal.raise_signal(signal.SIGINT))
            if (place == 1)
            else job
        )

    outcomes = send_here(agency, planned, interrupt)

    assert [getattr(each, "signal_number", None) for each in outcomes] == [2, None, 2]
    assert [agency.status(each) for each in (first, last)] == [Status.PAUSED] * 2
    assert not agency.taken()


def test_a_broadcast_that_fails_right_after_its_start_is_paused_and_can_be_resumed(
    agency: Agency, cli: Callable[..., Any]
) -> None:
    bad, good = planned = [agency.planned(number, 10) for number in (1, 2)]

    class NoMail(MetaProvider):
        def mailer(self, *_: Any, **more: Any) -> Any:
            raise RuntimeError("no mailer")

    def fail(place: int, job: SendJob) -> SendJob:
        if place:
            return job
        meta = job.provider.meta
        assert meta
        return replace(job, provider=NoMail(meta, job.channel, agency.shop.base_url))

    outcomes = send_here(agency, planned, fail)

    assert [type(each) for each in outcomes] == [RuntimeError, Sent]
    assert [agency.status(each) for each in (bad, good)] == [Status.PAUSED, Status.COMPLETED]
    cli("broadcast", "resume", bad.broadcast_id, "--yes")
    assert agency.status(bad) is Status.COMPLETED


@pytest.mark.parametrize("seconds", [0.0, 0.3], ids=["at once", "while it sends"])
def test_an_error_beside_one_broadcast_pauses_only_that_one(agency: Agency, seconds: float) -> None:
    bad, good = planned = [agency.planned(number, 100) for number in (1, 2)]

    async def work() -> None:
        await asyncio.sleep(seconds)
        raise RuntimeError("it broke")

    def break_one(place: int, job: SendJob) -> SendJob:
        if place:
            return job
        return replace(job, helper=lambda on_failure: meanwhile(work(), on_failure))

    outcomes = send_here(agency, planned, break_one)

    assert [type(each) for each in outcomes] == [RuntimeError, Sent]
    assert [agency.status(each) for each in (bad, good)] == [Status.PAUSED, Status.COMPLETED]
    assert agency.shop.taken_twice() == []


class _Task:
    def __init__(self, phone: int) -> None:
        self.channel = type("Channel", (), {"phone": str(phone)})


def test_up_to_twenty_numbers_are_sent_by_one_process() -> None:
    tasks: Any = [_Task(number % MOST_NUMBERS_IN_A_PROCESS) for number in range(50)]

    assert divide(tasks, 4) == [sorted(range(50), key=lambda n: n % 20)]


def test_more_numbers_are_divided_and_a_number_stays_whole() -> None:
    tasks: Any = [_Task(number % 25) for number in range(50)]

    shares = divide(tasks, 2)

    assert sorted(place for share in shares for place in share) == list(range(50))
    numbers = [{tasks[place].channel.phone for place in share} for share in shares]
    assert [len(each) for each in numbers] == [13, 12]
    assert not numbers[0] & numbers[1]


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes already for two numbers, as on a machine with two cores."""
    monkeypatch.setattr(side_by_side, "MOST_NUMBERS_IN_A_PROCESS", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})


@pytest.mark.usefixtures("divided")
def test_two_processes_send_what_one_would(agency: Agency, cli: Callable[..., Any]) -> None:
    planned = [agency.planned(number, 10) for number in (1, 2, 3)]

    ended = cli("broadcast", "send", *(each.broadcast_id for each in planned), "--yes", "--json")

    assert ended.code == 0, ended.err
    assert {agency.status(each) for each in planned} == {Status.COMPLETED}
    assert ended.data["totals"]["taken"] == 30
    assert agency.shop.taken_twice() == []


# Two processes already for two numbers, as on a machine with two cores.
_DIVIDED = """
import os
from wacoex_cli.broadcast import side_by_side
side_by_side.MOST_NUMBERS_IN_A_PROCESS = 1
os.sched_getaffinity = lambda process: {0, 1}
import sys
from wacoex_cli.__main__ import main
sys.exit(main())
"""


def start_divided(agency: Agency, *arguments: object) -> subprocess.Popen[str]:
    """Start the command so that it sends in two processes, and wait for these."""
    command = agency.shop.start("-c", _DIVIDED, *arguments)
    while len(psutil.Process(command.pid).children()) < 2:
        assert command.poll() is None, command.communicate()
        time.sleep(0.02)
    return command


def test_processes_end_when_the_command_that_started_them_is_killed(agency: Agency) -> None:
    planned = [agency.planned(number, 400) for number in (1, 2, 3)]
    ids = [each.broadcast_id for each in planned]
    command = start_divided(agency, "broadcast", "send", *ids, "--yes")
    children = psutil.Process(command.pid).children()
    while len(agency.taken()) < 3:
        assert command.poll() is None, command.communicate()
        time.sleep(0.02)

    command.kill()
    _, err = command.communicate()

    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    assert "Traceback" not in err
    assert {agency.status(each) for each in planned} == {Status.PAUSED}
    for each in planned:
        counts = agency.shop.counts(each)
        assert counts.keys() <= {"accepted", "pending"}
        assert counts["accepted"] + counts["pending"] == 400
    assert agency.shop.taken_twice() == []


def test_the_others_continue_when_a_process_dies(agency: Agency) -> None:
    planned = [agency.planned(number, 60) for number in (1, 2, 3)]
    ids = [each.broadcast_id for each in planned]
    command = start_divided(agency, "broadcast", "send", *ids, "--yes", "--json")
    while len(agency.taken()) < 3:
        assert command.poll() is None, command.communicate()
        time.sleep(0.02)

    psutil.Process(command.pid).children()[0].kill()
    out, err = command.communicate()

    assert command.returncode == 7, err
    envelope = json.loads(out)
    statuses = [each["status"] for each in envelope["data"]["broadcasts"]]
    assert statuses in (["paused", "completed", "paused"], ["completed", "paused", "completed"])
    [error] = envelope["errors"]
    assert (error["code"], "signal 9" in error["message"]) == ("sender_died", True)
    paused = " ".join(map(str, error["details"]["broadcast_ids"]))
    assert f"wacoex broadcast resume {paused};" in error["hint"]
    for each in planned:
        counts = agency.shop.counts(each)
        assert not counts.keys() & {"sending"}
        assert sum(counts.values()) == 60
    assert agency.shop.taken_twice() == []


def test_a_signal_that_comes_while_processes_start_pauses_all(agency: Agency) -> None:
    planned = [agency.planned(number, 50) for number in (1, 2)]
    ids = [each.broadcast_id for each in planned]
    command = start_divided(agency, "broadcast", "send", *ids, "--yes", "--json")

    command.send_signal(signal.SIGTERM)
    out, err = command.communicate()

    assert command.returncode == 143, err
    assert {each["status"] for each in json.loads(out)["data"]["broadcasts"]} == {"paused"}
    assert [error["code"] for error in json.loads(out)["errors"]] == ["terminated"]


def test_each_number_has_as_many_places_as_when_it_sends_alone():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 4_096 if hard == resource.RLIM_INFINITY else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))

        assert places_for(2) == 2 * WINDOW
        # More files than the shell allows at first: the system allows more when it is asked.
        assert places_for(25) == min(25 * WINDOW, most - 256)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("divided")
def test_a_broadcast_cancelled_after_the_check_is_sent_by_no_process(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, planned = agency.shop, [agency.planned(number, 10) for number in (1, 2)]
    for name, value in shop.environ.items():
        monkeypatch.setenv(name, value)
    invocation = Invocation(quiet=2)
    with invocation.open_workspace() as workspace:
        dialogue = TerminalDialogue(invocation)
        tasks = [
            prepare(workspace, active(shop.state, each.channel), each, SendOrder(), dialogue)
            for each in planned
        ]
        cancel(agency, planned[0])

        outcomes = run_side_by_side(workspace, invocation, tasks, lambda place, news: None)

    assert [type(each) for each in outcomes] == [NotBegun, Sent]
    assert [agency.status(each) for each in planned] == [Status.CANCELLED, Status.COMPLETED]
    assert agency.taken() == {agency.number_id(2): 10}


@pytest.mark.usefixtures("divided")
def test_without_a_further_process_nothing_is_sent_and_the_command_fails(
    agency: Agency, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = [agency.planned(number, 5) for number in (1, 2)]
    monkeypatch.setattr(sys, "executable", str(agency.shop.directory / "no-python"))

    ended = cli("broadcast", "send", *(each.broadcast_id for each in planned), "--yes", "--json")

    assert ended.code == 1
    assert {each["code"] for each in ended.data["left_out"]} == {"no_process"}
    assert {agency.status(each) for each in planned} == {Status.PLANNED}


def test_a_process_reports_to_a_command_that_does_not_read() -> None:
    ours, theirs = Pipe(duplex=False)
    last = RunProgress(Counts(), 2_000, 0)
    with Reporter(theirs) as reporter:
        for number in range(2_000):
            reporter.hear(0, RunProgress(Counts(), number, 0))
            reporter.hear(1, RunProgress(Counts(), number, 0))
        reporter.hear(0, last)
        newest: dict[int, RunProgress] = {}
        while newest.get(0) != last or newest.get(1) != RunProgress(Counts(), 1_999, 0):
            place, news = ours.recv()
            newest[place] = news
    ours.close()
    theirs.close()


def test_lines_that_nobody_reads_do_not_disturb_the_sending(agency: Agency) -> None:
    planned = [agency.planned(number, 40) for number in (1, 2)]
    ids = [each.broadcast_id for each in planned]
    command = start_divided(agency, "broadcast", "send", *ids, "--yes", "-vv")
    assert command.stderr
    assert command.stdout
    command.stderr.close()

    with command.stdout:
        assert command.wait() == 0

    assert [agency.shop.counts(each) for each in planned] == [{"accepted": 40}] * 2


def test_a_suspended_command_suspends_its_processes_too(agency: Agency) -> None:
    planned = [agency.planned(number, 60) for number in (1, 2)]
    ids = [each.broadcast_id for each in planned]
    command = start_divided(agency, "broadcast", "send", *ids, "--yes")
    family = [psutil.Process(command.pid), *psutil.Process(command.pid).children()]
    while len(agency.taken()) < 2:
        assert command.poll() is None, command.communicate()
        time.sleep(0.02)

    command.send_signal(signal.SIGTSTP)
    while {each.status() for each in family} != {psutil.STATUS_STOPPED}:
        time.sleep(0.02)
    command.send_signal(signal.SIGCONT)
    _, err = command.communicate()

    assert command.returncode == 0, err
    assert {agency.status(each) for each in planned} == {Status.COMPLETED}
    assert agency.shop.taken_twice() == []
