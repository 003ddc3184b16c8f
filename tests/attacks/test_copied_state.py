"""A copy, a snapshot, a restored file: what another copy may have sent is not sent again."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.bench.harness import phone

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.attacks.conftest import Attack, Ended

PEOPLE = 30
ENDINGS = ("", "-wal", "-shm", ".lock", ".generation", ".presence")


def planned(attack: Attack, people: int = PEOPLE) -> str:
    return attack.home.plan(people)


def everybody() -> list[str]:
    return [phone(place) for place in range(PEOPLE)]


def on(path: Path) -> dict[str, Any]:
    """What makes a command use another state file."""
    return {"environ": {"WACOEX_STATE": str(path)}}


def copy_alone(state: Path, target: Path) -> None:
    """The database file, without the files beside it."""
    target.parent.mkdir()
    shutil.copy2(state, target)


def copy_with_everything(state: Path, target: Path) -> None:
    """The whole directory, as rsync or a file manager copies it."""
    target.parent.mkdir()
    for ending in ENDINGS:
        source = Path(f"{state}{ending}")
        if source.is_dir():
            shutil.copytree(source, f"{target}{ending}")
        elif source.exists():
            shutil.copy2(source, f"{target}{ending}")


COPIES: list[Callable[[Path, Path], None]] = [copy_alone, copy_with_everything]


def sent_by_the_original_and_refused_by(
    attack: Attack, copy: Path, number: str, verb: str = "send"
) -> None:
    """Both start to send; then the copy is adopted, and starts again."""
    original = attack.home.start("broadcast", verb, number, "--yes")
    refused = attack.run("broadcast", verb, number, "--yes", **on(copy))
    assert (refused.code, refused.codes) == (5, ["state_copied"])
    assert "wacoex state adopt" in refused.envelope["errors"][0]["hint"]
    assert attack.end(original).code == 0
    adopted_and_resumed(attack, copy, number)


def adopted_and_resumed(attack: Attack, copy: Path, number: str) -> Ended:
    assert attack.run("state", "check", **on(copy)).code == 8
    adopted = attack.run("state", "adopt", "--yes", **on(copy))
    assert (adopted.code, adopted.data["adopted"]) == (0, True), adopted.err
    assert attack.run("state", "check", **on(copy)).code == 0
    return attack.run("broadcast", "resume", number, "--yes", **on(copy))


@pytest.mark.parametrize("copied", COPIES, ids=lambda copied: copied.__name__)
def test_a_planned_broadcast_is_sent_from_two_copies(
    attack: Attack, copied: Callable[[Path, Path], None]
) -> None:
    number = planned(attack)
    copy = attack.home.directory / "elsewhere" / "wacoex.db"
    copied(attack.home.state, copy)

    sent_by_the_original_and_refused_by(attack, copy, number)
    attack.judge(everybody())


def test_a_copy_that_was_made_while_the_original_was_sending(attack: Attack) -> None:
    number = planned(attack)
    original = attack.home.start("broadcast", "send", number, "--yes")
    while attack.sandbox.control("GET", "summary")["arrivals"] < 5:
        time.sleep(0.01)
    copy = attack.home.directory / "elsewhere" / "wacoex.db"
    copy_with_everything(attack.home.state, copy)
    refused = attack.run("broadcast", "resume", number, "--yes", **on(copy))
    assert refused.code == 5, refused.err
    assert attack.end(original).code == 0
    resumed = adopted_and_resumed(attack, copy, number)

    assert resumed.data["counts"]["ambiguous"] > 0
    attack.judge(everybody())


def test_a_backup_is_used_as_the_state_file(attack: Attack) -> None:
    number = planned(attack)
    backup = attack.home.directory / "backup.db"
    assert attack.run("state", "backup", str(backup)).code == 0

    sent_by_the_original_and_refused_by(attack, backup, number)
    attack.judge(everybody())


def put_in_place(attack: Attack, backup: Path, *, is_moved: bool = False) -> None:
    """Let a backup be the state file, as somebody does who does not know `state restore`."""
    if is_moved:
        backup.replace(attack.home.state)
    else:
        shutil.copyfile(backup, attack.home.state)
    for ending in ("-wal", "-shm"):
        Path(f"{attack.home.state}{ending}").unlink(missing_ok=True)


@pytest.mark.parametrize("is_moved", [True, False], ids=["moved", "overwritten"])
def test_an_older_backup_comes_in_place_of_the_file(attack: Attack, is_moved: bool) -> None:
    number = planned(attack)
    backup = attack.home.directory / "backup.db"
    assert attack.run("state", "backup", str(backup)).code == 0
    assert attack.run("broadcast", "send", number, "--yes").code == 0
    put_in_place(attack, backup, is_moved=is_moved)

    refused = attack.run("broadcast", "send", number, "--yes")
    assert (refused.code, refused.codes) == (5, ["state_copied"])
    adopted_and_resumed(attack, attack.home.state, number)
    attack.judge(everybody())


def test_a_backup_made_during_a_run_comes_back_after_it(attack: Attack) -> None:
    """Nothing was planned or started since: only the end of the run tells it from the present."""
    number = planned(attack)
    backup = attack.home.directory / "backup.db"
    sender = attack.home.start("broadcast", "send", number, "--yes")
    while attack.sandbox.control("GET", "summary")["arrivals"] < 3:
        time.sleep(0.01)
    assert attack.run("state", "backup", str(backup)).code == 0
    assert attack.end(sender).code == 0
    put_in_place(attack, backup)

    refused = attack.run("broadcast", "resume", number, "--yes")
    assert (refused.code, refused.codes) == (5, ["state_copied"])
    adopted_and_resumed(attack, attack.home.state, number)
    attack.judge(everybody())


def test_a_backup_restored_by_force_must_be_adopted_first(attack: Attack) -> None:
    number = planned(attack)
    backup = attack.home.directory / "backup.db"
    assert attack.run("state", "backup", str(backup)).code == 0
    assert attack.run("broadcast", "send", number, "--yes").code == 0

    assert attack.run("state", "restore", str(backup), "--yes").code == 5
    restored = attack.run("state", "restore", str(backup), "--force", "--yes")
    assert restored.data["must_be_adopted"]
    assert attack.run("broadcast", "send", number, "--yes").code == 5
    adopted_and_resumed(attack, attack.home.state, number)
    attack.judge(everybody())


def test_a_backup_that_lacks_nothing_is_restored_and_sent_at_once(attack: Attack) -> None:
    number = planned(attack)
    backup = attack.home.directory / "backup.db"
    assert attack.run("state", "backup", str(backup)).code == 0

    restored = attack.run("state", "restore", str(backup), "--yes")
    assert not restored.data["must_be_adopted"]
    assert attack.run("broadcast", "send", number, "--yes").code == 0
    attack.judge(everybody())


def test_the_same_volume_in_a_new_container_asks_nothing(attack: Attack) -> None:
    """A new hostname, no id of a machine, the same directory."""
    container: dict[str, Any] = {"environ": {"container": "podman", "HOSTNAME": "d1f00d"}}
    again: dict[str, Any] = {"environ": {"container": "podman", "HOSTNAME": "0ther"}}
    path = attack.write_list(PEOPLE)
    template = ("--template", "order_ready", "--lang", "en_US", "--param", "1=name")
    plan = ("broadcast", "plan", str(path), *template, "--param", "2=id", "-c", "first")
    number = str(attack.run(*plan, **container).data["broadcast_id"])
    process = attack.home.start("broadcast", "send", number, "--yes", **container)
    while attack.sandbox.control("GET", "summary")["arrivals"] < 5:
        time.sleep(0.01)
    process.terminate()
    assert attack.end(process).code == 143

    assert attack.run("state", "check", **again).code == 0
    assert attack.run("broadcast", "resume", number, "--yes", **again).code == 0
    attack.judge(everybody())


def test_a_person_settles_what_another_copy_may_have_sent(attack: Attack) -> None:
    number = planned(attack)
    copy = attack.home.directory / "elsewhere" / "wacoex.db"
    copy_alone(attack.home.state, copy)
    attack.run("state", "adopt", "--yes", **on(copy))

    requests = attack.run("broadcast", "reconcile", number, "--offline", **on(copy))
    assert {row["detail"] for row in requests.data["rows"]} == {
        "another copy of the state file may have sent it"
    }
    again = ("broadcast", "reconcile", number, "--resend", "--expect", str(PEOPLE), "--offline")
    assert attack.run(*again, **on(copy)).data["settled"] == PEOPLE
    assert attack.run("broadcast", "resume", number, "--yes", **on(copy)).code == 0
    attack.judge(everybody())


def test_commands_that_only_read_refuse_nothing_in_a_copy(attack: Attack) -> None:
    number = planned(attack)
    copy = attack.home.directory / "elsewhere" / "wacoex.db"
    copy_alone(attack.home.state, copy)

    for command in (("show", number), ("list",)):
        assert attack.run("broadcast", *command, **on(copy)).code == 0
    status = attack.run("status", "--offline", **on(copy))
    assert "WX711" in [finding["id"] for finding in status.data["findings"]]
    assert not Path(f"{copy}.generation").exists()
    attack.judge([])
