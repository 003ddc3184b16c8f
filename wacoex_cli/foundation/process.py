"""What a long run does with its process: signals, work beside it, garbage collection."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

STOPPING = "stopping: requests under way may end (10 s at most); again to stop at once"
"""What a person is told at the first signal."""

_SAME_KEYSTROKE_SECONDS = 0.2


@contextlib.contextmanager
def interruptible(
    on_first: Callable[[int], None], on_again: Callable[[int], None]
) -> Iterator[list[int]]:
    """Hear both signals while the block runs; gives the numbers of those that came, in order.

    A shell may send one keystroke to several processes, which pass it on: what comes within 0.2
    seconds of the first counts as that one.
    """
    loop = asyncio.get_running_loop()
    received: list[int] = []
    first_at = 0.0

    def handle(number: signal.Signals) -> None:
        nonlocal first_at
        if received and loop.time() - first_at < _SAME_KEYSTROKE_SECONDS:
            return
        if received:
            on_again(number)
        else:
            first_at = loop.time()
            on_first(number)
        received.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, handle, number)
    try:
        yield received
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def meanwhile(
    work: Coroutine[Any, Any, None], on_failure: Callable[[BaseException], None] | None = None
) -> AsyncIterator[None]:
    """Do `work` while the block runs; what is left of it is cancelled at the end.

    Its failure is never lost: `on_failure` is told at once, and a block that ends well raises it.
    """

    def ended(task: asyncio.Task[None]) -> None:
        if on_failure and not task.cancelled() and (error := task.exception()) is not None:
            on_failure(error)

    task = asyncio.create_task(work)
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


@contextlib.contextmanager
def short_collections() -> Iterator[None]:
    """A full garbage collection of the loaded program takes 30 ms: longer than the guard.

    A message that waited for it arrived too close to the one twenty slots later.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
