"""Work that goes on beside other work, and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine


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
