"""One line in the user's crontab. Every other line stays as it is, byte for byte.

The system's own `crontab` command reads and writes it: a library would parse and print the lines
of others anew.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from wacoex_cli.errors import WacoexError
from wacoex_cli.inactivity.job import is_there, run_tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.inactivity.job import Job

MARK = b"# wacoex reminder notify"
"""What our line ends with; the shell reads it as a comment."""

_PLACE = "crontab"
# What `crontab -l` says when there is none: cron, cronie and macOS; busybox.
_NONE_YET = re.compile(rb"no crontab for|can't open .*no such file", re.IGNORECASE | re.DOTALL)
_LONGEST_LINE = 998  # cron reads no more (crontab: MAX_COMMAND)
_OURS = re.compile(rb"\s*(\d{1,2}) .*" + re.escape(MARK) + rb"\s*", re.DOTALL)


class Crontab:
    """The crontab of this user."""

    kind = "cron"
    reaches_keyring = False

    def problem(self) -> str | None:
        """Why it cannot be used; None when it can be."""
        if not is_there("crontab"):
            return "there is no `crontab` command"
        try:
            _read()
        except WacoexError as error:
            return error.message
        return None

    def there(self) -> dict[str, str]:
        """Our line, or nothing."""
        if self.problem():
            return {}
        lines = [one for one in _read().split(b"\n") if is_ours(one)]
        return {_PLACE: b"\n".join(lines).decode(errors="replace")} if lines else {}

    def planned(self, job: Job, minute: int) -> dict[str, str]:
        """Our line as it is to be; an installed one keeps its minute."""
        found = _OURS.fullmatch(self.there().get(_PLACE, "").encode())
        return {_PLACE: line(job, int(found[1]) if found else minute)}

    def is_active(self) -> bool:
        """Cron reads a crontab by itself."""
        return True

    def install(self, planned: Mapping[str, str]) -> None:
        """Put our line there. Raises WacoexError when the crontab cannot be written."""
        _write(with_line(_read(), planned[_PLACE].encode()))

    def remove(self) -> None:
        """Take our line away. Raises WacoexError when the crontab cannot be written."""
        before = _read()
        after = without_line(before)
        if after != before:
            _write(after)

    def hints(self) -> list[str]:
        """What else is to be known."""
        return []


def line(job: Job, minute: int) -> str:
    """The crontab line of a job, at that minute of each hour.

    Raises WacoexError when it is longer than cron reads.
    """
    settings = [f"{name}={_quoted(value)}" for name, value in job.environment.items()]
    command = " ".join([*settings, *(_quoted(one) for one in job.arguments)])
    text = f"{minute} * * * * {command} {MARK.decode()}"
    if len(text.encode()) > _LONGEST_LINE:
        raise WacoexError(
            "the line would be longer than cron reads",
            hint="use shorter paths, or put the settings into a file for `--env-file`",
            code="schedule_unwritable",
        )
    return text


def _quoted(word: str) -> str:
    """A word for the shell behind cron, which takes a bare `%` for the end of the command.

    The escape stands outside quotes, so that a cron that leaves it alone does no harm.
    """
    return "\\%".join(shlex.quote(part) if part else "" for part in word.split("%")) or "''"


def is_ours(one: bytes) -> bool:
    """Whether a line was added by wacoex."""
    return _OURS.fullmatch(one) is not None


def with_line(content: bytes, ours: bytes) -> bytes:
    """A crontab with our line, in the place of an older one or at the end."""
    lines = content.split(b"\n")
    at = next((number for number, one in enumerate(lines) if is_ours(one)), None)
    if at is None:
        return _ended(content) + ours + b"\n"
    rest = [one for one in lines[at + 1 :] if not is_ours(one)]
    return _ended(b"\n".join([*lines[:at], ours, *rest]))


def without_line(content: bytes) -> bytes:
    """A crontab without our line."""
    return _ended(b"\n".join(one for one in content.split(b"\n") if not is_ours(one)))


def _ended(content: bytes) -> bytes:
    """With the line end that `crontab` demands after the last line."""
    return content + b"\n" if content and not content.endswith(b"\n") else content


def _read() -> bytes:
    ended = run_tool(["crontab", "-l"])
    if ended.code == 0:
        return ended.out
    # Anything else must not pass for an empty crontab, which would then replace a full one.
    if _NONE_YET.search(ended.err):
        return b""
    raise WacoexError(
        f"the crontab cannot be read: {ended.complaint}",
        hint="see what `crontab -l` says",
        code="crontab_unreadable",
    )


def _write(content: bytes) -> None:
    ended = run_tool(["crontab", "-"], stdin=content)
    if ended.code != 0:
        raise WacoexError(
            f"the crontab cannot be written: {ended.complaint}",
            hint="it is as it was; see whether you may use cron (cron.allow, cron.deny)",
            code="crontab_unwritable",
        )
