"""The disk is full: the error names it, nobody is sent to twice, and it continues with room."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import PHONE, PHONE_NUMBER_ID, WABA_ID, World

PLAN = ("broadcast", "plan", "--template", "opening_hours", "--lang", "en_US", "--json")
PEOPLE = 100
MANY = 20_000
BLOCK = 512
ROOM = 360 * 1024


class LimitedFiles:
    """No file may grow beyond `ROOM` bytes while it is full, as under a quota."""

    error = "disk_error"
    kept_for_answers = 0

    def __init__(self, state: Path) -> None:
        self.state = state
        self.behind: tuple[str, ...] = ()

    def fill(self, room: int = ROOM) -> None:
        self.behind = ("sh", "-c", f'ulimit -f {room // BLOCK} && exec "$@"', "sh")

    def make_room(self) -> None:
        self.behind = ()


class SmallDisk:
    """A file system of its own, in memory, that a large file fills up except for `room` bytes."""

    error = "disk_full"
    kept_for_answers = 4 * 1024**2

    def __init__(self, mount_point: Path, holder: int) -> None:
        self.state = mount_point / "wacoex.db"
        self.behind = ("nsenter", "--target", str(holder), "--mount")
        self._inside = Path(f"/proc/{holder}/root", *mount_point.parts[1:])

    def fill(self, room: int = ROOM) -> None:
        free = shutil.disk_usage(self._inside).free
        with (self._inside / "large").open("ab") as large:
            large.write(bytes(max(0, free - room)))

    def make_room(self) -> None:
        (self._inside / "large").unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """It is mounted for one process only, and gone with it, however the test ends."""
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    mount = 'mount -t tmpfs -o size=32m tmpfs "$1" && echo mounted && exec cat'
    try:
        holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", mount, "sh", str(mount_point)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        pytest.skip("there is no `unshare` here")
    with holder:
        assert holder.stdout is not None
        if not holder.stdout.readline():
            pytest.skip("a disk can be mounted by root only")
        yield SmallDisk(mount_point, holder.pid)


@pytest.fixture(params=["small_disk", "limited_files"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Where the state file of the test is."""
    if request.param == "small_disk":
        return request.getfixturevalue("small_disk")
    return LimitedFiles(tmp_path / "state/wacoex.db")


@pytest.fixture
def wacoex(child, disk, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the program with its state on that disk."""
    monkeypatch.setenv("WACOEX_STATE", str(disk.state))

    def run(*arguments: object) -> Any:
        return child(*map(str, arguments), behind=disk.behind)

    ids = ("--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID)
    assert run("channel", "add", "shop", "--phone", PHONE, *ids).code == 0
    return run


def people(count: int) -> Path:
    """A list of different people, with an absolute path: namespaces have their own directory."""
    file = Path("people.csv").absolute()
    lines = [f"+6591{row:06},{'x' * 100}\n" for row in range(count)]
    file.write_text("phone,note\n" + "".join(lines), encoding="utf-8")
    return file


def data_of(ended: Any) -> dict[str, Any]:
    """The `data` of an envelope."""
    return dict(json.loads(ended.out)["data"])


def problem_of(ended: Any) -> dict[str, str]:
    """The one error in an envelope."""
    [error] = json.loads(ended.out)["errors"]
    return dict(error)


def test_a_plan_without_room_on_the_disk_leaves_nothing_behind(wacoex, disk) -> None:
    disk.fill()
    planned = wacoex(*PLAN, people(MANY))

    assert (planned.code, problem_of(planned)["code"]) == (8, disk.error)
    assert "try again; wacoex keeps what it recorded" in problem_of(planned)["hint"]
    assert "Traceback" not in planned.err

    disk.make_room()
    assert data_of(wacoex("broadcast", "list", "--json"))["broadcasts"] == []
    assert data_of(wacoex(*PLAN, people(PEOPLE)))["recipients"] == PEOPLE


def test_a_disk_that_fills_up_while_sending_sends_nobody_twice(wacoex, disk, shop: World) -> None:
    wacoex(*PLAN, people(PEOPLE))
    shop.faults.replace([Fault("latency", seconds=0.2)])
    disk.fill(ROOM + disk.kept_for_answers)

    sent = wacoex("broadcast", "send", "--yes")
    disk.fill()
    again = wacoex("broadcast", "resume", 1, "--yes", "--json")

    assert (sent.code, again.code) == (7 if disk.kept_for_answers else 8, 8)
    assert "error: " in sent.err
    assert "Traceback" not in sent.err
    assert "to continue: wacoex broadcast resume 1" in sent.err
    assert problem_of(again)["code"] == disk.error
    assert 0 < len(shop.log.accepted()) < PEOPLE

    disk.make_room()
    resumed = wacoex("broadcast", "resume", 1, "--yes", "--json")

    counts = data_of(resumed)["counts"]
    unclear = data_of(wacoex("broadcast", "reconcile", 1, "--json"))["rows"]
    times = Counter(arrival.recipient for arrival in shop.log.accepted())
    assert set(times.values()) == {1}
    assert counts["accepted"] + len(unclear) == PEOPLE
    assert len(times.keys() | {row["phone"] for row in unclear}) == PEOPLE
    assert resumed.code == (7 if unclear else 0)


@pytest.mark.parametrize("disk", ["small_disk"], indirect=True)
def test_a_sender_stops_while_the_disk_can_still_take_the_answers(
    wacoex, disk, shop: World
) -> None:
    wacoex(*PLAN, people(PEOPLE))
    shop.faults.replace([Fault("latency", seconds=0.2)])
    disk.fill(ROOM + disk.kept_for_answers)

    sent = wacoex("broadcast", "send", "--yes", "--json")
    accepted = len(shop.log.accepted())
    disk.fill()
    again = wacoex("broadcast", "resume", 1, "--yes", "--json")

    assert (sent.code, again.code) == (7, 8)
    assert problem_of(sent)["code"] == problem_of(again)["code"] == "disk_full"
    assert "the disk is nearly full" in problem_of(sent)["message"]
    shown = data_of(wacoex("broadcast", "show", 1, "--json"))
    assert shown["status"] == "paused"
    assert shown["counts"]["accepted"] == len(shop.log.accepted()) == accepted > 0
    assert shown["counts"]["pending"] == PEOPLE - accepted > 0
