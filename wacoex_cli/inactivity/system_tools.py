"""Running the small programs of the system: `crontab`, `systemctl`, `loginctl`."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.errors import TemporaryError, WacoexError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    out: bytes
    err: bytes

    @property
    def complaint(self) -> str:
        """The last line of what it complained about."""
        lines = self.err.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self.code}"


def is_there(name: str) -> bool:
    """Whether such a program can be started."""
    return shutil.which(name) is not None


def run_tool(
    arguments: Sequence[str],
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    directory: str | None = None,
) -> Ended:
    """Run a program to its end, with English messages.

    Raises WacoexError when there is no such program, TemporaryError when it does not end within
    30 seconds.
    """
    given = os.environ if environment is None else environment
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and no part of it comes from outside
            list(arguments),
            input=stdin,
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
            env={**given, "LC_ALL": "C"},
            cwd=directory,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TemporaryError(
            f"`{arguments[0]}` does not end", hint="try again, or look what it waits for"
        ) from error
    except OSError as error:
        raise WacoexError(
            f"cannot run `{arguments[0]}`: {(error.strerror or 'error').lower()}",
            hint="install it, or use another way to schedule",
            code="tool_missing",
        ) from error
    return Ended(done.returncode, done.stdout, done.stderr)
