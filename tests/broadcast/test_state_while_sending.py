"""The state file is backed up, checked and guarded while a broadcast runs in another process."""

from __future__ import annotations

import asyncio
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.foundation import backup
from wacoex_cli.sandbox.faults import Fault

PEOPLE = 200


@pytest.fixture
def sender(shop, eventually) -> Iterator[subprocess.Popen[str]]:
    """A child process that is sending broadcast 1, some messages into it, some under way."""
    shop.planned(PEOPLE)
    shop.faults(Fault("latency", seconds=0.5))
    child = shop.start("-m", "wacoex_cli", "broadcast", "send", 1, "--rate", 20, "--yes")
    asyncio.run(eventually(lambda: len(shop.world.log.accepted()) >= 5))
    yield child
    child.kill()
    child.communicate()


def rows_in(shop: Any, state: str) -> Any:
    return shop.state.rows("SELECT * FROM recipients WHERE state = ?", [state])


def killed(sender: subprocess.Popen[str]) -> None:
    sender.send_signal(signal.SIGKILL)
    sender.wait()


def test_a_backup_is_whole_private_and_does_not_disturb_the_sender(cli, shop, sender, eventually):
    before = len(shop.world.log.accepted())
    target = shop.directory / "copy.db"

    taken = cli("state", "backup", target, "--json")

    assert (taken.code, taken.data["integrity"]) == (0, "ok")
    assert backup.problems_in(target) == []
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not list(shop.directory.glob("copy.db?*"))
    asyncio.run(eventually(lambda: len(shop.world.log.accepted()) >= before + 5))
    assert sender.poll() is None


def test_while_a_sender_lives_nothing_is_restored_and_nothing_is_wrong(cli, shop, sender):
    target = shop.directory / "copy.db"
    cli("state", "backup", target)

    refused = cli("state", "restore", target, "--force", "--yes", "--json")
    compacted = cli("state", "prune", "--older-than", 1, "--vacuum", "--yes", "--json")

    for outcome in (refused, compacted):
        assert (outcome.code, outcome.envelope["errors"][0]["code"]) == (6, "locked")
    assert cli("state", "check").code == 0
    [lock] = cli("state", "path", "--json").data["locks"]
    assert (lock["purpose"], lock["pid"], lock["alive"]) == ("broadcast 1", sender.pid, True)


def test_what_the_backup_never_heard_of_is_not_sent_again_unless_somebody_insists(
    cli, shop, sender, eventually
):
    target = shop.directory / "copy.db"
    cli("state", "backup", target)
    known = len(shop.world.log.accepted())
    asyncio.run(eventually(lambda: len(shop.world.log.accepted()) >= known + 15))
    killed(sender)

    refused = cli("state", "restore", target, "--yes", "--json")
    forced = cli("state", "restore", target, "--force", "--yes", "--json")

    assert (refused.code, refused.envelope["errors"][0]["code"]) == (5, "older_state")
    assert refused.envelope["errors"][0]["details"]["lost"]["attempts"] > 0
    assert forced.code == 0
    assert backup.problems_in(Path(forced.data["kept"])) == []
    assert cli("state", "check").code == 0
    assert not list(Path(f"{shop.state.path}.presence").iterdir())


def test_rows_that_were_on_their_way_in_the_backup_are_never_sent_again(cli, shop, sender):
    killed(sender)
    target = shop.directory / "copy.db"
    cli("state", "backup", target)
    claimed = {row["phone"] for row in rows_in(shop, "sending")}

    restored = cli("state", "restore", target, "--yes", "--json").data
    ambiguous = {row["phone"] for row in rows_in(shop, "ambiguous")}

    assert restored["ambiguous"] == len(claimed) > 0
    assert claimed <= ambiguous


def test_a_sender_that_died_is_told_with_the_command_that_settles_it(cli, shop, sender):
    killed(sender)
    claimed = rows_in(shop, "sending")

    told = cli("state", "check", "--json")

    assert told.code == 8
    [problem] = told.data["problems"]
    assert problem["problem"].startswith(f"{len(claimed)} rows of broadcast 1")
    assert problem["remedy"].startswith("wacoex broadcast resume 1 ")
