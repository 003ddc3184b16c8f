"""Time as an argument: the wall clock, the pacing clock, and which boot they belong to."""

import contextlib
import functools
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

_LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """What the rest of the program may know about time."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; comparable between processes of one boot."""
        ...

    def boot_id(self) -> str:
        """Names the boot that `monotonic` counts in."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of `monotonic`."""
        ...


class SystemClock:
    """The real clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def boot_id(self) -> str:
        return _system_boot_id()

    async def sleep(self, seconds: float) -> None:
        # Imported only here: most commands tell the time and never wait.
        import asyncio

        await asyncio.sleep(seconds)


def to_text(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: sorts as text; state file and JSON hold it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """The aware UTC moment of an RFC 3339 text written by `to_text`."""
    return datetime.fromisoformat(text).astimezone(UTC)


@functools.cache
def _system_boot_id() -> str:
    with contextlib.suppress(OSError):
        return _LINUX_BOOT_ID.read_text(encoding="ascii").strip()
    if sys.platform == "darwin":
        import subprocess

        with contextlib.suppress(OSError, subprocess.SubprocessError):
            answer = subprocess.run(
                ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"],
                capture_output=True,
                text=True,
                timeout=2,
                check=True,
            )
            return answer.stdout.strip()
    # No way to tell one boot from the next: every process then counts as another boot,
    # and what it left behind is treated as uncertain rather than guessed.
    return f"unknown-{uuid.uuid4()}"
