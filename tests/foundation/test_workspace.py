"""A process: what its workspace opens and closes, and work beside it."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.workspace import (
    Workspace,
    meanwhile,
    open_workspace,
    short_collections,
)


@pytest.fixture
def warned() -> list[str]:
    return []


def opened(warned: list[str], **environ: str) -> Workspace:
    return open_workspace(
        environ=environ, warn=warned.append, log=warned.append, announce=lambda settings: None
    )


def test_nothing_is_written_until_the_state_is_used(warned: list[str], tmp_path: Path) -> None:
    path = tmp_path / "new" / "wacoex.db"
    with opened(warned, WACOEX_STATE=str(path)) as workspace:
        assert not path.parent.exists()

        assert workspace.state.rows("SELECT * FROM channels") == []

    assert path.exists()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_operations_share_one_event_loop(warned: list[str]) -> None:
    import asyncio

    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    with opened(warned) as workspace:
        assert workspace.run(loop()) is workspace.run(loop())


def test_uvloop_runs_what_runs_where_it_is_installed(warned: list[str]) -> None:
    uvloop = pytest.importorskip("uvloop")
    import asyncio

    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    with opened(warned) as workspace:
        assert isinstance(workspace.run(loop()), uvloop.Loop)


def test_closing_twice_is_harmless(warned: list[str]) -> None:
    workspace = opened(warned)
    assert workspace.state.rows("SELECT * FROM channels") == []
    assert workspace.http is workspace.http

    workspace.close()
    workspace.close()


def test_a_setting_that_looks_wrong_is_warned_about(warned: list[str]) -> None:
    opened(warned, WACOEX_CHANEL="x").close()

    assert warned == [
        "`WACOEX_CHANEL` in the environment is not a setting of wacoex; did you mean"
        " `WACOEX_CHANNEL`?"
    ]


def test_wrong_settings_stop_the_program_before_anything_opens(warned: list[str]) -> None:
    with pytest.raises(UsageError):
        opened(warned, WACOEX_TIMEZONE="Mars/Base")


async def endless() -> None:
    await asyncio.Event().wait()


async def failing() -> None:
    raise ValueError("broken")


def test_unfinished_work_is_cancelled_when_the_block_ends() -> None:
    async def run() -> set[asyncio.Task[None]]:
        async with meanwhile(endless()):
            await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(run()) == set()


def test_a_failure_is_reported_at_once() -> None:
    answer: list[BaseException] = []

    async def run() -> None:
        async with meanwhile(failing(), answer.append):
            await asyncio.sleep(0.01)
            assert str(answer[0]) == "broken"

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(run())
    assert len(answer) == 1


def test_a_failure_that_was_not_reported_is_raised_at_the_end() -> None:
    async def run() -> None:
        async with meanwhile(failing()):
            await asyncio.sleep(0.01)

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(run())


def test_the_failure_of_the_block_itself_comes_first() -> None:
    async def run() -> None:
        async with meanwhile(failing()):
            await asyncio.sleep(0.01)
            raise KeyError("of the block")

    with pytest.raises(KeyError, match="of the block"):
        asyncio.run(run())


def test_work_that_ends_before_the_block_is_not_a_failure() -> None:
    async def run() -> str:
        async with meanwhile(asyncio.sleep(0)):
            await asyncio.sleep(0.01)
        return "done"

    assert asyncio.run(run()) == "done"


@pytest.mark.parametrize("is_set_apart", [True, False])
def test_objects_that_were_frozen_before_stay_frozen(is_set_apart: bool) -> None:
    gc.freeze() if is_set_apart else gc.unfreeze()
    try:
        with short_collections():
            assert gc.get_freeze_count() > 0
        assert (gc.get_freeze_count() > 0) is is_set_apart
    finally:
        gc.freeze()
