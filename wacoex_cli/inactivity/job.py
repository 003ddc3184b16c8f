"""What a schedule starts: the installed program with the settings of this shell, no secrets."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.errors import TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation.secrets import Place
from wacoex_cli.foundation.settings import default_config_dir, default_state_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace

EVERY_SECONDS = 3600
_PATIENCE_SECONDS = 30.0
_PLAIN = ("WACOEX_KEYRING", "WACOEX_PUBLIC_URL", "WACOEX_TIMEZONE")
_SECRETS = re.compile(r"WACOEX_(NOTIFY_URLS|HEARTBEAT_URL)(_[A-Z0-9_]+)?")
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f]")
_BARE = {"PATH": "/usr/bin:/bin"}


@dataclass(frozen=True)
class Job:
    """A command line, whole and absolute, and the environment variables it needs."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


def job_for(workspace: Workspace) -> Job:
    """The hourly command that sees the same files and settings as the present one.

    Raises UsageError when one of them holds a character that no schedule can carry.
    """
    arguments = [*program(), "reminder", "notify"]
    dotenv = workspace.sources.dotenv_path
    if dotenv.exists():
        arguments += ["--env-file", str(dotenv.absolute())]
    environment = dict(_carried(workspace))
    for text in (*arguments, *environment.values()):
        if _UNWRITABLE.search(text):
            raise UsageError(
                "a path or setting holds a line break or another control character",
                hint="rename the file, or change the setting",
                code="schedule_unwritable",
            )
    return Job(tuple(arguments), environment)


def program() -> tuple[str, ...]:
    """How this installation is started from anywhere: its script, else its Python."""
    script = Path(sys.executable).with_name("wacoex")
    if os.access(script, os.X_OK):
        return (str(script),)
    return (sys.executable, "-m", "wacoex_cli")


def demand_startable() -> None:
    """Raise WacoexError unless the program starts outside this directory and this shell."""
    ended = run_tool([*program(), "--version"], environment=_BARE, directory="/")
    if ended.code != 0:
        raise WacoexError(
            f"`{' '.join(program())}` does not start outside this directory",
            hint="install wacoex first: `pipx install .` in its checkout",
            code="schedule_program",
        )


def left_behind(
    workspace: Workspace, channels: list[Channel], *, reaches_keyring: bool
) -> Iterator[str]:
    """What the schedule will not see though this shell does, and whether anybody would be told."""
    environ, dotenv = workspace.sources.environ, workspace.sources.dotenv
    only_here = [
        one
        for one in sorted(environ)
        if _SECRETS.fullmatch(one) and one not in dotenv and not _names_a_file(one, environ[one])
    ]
    for one in only_here:
        yield (
            f"`{one}` is set in this shell only, and a schedule must not carry a secret:"
            f" put it into a file and its path into `{one}_FILE`, or into `.env`, or store it"
            " with `wacoex auth login`"
        )
    for one, value in dotenv.items():
        if _SECRETS.fullmatch(one) and one.endswith("_FILE") and not Path(value).is_absolute():
            yield f"`{one}` in {workspace.sources.dotenv_path} is a relative path: write it whole"
    owners = [None, *(one.name for one in channels)]
    found = [workspace.secrets.find("notify-urls", owner) for owner in owners]
    if not any(found):
        yield "nobody is there to be told yet: set `WACOEX_NOTIFY_URLS_FILE`, or use `.env`"
    elif not reaches_keyring and any(one.place is Place.KEYRING for one in found if one):
        yield "notify-urls is in the keyring, which cron can often not reach: use a file instead"


def _carried(workspace: Workspace) -> Iterator[tuple[str, str]]:
    environ, settings = workspace.sources.environ, workspace.settings
    if settings.state != default_state_path() or "XDG_STATE_HOME" in environ:
        yield "WACOEX_STATE", str(settings.state)
    if settings.config_dir != default_config_dir() or "XDG_CONFIG_HOME" in environ:
        yield "WACOEX_CONFIG_DIR", str(settings.config_dir)
    for name in _PLAIN:
        if name in environ:
            yield name, environ[name]
    for name in sorted(environ):
        if _SECRETS.fullmatch(name) and _names_a_file(name, environ[name]):
            yield name, str(Path(environ[name]).expanduser().absolute())


def _names_a_file(name: str, value: str) -> bool:
    """Whether a variable holds the path of a secret, and surely not a secret itself."""
    return "_FILE" in name and "://" not in value and Path(value).expanduser().is_file()


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
