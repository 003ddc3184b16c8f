"""A systemd user timer and its service: two files of ours, nothing else is touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.errors import RefusedError, WacoexError
from wacoex_cli.inactivity.job import is_there, run_tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.inactivity.job import Job

TIMER, SERVICE = "wacoex-reminder.timer", "wacoex-reminder.service"
MARK = "# Written by `wacoex reminder schedule install`; `remove` takes it away."


class UserTimer:
    """The timer of this user's own systemd."""

    kind = "systemd"
    reaches_keyring = True

    def problem(self) -> str | None:
        """Why it cannot be used; None when it can be."""
        if not is_there("systemctl"):
            return "there is no `systemctl` command"
        return _systemctl("show-environment")

    def there(self) -> dict[str, str]:
        """Our unit files by path."""
        return {str(path): text for path, text in _files().items() if text.startswith(MARK)}

    def planned(self, job: Job, minute: int) -> dict[str, str]:
        """Our unit files as they are to be; systemd chooses the minute, the same each hour."""
        directory = _directory()
        return {str(directory / SERVICE): service(job), str(directory / TIMER): timer()}

    def is_active(self) -> bool:
        """Whether the timer is enabled and waits."""
        return _systemctl("is-enabled", TIMER) is None and _systemctl("is-active", TIMER) is None

    def install(self, planned: Mapping[str, str]) -> None:
        """Write the units and start the timer.

        Raises RefusedError when units of that name are not ours, WacoexError when it cannot be
        done.
        """
        foreign = [str(path) for path, text in _files().items() if not text.startswith(MARK)]
        if foreign:
            raise RefusedError(
                f"{foreign[0]} was not written by wacoex",
                hint="move it away, or use `--cron`",
                code="schedule_foreign",
            )
        for name, text in planned.items():
            _replace(Path(name), text)
        _demand("daemon-reload")
        _demand("enable", "--now", TIMER)
        _demand("restart", TIMER)

    def remove(self) -> None:
        """Stop the timer and delete the units. Raises WacoexError when that cannot be done."""
        is_usable = self.problem() is None
        if is_usable:
            _demand("disable", "--now", TIMER)
        for name in self.there():
            Path(name).unlink(missing_ok=True)
        if is_usable:
            _demand("daemon-reload")

    def hints(self) -> list[str]:
        """That it stops with the session, unless the user lingers."""
        if is_there("loginctl"):
            ended = run_tool(["loginctl", "show-user", str(os.getuid()), "--property=Linger"])
            if ended.out.strip() == b"Linger=yes":
                return []
        return ["it runs while you are logged in; for always: loginctl enable-linger"]


def service(job: Job) -> str:
    """The service unit of a job."""
    environment = [
        f"Environment={quoted(f'{name}={value}')}" for name, value in job.environment.items()
    ]
    command = " ".join(quoted(one).replace("$", "$$") for one in job.arguments)
    return "\n".join(
        [
            MARK,
            "[Unit]",
            "Description=Tell who must open the WhatsApp Business app",
            "",
            "[Service]",
            "Type=oneshot",
            *environment,
            f"ExecStart={command}",
            "TimeoutStartSec=30min",
            "",
        ]
    )


def timer() -> str:
    """The timer unit: each hour, at a moment of it that systemd chooses once."""
    return "\n".join(
        [
            MARK,
            "[Unit]",
            "Description=Each hour: tell who must open the WhatsApp Business app",
            "",
            "[Timer]",
            "OnCalendar=hourly",
            "RandomizedDelaySec=50min",
            "FixedRandomDelay=true",
            "Persistent=true",
            "",
            "[Install]",
            "WantedBy=timers.target",
            "",
        ]
    )


def quoted(text: str) -> str:
    """A word as unit files spell it: quotes and backslashes escaped, no specifiers."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    is_plain = escaped.replace("%", "").isascii() and not set(escaped) & set(" \"'\\;#")
    return escaped if is_plain else f'"{escaped}"'


def _directory() -> Path:
    given = os.environ.get("XDG_CONFIG_HOME")
    base = Path(given) if given else Path.home() / ".config"
    return base / "systemd" / "user"


def _files() -> dict[Path, str]:
    paths = (_directory() / name for name in (SERVICE, TIMER))
    return {path: path.read_text(errors="replace") for path in paths if path.is_file()}


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise WacoexError(
            f"cannot write {path}: {(error.strerror or 'error').lower()}",
            hint="check the directory and its permissions, or use `--cron`",
            code="schedule_unwritable",
        ) from error


def _systemctl(*arguments: str) -> str | None:
    """Why systemd did not do it; None when it did."""
    ended = run_tool(["systemctl", "--user", *arguments])
    return None if ended.code == 0 else ended.complaint


def _demand(*arguments: str) -> None:
    problem = _systemctl(*arguments)
    if problem is not None:
        raise WacoexError(
            f"`systemctl --user {' '.join(arguments)}` failed: {problem}",
            hint="see `systemctl --user status`, or use `--cron`",
            code="systemd_failed",
        )
