"""What starts `reminder notify` each hour: a timer of the user's systemd, or a line in the crontab.

The job is the installed program with the settings of this shell, without secrets.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import RefusedError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation.secrets import Place, Secret, why_invalid
from wacoex_cli.foundation.settings import default_config_dir, default_state_path, user_path
from wacoex_cli.inactivity.notify import split_urls, targets_of
from wacoex_cli.inactivity.store import Reminders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from wacoex_cli.foundation.workspace import Workspace

TIMER, SERVICE = "wacoex-reminder.timer", "wacoex-reminder.service"
UNIT_MARK = "# Written by `wacoex reminder schedule install`; `remove` takes it away."
CRON_MARK = b"# wacoex reminder notify"
"""What our line ends with; the shell reads it as a comment."""

_EVERY_SECONDS = 3600
_WHERE_TO = (
    "where should notices go? An Apprise URL such as mailto://user:password@example.com or"
    " ntfys://ntfy.sh/our-phones; wacoex keeps it in a file that only you may read; press Enter for"
    " none yet"
)
_NO_ADDRESS = (
    "nobody would receive a notice: give an address with"
    " `wacoex auth login notify-urls --insecure-file`, then try it with"
    " `wacoex reminder notify --test`; see `wacoex explain WX106`"
)
_PATIENCE_SECONDS = 30.0
_PLAIN = ("WACOEX_KEYRING", "WACOEX_PUBLIC_URL", "WACOEX_TIMEZONE")
_SECRETS = re.compile(r"WACOEX_(NOTIFY_URLS|HEARTBEAT_URL)(_[A-Z0-9_]+)?")
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f]")
# What `crontab -l` says when there is none: cron, cronie and macOS; busybox.
_NONE_YET = re.compile(rb"no crontab for|can't open .*no such file", re.IGNORECASE | re.DOTALL)
_LONGEST_LINE = 998  # cron reads no more (crontab: MAX_COMMAND)
_OURS = re.compile(rb"\s*(\d{1,2}) .*" + re.escape(CRON_MARK) + rb"\s*", re.DOTALL)
_MAILED_TO = re.compile(rb"^[ \t]*MAILTO[ \t]*=[ \t]*[\"']?[^\s\"']", re.MULTILINE)
_SERVICE_UNIT = f"""{UNIT_MARK}
[Unit]
Description=Notify people who must open the WhatsApp Business app

[Service]
Type=oneshot
%sExecStart=%s
TimeoutStartSec=30min
"""
_TIMER_UNIT = f"""{UNIT_MARK}
[Unit]
Description=Each hour: notify people who must open the WhatsApp Business app

[Timer]
OnCalendar=hourly
RandomizedDelaySec=50min
FixedRandomDelay=true
Persistent=true

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True)
class Job:
    """A command line, whole and absolute, and the environment variables it needs."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class ScheduleStatus:
    """One way: why it cannot be used, what is there, and what `install` would put there."""

    kind: str
    problem: str | None
    there: Mapping[str, str]
    would_be: Mapping[str, str]

    @property
    def is_current(self) -> bool:
        """Whether `install` would change nothing."""
        return dict(self.there) == dict(self.would_be)

    def to_json(self) -> dict[str, object]:
        """The entry of `schedule show`."""
        return {
            "kind": self.kind,
            "problem": self.problem,
            "installed": bool(self.there),
            "current": self.is_current,
            "there": dict(self.there),
            "would_be": dict(self.would_be),
        }


@dataclass(frozen=True)
class InstallReport:
    """What `install` did, or would do. `others` are further ways that are installed too."""

    kind: str
    changed: bool
    texts: Mapping[str, str]
    hints: tuple[str, ...]
    others: tuple[str, ...]


def show(workspace: Workspace, kind: str | None) -> list[ScheduleStatus]:
    """What is installed in each way, or in the one that is named. Raises WacoexError."""
    job, minute = _job(workspace), _minute(workspace)
    return [
        ScheduleStatus(way.kind, way.problem(), way.there(), way.planned(job, minute))
        for way in _ways(kind)
    ]


def install(
    workspace: Workspace,
    kind: str | None,
    ask: Callable[[str], str] | None = None,
    *,
    dry_run: bool,
) -> InstallReport:
    """Have `reminder notify` started each hour; what is so already stays untouched.

    Without a kind it is the one that is installed already, else systemd where this user's answers,
    else cron. `ask` asks a person for an address when nobody would receive a notice; what is
    answered is kept in a file. Warns of secrets that the schedule will not see, and when there is
    still no address.

    Raises WacoexError when it cannot be installed, RefusedError for units that are not ours,
    UsageError for an address that cannot be used.
    """
    way = _usable_way(kind)
    job = _job(workspace)
    _demand_startable()
    planned = way.planned(job, _minute(workspace))
    changed = way.there() != planned or not way.is_active()
    if not (_is_anybody_notified(workspace) or way.mails_output()):
        if ask is None or not (address := ask(_WHERE_TO).strip()):
            workspace.warn(_NO_ADDRESS)
        else:
            _keep_address(workspace, address)
    for text in _left_behind(workspace, reaches_keyring=way.reaches_keyring):
        workspace.warn(text)
    if not dry_run:
        if changed:
            way.install(planned)
        Reminders(workspace.state).keep_schedule(
            socket.gethostname(), way.kind, _EVERY_SECONDS, workspace.clock.now()
        )
    others = tuple(other.kind for other in _ways(None) if other.kind != way.kind and other.there())
    return InstallReport(way.kind, changed, planned, tuple(way.hints()), others)


def remove(workspace: Workspace, kind: str | None, *, dry_run: bool) -> dict[str, dict[str, str]]:
    """Remove what `install` added, and nothing else; returns it by kind. Raises WacoexError."""
    removed = {}
    for way in _ways(kind):
        if there := way.there():
            removed[way.kind] = there
            if not dry_run:
                way.remove()
        if not dry_run:
            Reminders(workspace.state).forget_schedule(socket.gethostname(), way.kind)
    return removed


def _ways(kind: str | None) -> list[UserTimer | Crontab]:
    ways: list[UserTimer | Crontab] = [UserTimer(), Crontab()]
    return [way for way in ways if kind in {None, way.kind}]


def _usable_way(kind: str | None) -> UserTimer | Crontab:
    ways = _ways(kind)
    problems = {}
    for way in [*(way for way in ways if way.there()), *ways]:
        problem = way.problem()
        if problem is None:
            return way
        problems[way.kind] = problem
    if kind is None:
        raise WacoexError(
            "neither systemd nor cron can be used here: " + "; ".join(problems.values()),
            hint="start `wacoex reminder notify` each hour in another way;"
            " `wacoex docs unattended` shows some",
            code="schedule_impossible",
        )
    other = "--cron" if kind == "systemd" else "--systemd"
    raise WacoexError(
        f"{kind} cannot be used here: {problems[kind]}",
        hint=f"try `{other}`, or see `wacoex docs unattended` for other ways",
        code="schedule_impossible",
    )


def _minute(workspace: Workspace) -> int:
    """A minute that differs between installations and stays the same for each."""
    name = f"{socket.gethostname()} {workspace.settings.state}"
    return hashlib.sha256(name.encode()).digest()[0] % 60


def _job(workspace: Workspace) -> Job:
    """The hourly command that sees the same files and settings as the present one.

    Raises UsageError when one of them holds a character that no schedule can carry, and when the
    schedule would name a `.env` that was only picked up and sends secrets elsewhere.
    """
    for place in workspace.sources.doubtful_addresses().values():
        raise UsageError(
            f"a schedule would send secrets to the address given by {place}",
            hint="if you want that address, name the file with `--env-file`",
            code="address_distrusted",
        )
    arguments = [*_program(), "reminder", "notify"]
    dotenv = workspace.sources.dotenv_path
    if dotenv.exists():
        arguments += ["--env-file", str(dotenv.absolute())]
    environ, settings = workspace.sources.environ, workspace.settings
    carried = {name: environ[name] for name in _PLAIN if name in environ}
    if settings.config_dir != default_config_dir() or "XDG_CONFIG_HOME" in environ:
        carried = {"WACOEX_CONFIG_DIR": str(settings.config_dir), **carried}
    if settings.state != default_state_path() or "XDG_STATE_HOME" in environ:
        carried = {"WACOEX_STATE": str(settings.state), **carried}
    for name in sorted(environ):
        if _SECRETS.fullmatch(name) and _names_a_file(name, environ[name]):
            carried[name] = str(Path(environ[name]).expanduser().absolute())
    for text in (*arguments, *carried.values()):
        if _UNWRITABLE.search(text):
            raise UsageError(
                "a path or setting holds a line break or another control character",
                hint="rename the file, or change the setting",
                code="schedule_unwritable",
            )
    return Job(tuple(arguments), carried)


def _program() -> tuple[str, ...]:
    """How this installation is started from anywhere: its script, else its Python."""
    script = Path(sys.executable).with_name("wacoex")
    if os.access(script, os.X_OK):
        return (str(script),)
    return (sys.executable, "-m", "wacoex_cli")


def _demand_startable() -> None:
    """Raise WacoexError unless the program starts outside this directory and this shell."""
    bare = {"PATH": "/usr/bin:/bin"}
    if _run([*_program(), "--version"], env=bare, cwd="/").returncode != 0:
        raise WacoexError(
            f"`{' '.join(_program())}` does not start outside this directory",
            hint="install wacoex first: `pipx install .` in its checkout",
            code="schedule_program",
        )


def _left_behind(workspace: Workspace, *, reaches_keyring: bool) -> Iterator[str]:
    """What the schedule will not see though this shell does."""
    environ, dotenv = workspace.sources.environ, workspace.sources.dotenv
    for name in sorted(environ):
        is_here_only = name not in dotenv and not _names_a_file(name, environ[name])
        if _SECRETS.fullmatch(name) and is_here_only:
            yield (
                f"`{name}` is set in this shell only, and a schedule must not carry a secret:"
                f" put it into a file and its path into `{name}_FILE`, or into `.env`, or store it"
                " with `wacoex auth login`"
            )
    for name, value in dotenv.items():
        if _SECRETS.fullmatch(name) and name.endswith("_FILE") and not Path(value).is_absolute():
            yield f"`{name}` in {workspace.sources.dotenv_path} is not a full path"
    is_in_keyring = any(
        secret.place is Place.KEYRING for secret in _addresses(workspace, "notify-urls")
    )
    if is_in_keyring and not reaches_keyring:
        yield "notify-urls is in the keyring, which cron can often not reach: use a file instead"


def _is_anybody_notified(workspace: Workspace) -> bool:
    """Whether notices have an address, or a heartbeat alarms the person who watches it."""
    names = ("notify-urls", "heartbeat-url")
    return any(True for name in names for _ in _addresses(workspace, name))


def _keep_address(workspace: Workspace, address: str) -> None:
    """Keep an address where the schedule finds it. Raises UsageError for one that is not valid."""
    if problem := why_invalid(address):
        raise UsageError(
            f"the address {problem}",
            hint="nothing was installed; write several with a comma between them, without spaces",
            code="notify_url",
        )
    targets_of(split_urls(address), "the answer")
    workspace.secrets.stored.put_in_file("notify-urls", None, address)


def _addresses(workspace: Workspace, name: str) -> Iterator[Secret]:
    channels = Channels(workspace.state).all_channels()
    for owner in (None, *(channel.name for channel in channels if not channel.archived_at)):
        if secret := workspace.secrets.find(name, owner):
            yield secret


def _names_a_file(name: str, value: str) -> bool:
    """Whether a variable holds the path of a secret, and surely not a secret itself."""
    if "_FILE" not in name or "://" in value:
        return False
    try:
        return user_path(value).is_file()
    except ValueError:
        return False


def _run(arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, with English messages; `options` are those of `subprocess.run`.

    Raises WacoexError when there is no such program, TemporaryError when it does not end within
    30 seconds.
    """
    environment = {**options.pop("env", os.environ), "LC_ALL": "C"}
    try:
        return subprocess.run(  # noqa: S603 - no shell, and no part of it comes from outside
            list(arguments),
            capture_output=True,
            timeout=_PATIENCE_SECONDS,
            env=environment,
            check=False,
            **{"input": b"", **options},
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


def _complaint(ended: subprocess.CompletedProcess[bytes]) -> str:
    """The last line of what a program complained about."""
    lines = ended.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit status {ended.returncode}"


class UserTimer:
    """A systemd user timer and its service: two files of ours, nothing else is touched."""

    kind = "systemd"
    reaches_keyring = True

    def mails_output(self) -> bool:
        """What it prints goes to the journal, which nobody is sent."""
        return False

    def problem(self) -> str | None:
        """Why it cannot be used; None when it can be."""
        if not shutil.which("systemctl"):
            return "there is no `systemctl` command"
        return _systemctl("show-environment")

    def there(self) -> dict[str, str]:
        """Our unit files by path."""
        return {str(path): text for path, text in _units().items() if text.startswith(UNIT_MARK)}

    def planned(self, job: Job, minute: int) -> dict[str, str]:
        """Our unit files as they are to be; systemd chooses the minute, the same each hour."""
        service, timer = _unit_paths()
        return {str(service): service_unit(job), str(timer): _TIMER_UNIT}

    def is_active(self) -> bool:
        """Whether the timer is enabled and waits."""
        return _systemctl("is-enabled", TIMER) is None and _systemctl("is-active", TIMER) is None

    def install(self, planned: Mapping[str, str]) -> None:
        """Write the units and start the timer.

        Raises RefusedError when units of that name are not ours, WacoexError when it cannot be
        done.
        """
        for path, text in _units().items():
            if not text.startswith(UNIT_MARK):
                raise RefusedError(
                    f"{path} was not written by wacoex",
                    hint="move it away, or use `--cron`",
                    code="schedule_foreign",
                )
        for name, text in planned.items():
            path = Path(name)
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
        _demand_systemctl("daemon-reload")
        _demand_systemctl("enable", "--now", TIMER)
        _demand_systemctl("restart", TIMER)

    def remove(self) -> None:
        """Stop the timer and delete the units. Raises WacoexError when that cannot be done."""
        is_usable = self.problem() is None
        if is_usable:
            _demand_systemctl("disable", "--now", TIMER)
        for name in self.there():
            Path(name).unlink(missing_ok=True)
        if is_usable:
            _demand_systemctl("daemon-reload")

    def hints(self) -> list[str]:
        """That it stops with the session, unless the user lingers."""
        if shutil.which("loginctl"):
            ended = _run(["loginctl", "show-user", str(os.getuid()), "--property=Linger"])
            if ended.stdout.strip() == b"Linger=yes":
                return []
        return ["it runs while you are logged in; to run it always: loginctl enable-linger"]


def service_unit(job: Job) -> str:
    """The service unit of a job."""
    environment = [
        f"Environment={_unit_word(f'{name}={value}')}\n" for name, value in job.environment.items()
    ]
    command = " ".join(_unit_word(word).replace("$", "$$") for word in job.arguments)
    return _SERVICE_UNIT % ("".join(environment), command)


def _unit_word(text: str) -> str:
    """A word as unit files spell it: quotes and backslashes escaped, no specifiers."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    is_plain = escaped.replace("%", "").isascii() and not set(escaped) & set(" \"'\\;#")
    return escaped if is_plain else f'"{escaped}"'


def _unit_paths() -> list[Path]:
    given = os.environ.get("XDG_CONFIG_HOME")
    base = Path(given) if given else Path.home() / ".config"
    return [base / "systemd" / "user" / name for name in (SERVICE, TIMER)]


def _units() -> dict[Path, str]:
    return {path: path.read_text(errors="replace") for path in _unit_paths() if path.is_file()}


def _systemctl(*arguments: str) -> str | None:
    """Why systemd did not do it; None when it did."""
    ended = _run(["systemctl", "--user", *arguments])
    return None if ended.returncode == 0 else _complaint(ended)


def _demand_systemctl(*arguments: str) -> None:
    if problem := _systemctl(*arguments):
        raise WacoexError(
            f"`systemctl --user {' '.join(arguments)}` failed: {problem}",
            hint="see `systemctl --user status`, or use `--cron`",
            code="systemd_failed",
        )


class Crontab:
    """One line in the user's crontab. Every other line stays as it is, byte for byte.

    The system's own `crontab` command reads and writes it: a library would parse and print the
    lines of others again.
    """

    kind = "cron"
    reaches_keyring = False

    def mails_output(self) -> bool:
        """Whether the crontab names somebody to whom cron mails what a job prints."""
        return _MAILED_TO.search(_read_crontab()) is not None

    def problem(self) -> str | None:
        """Why it cannot be used; None when it can be."""
        if not shutil.which("crontab"):
            return "there is no `crontab` command"
        try:
            _read_crontab()
        except WacoexError as error:
            return error.message
        return None

    def there(self) -> dict[str, str]:
        """Our line, or nothing."""
        if self.problem():
            return {}
        lines = [line for line in _read_crontab().split(b"\n") if _OURS.fullmatch(line)]
        return {"crontab": b"\n".join(lines).decode(errors="replace")} if lines else {}

    def planned(self, job: Job, minute: int) -> dict[str, str]:
        """Our line as it is to be; an installed one keeps its minute."""
        found = _OURS.fullmatch(self.there().get("crontab", "").encode())
        return {"crontab": cron_line(job, int(found[1]) if found else minute)}

    def is_active(self) -> bool:
        """Cron reads a crontab by itself."""
        return True

    def install(self, planned: Mapping[str, str]) -> None:
        """Put our line there. Raises WacoexError when the crontab cannot be written."""
        _write_crontab(with_line(_read_crontab(), planned["crontab"].encode()))

    def remove(self) -> None:
        """Take our line away. Raises WacoexError when the crontab cannot be written."""
        before = _read_crontab()
        after = without_line(before)
        if after != before:
            _write_crontab(after)

    def hints(self) -> list[str]:
        """What else is to be known."""
        return []


def cron_line(job: Job, minute: int) -> str:
    """The crontab line of a job, at that minute of each hour.

    Raises WacoexError when it is longer than cron reads.
    """
    settings = [f"{name}={_shell_word(value)}" for name, value in job.environment.items()]
    command = " ".join([*settings, *map(_shell_word, job.arguments)])
    text = f"{minute} * * * * {command} {CRON_MARK.decode()}"
    if len(text.encode()) > _LONGEST_LINE:
        raise WacoexError(
            "the line would be longer than cron reads",
            hint="use shorter paths, or put the settings into a file for `--env-file`",
            code="schedule_unwritable",
        )
    return text


def _shell_word(word: str) -> str:
    """A word for the shell behind cron, which takes a bare `%` for the end of the command.

    The escape stands outside quotes, so that a cron that leaves it alone does no harm.
    """
    return "\\%".join(shlex.quote(part) if part else "" for part in word.split("%")) or "''"


def with_line(content: bytes, ours: bytes) -> bytes:
    """A crontab with our line, in the place of an older one or at the end."""
    lines = content.split(b"\n")
    at = next((number for number, line in enumerate(lines) if _OURS.fullmatch(line)), None)
    if at is None:
        return _ended(content) + ours + b"\n"
    rest = [line for line in lines[at + 1 :] if not _OURS.fullmatch(line)]
    return _ended(b"\n".join([*lines[:at], ours, *rest]))


def without_line(content: bytes) -> bytes:
    """A crontab without our line."""
    return _ended(b"\n".join(line for line in content.split(b"\n") if not _OURS.fullmatch(line)))


def _ended(content: bytes) -> bytes:
    """With the line end that `crontab` demands after the last line."""
    return content + b"\n" if content and not content.endswith(b"\n") else content


def _read_crontab() -> bytes:
    ended = _run(["crontab", "-l"])
    if ended.returncode == 0:
        return ended.stdout
    # Anything else must not pass for an empty crontab, which would then replace a full one.
    if _NONE_YET.search(ended.stderr):
        return b""
    raise WacoexError(
        f"the crontab cannot be read: {_complaint(ended)}",
        hint="see what `crontab -l` says",
        code="crontab_unreadable",
    )


def _write_crontab(content: bytes) -> None:
    ended = _run(["crontab", "-"], input=content)
    if ended.returncode != 0:
        raise WacoexError(
            f"the crontab cannot be written: {_complaint(ended)}",
            hint="it is unchanged; check whether you may use cron (cron.allow, cron.deny)",
            code="crontab_unwritable",
        )
