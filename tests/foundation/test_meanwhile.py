"""Work beside other work: it ends with it, and its failure is never lost."""

from __future__ import annotations

import asyncio

import pytest

from wacoex_cli.foundation.workspace import meanwhile


async def for_ever() -> None:
    await asyncio.Event().wait()


async def failing() -> None:
    raise ValueError("broken")


def test_what_is_left_of_the_work_is_cancelled_when_the_block_ends() -> None:
    async def run() -> set[asyncio.Task[None]]:
        async with meanwhile(for_ever()):
            await asyncio.sleep(0)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(run()) == set()


def test_a_failure_is_told_at_once() -> None:
    told: list[BaseException] = []

    async def run() -> None:
        async with meanwhile(failing(), told.append):
            await asyncio.sleep(0.01)
            assert str(told[0]) == "broken"

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(run())
    assert len(told) == 1


def test_a_failure_nobody_is_told_of_is_raised_at_the_end() -> None:
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


def test_work_that_ends_before_the_block_is_no_failure() -> None:
    async def run() -> str:
        async with meanwhile(asyncio.sleep(0)):
            await asyncio.sleep(0.01)
        return "done"

    assert asyncio.run(run()) == "done"
