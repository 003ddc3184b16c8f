"""Ctrl-C and SIGTERM: the first asks to come to an end, the second to stop now."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
