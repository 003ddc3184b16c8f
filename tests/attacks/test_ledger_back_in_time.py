"""The state file loses what it recorded last, while the notes of the sender are still there."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bench.harness import phone
from wacoex_cli.foundation.locks import presence_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.attacks.conftest import Attack

PEOPLE = 40
TEMPLATE = (
    *("--template", "order_ready", "--lang", "en_US"),
    *("--param", "1=name", "--param", "2=id", "-c", "first"),
)


def planned(attack: Attack, people: int = PEOPLE) -> str:
    path = attack.write_list(people)
    return str(attack.run("broadcast", "plan", str(path), *TEMPLATE).data["broadcast_id"])


def killed_while_sending(attack: Attack, number: str, after: int = 12) -> None:
    """Send, and kill the sender when this many messages have arrived."""
    process = attack.home.start("broadcast", "send", number, "--yes")
    while attack.sandbox.control("GET", "summary")["arrivals"] < after:
        time.sleep(0.01)
    process.kill()
    attack.end(process)


def beside(attack: Attack, ending: str) -> Path:
    return Path(f"{attack.home.state}{ending}")


def without_log(attack: Attack) -> None:
    beside(attack, "-wal").unlink()


def without_log_and_index(attack: Attack) -> None:
    beside(attack, "-wal").unlink()
    beside(attack, "-shm").unlink()


def half_a_log(attack: Attack) -> None:
    log = beside(attack, "-wal")
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size // 2)
    beside(attack, "-shm").unlink()


def zeros_in_the_log(attack: Attack) -> None:
    log = beside(attack, "-wal")
    with log.open("r+b") as file:
        file.seek(log.stat().st_size // 3)
        file.write(bytes(log.stat().st_size // 3))
    beside(attack, "-shm").unlink()


def without_index(attack: Attack) -> None:
    beside(attack, "-shm").unlink()


HARMS: list[Callable[[Attack], None]] = [
    without_log,
    without_log_and_index,
    half_a_log,
    zeros_in_the_log,
    without_index,
]


@pytest.mark.parametrize("people", [PEOPLE, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_the_log_is_lost_after_a_kill(
    attack: Attack, harm: Callable[[Attack], None], people: int
) -> None:
    number = planned(attack, people)
    killed_while_sending(attack, number, after=people // 4)
    harm(attack)

    checked = attack.run("state", "check")
    assert checked.code == 8
    status = attack.run("broadcast", "show", number).data["status"]
    verb = "send" if status == "planned" else "resume"
    ended = attack.run("broadcast", verb, number, "--yes")

    assert ended.data["status"] == "completed", ended.err
    doubtful = ended.data["counts"]["ambiguous"]
    assert doubtful <= people / 2
    attack.judge([phone(place) for place in range(people)], open_rows=doubtful)


def test_the_notes_stay_until_the_file_itself_knows_every_row(attack: Attack) -> None:
    number = planned(attack, 12)
    assert attack.run("broadcast", "send", number, "--yes").code == 0

    notes = [path for path in presence_directory(attack.home.state).iterdir() if path.suffix == ""]
    assert notes == []
    for ending in ("-wal", "-shm"):
        beside(attack, ending).unlink(missing_ok=True)
    shown = attack.run("broadcast", "show", number).data
    assert (shown["status"], shown["counts"]["pending"]) == ("completed", 0)
    attack.judge([phone(place) for place in range(12)])


def test_an_older_file_in_place_of_the_one_whose_sender_was_killed(attack: Attack) -> None:
    """Overwritten with the same inode, as `cp` does it: the file does not know the broadcast."""
    old = attack.home.directory / "old.db"
    attack.run("state", "backup", str(old))
    number = planned(attack)
    killed_while_sending(attack, number)
    shutil.copyfile(old, attack.home.state)
    for ending in ("-wal", "-shm"):
        beside(attack, ending).unlink(missing_ok=True)

    assert attack.run("state", "check").code == 8
    again = attack.run("broadcast", "plan", str(attack.home.directory / "list.csv"), *TEMPLATE)
    assert (again.code, again.codes) == (5, ["state_copied"])
    adopted = attack.run("state", "adopt", "--yes")
    assert adopted.data["adopted"]
    fresh = int(planned(attack, 1))
    assert fresh > int(number) + 1, "its number must not be used again"
