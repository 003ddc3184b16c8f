"""Limits of a person and of a day, by the commands: two processes, days of waiting, cron."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from tests.broadcast.stage import (
    Command,
    Ended,
    Machine,
    furnish,
    make_home,
    place_in_memory,
)
from wacoex_cli.foundation.clock import to_text

DAY_SECONDS = 24 * 3600.0
LISTED = ("+5491123456789", "+541123456789", "+6591000001", "+6591000002")
SPELLED = {"+541123456789": "+5491123456789"}
MESSAGES = {
    "first": ("opening_hours",),
    "second": ("order_ready", "--text", "1=Ana", "--text", "2=7"),
}
"""The template of each channel, with its values: nobody has the message from the other one."""
FEW, MANY = 2, 40


class Home:
    """A state file with our numbers, and a machine of its own."""

    def __init__(self, directory: Path, empty: Path) -> None:
        self.directory = directory
        shutil.copytree(empty, directory / "home")
        self.machine = Machine()
        furnish(self.machine.world)
        self.path = directory / "home" / "wacoex.db"

    def command(self, *arguments: str) -> Command:
        """A command of `broadcast`."""
        return Command(self.path, ("broadcast", *arguments))

    def run(self, *arguments: str, days: float = 0.04) -> Ended:
        """How one command ended."""
        most = days * DAY_SECONDS
        (ended,) = self.machine.run(self.command(*arguments), most_seconds=most)
        return ended

    def plan(self, people: Sequence[str], *flags: str, channel: str = "first") -> str:
        """Plan a list of these people; gives the number of the broadcast."""
        path = self.directory / "people.csv"
        path.write_text("\n".join(["phone", *people, ""]), encoding="utf-8")
        template = ("--template", *MESSAGES[channel], "--lang", "en_US", "--channel", channel)
        ended = self.run("plan", str(path), *template, *flags)
        assert ended.code == 0, ended
        return str(ended.data["broadcast_id"])

    def taken(self) -> Counter[str]:
        """How many messages Meta took for each person."""
        phones = (f"+{each.to.removeprefix('+')}" for each in self.machine.taken)
        return Counter(SPELLED.get(phone, phone) for phone in phones)

    def days(self) -> list[int]:
        """How many messages left on each day since the first."""
        first = self.machine.taken[0].at
        days = Counter((each.at - first) // timedelta(days=1) for each in self.machine.taken)
        return [days[day] for day in range(max(days) + 1)]


@pytest.fixture(scope="module")
def empty() -> Iterator[Path]:
    with place_in_memory() as place:
        make_home(place / "home")
        yield place / "home"


@pytest.fixture
def home(empty: Path) -> Iterator[Home]:
    with _home(empty) as found:
        yield found


@contextlib.contextmanager
def _home(empty: Path) -> Iterator[Home]:
    with place_in_memory() as directory:
        found = Home(directory, empty)
        yield found
        found.machine.close()


@pytest.mark.parametrize("flag", ["--max", "--per-day"])
def test_two_processes_on_two_channels_keep_one_limit(empty: Path, flag: str) -> None:
    for seed in range(FEW):
        _send_side_by_side(empty, seed, flag)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flag", ["--max", "--per-day"])
def test_two_processes_on_two_channels_keep_one_limit_many_times(empty: Path, flag: str) -> None:
    for seed in range(FEW, MANY):
        _send_side_by_side(empty, seed, flag)


def _send_side_by_side(empty: Path, seed: int, flag: str) -> None:
    """Let two processes send at once; the order in which they take turns is left to chance."""
    chance, limit = random.Random(seed), {"--max": "1/7d", "--per-day": "2"}[flag]
    with _home(empty) as home:
        lists = {channel: chance.sample(LISTED, 3) for channel in MESSAGES}
        numbers = [
            home.plan(people, flag, limit, channel=channel) for channel, people in lists.items()
        ]
        sending = [home.command("send", number, "--yes") for number in numbers]
        turns = [chance.randrange(2) for _ in range(200)]
        ended = home.machine.run(*sending, turns=turns, late=chance.randrange(60))
        taken = home.taken()
    if flag == "--max":
        people = {SPELLED.get(phone, phone) for each in lists.values() for phone in each}
        assert taken == Counter(people)
        assert [each.code for each in ended] == [0, 0]
    else:
        assert sum(taken.values()) == 2
        paused = [each.data for each in ended if each.data["status"] == "paused"]
        assert paused
        assert all(each["continues_at"] for each in paused)


def test_a_waiting_broadcast_continues_each_day(home: Home) -> None:
    number = home.plan(LISTED[1:], "--ramp", "1,+50%")

    ended = home.run("send", number, "--yes", "--wait", days=2)

    assert ended.code == 0, ended
    assert home.days() == [1, 2]


def test_a_broadcast_that_waits_ends_at_its_time(home: Home) -> None:
    number = home.plan(LISTED[1:], "--per-day", "1")
    until = to_text(home.machine.moment + timedelta(hours=30))

    ended = home.run("send", number, "--yes", "--wait", "--until", until, days=3)

    assert ended.code == 7
    assert ended.data["status"] == "paused"
    assert home.days() == [1, 1]


def test_cron_continues_each_day_until_everybody_has_the_message(home: Home) -> None:
    number = home.plan(LISTED[1:], "--per-day", "1")
    codes = [home.run("send", number, "--yes").code]

    early = home.run("resume", number, "--yes")
    for _ in range(2):
        home.machine.advance(DAY_SECONDS)
        codes.append(home.run("resume", number, "--yes").code)

    assert codes == [7, 7, 0]
    assert early.code == 7
    assert early.data["continues_at"].startswith("2025-11-08T12:00:00")
    assert home.days() == [1, 1, 1]


def test_a_cron_job_that_comes_some_minutes_early_waits_them(home: Home) -> None:
    number = home.plan(LISTED[2:], "--per-day", "1")
    home.run("send", number, "--yes")

    home.machine.advance(DAY_SECONDS - 300)
    ended = home.run("resume", number, "--yes")

    assert ended.code == 0
    assert home.days() == [1, 1]


def test_somebody_pauses_a_broadcast_that_waits(home: Home) -> None:
    number = home.plan(LISTED[2:], "--per-day", "1")
    sending = home.command("send", number, "--yes", "--wait")

    waiting, paused = home.machine.run(
        sending, home.command("pause", number), late=400, most_seconds=2 * DAY_SECONDS
    )

    assert paused.data["reason"].startswith("paused by")
    assert waiting.data["reason"] == paused.data["reason"]
    assert len(home.machine.taken) == 1


def test_a_person_at_the_limit_gets_the_next_message_afterwards(home: Home) -> None:
    first = home.plan(LISTED[2:], "--rest", "3d")
    home.run("send", first, "--yes")
    second = home.plan(LISTED[1:], "--rest", "3d", channel="second")

    shown = home.run("show", second).data
    assert (shown["recipients"], shown["counts"]["skipped"]) == (1, 2)
    home.machine.advance(3 * DAY_SECONDS)
    third = home.plan(LISTED[1:], "--rest", "3d", channel="second")
    assert home.run("show", third).data["counts"]["skipped"] == 0


def test_the_setting_applies_without_an_option_and_none_lifts_it(home: Home) -> None:
    config = home.directory / "home" / "config" / "config.toml"
    config.parent.mkdir(exist_ok=True)
    config.write_text('[pressure]\nmax = "1/7d"\n', encoding="utf-8")
    home.run("send", home.plan(LISTED[2:]), "--yes")

    again = home.run("show", home.plan(LISTED[1:], channel="second")).data
    lifted = home.run("show", home.plan(LISTED[1:], "--max", "none", channel="second")).data

    assert (again["counts"]["skipped"], lifted["counts"]["skipped"]) == (2, 0)
