"""Where settings come from: environment, `.env`, config.toml, defaults, in that order."""

from __future__ import annotations

import contextlib
import difflib
import errno
import functools
import io
import ipaddress
import os
import select
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from platformdirs.api import PlatformDirsABC

PREFIX = "WACOEX_"
SECRET_VARIABLES = {
    "meta-token": "WACOEX_META_TOKEN",
    "meta-app-secret": "WACOEX_META_APP_SECRET",
    "respondio-token": "WACOEX_RESPONDIO_TOKEN",
    "respondio-signing-key": "WACOEX_RESPONDIO_SIGNING_KEYS",
    "webhook-verify-token": "WACOEX_WEBHOOK_VERIFY_TOKEN",
    # The addresses of notices hold passwords, and with a heartbeat's URL anybody can fake it.
    "notify-urls": "WACOEX_NOTIFY_URLS",
    "heartbeat-url": "WACOEX_HEARTBEAT_URL",
}
Trust = Literal["proof", "strong", "weak"]
StopScope = Literal["as_said", "all"]
META_BASE_URL = "https://graph.facebook.com"


class InactivitySettings(NamedTuple):
    """`[inactivity]`: when the countdown warns, in days since the app was last opened."""

    trust: Trust = "strong"
    warning_days: float = 10.0
    critical_days: float = 12.0
    act_by_days: float = 13.0


class EventsSettings(NamedTuple):
    """`[events]`: what is kept of a payload, and a contact to write to from every device."""

    store_bodies: bool = False
    probe_contact: str | None = None


class ConsentSettings(NamedTuple):
    """`[consent]`: what a stop covers, whether Meta may take one back, and what says stop."""

    stop_scope: StopScope = "as_said"
    resume: bool = False
    stop_words: tuple[str, ...] = ()
    no_stop_words: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """The same from JSON, which has lists; raises TypeError for an unknown name."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()
        }
        return cls(**values)


class PressureSettings(NamedTuple):
    """`[pressure]`: limits on messages to one person and in a day, as the options write them."""

    max: str | None = None
    rest: str | None = None
    unanswered: str | None = None
    per_day: str | None = None
    ramp: str | None = None


class Settings(NamedTuple):
    """One value for each setting, with its default; secrets are not in here."""

    state: Path
    config_dir: Path
    channel: str | None = None
    meta_app_id: str | None = None
    meta_config_id: str | None = None
    meta_base_url: str = META_BASE_URL
    meta_api_version: str = "v26.0"
    meta_sdk_url: str = "https://connect.facebook.net/en_US/sdk.js"
    respondio_base_url: str = "https://api.respond.io/v2"
    public_url: str | None = None
    timezone: str | None = None
    no_input: bool = False
    keyring: bool = True
    debug: bool = False
    repeat_hours: float = 72.0
    breaker_rows: int = 20
    breaker_share: float = 0.30
    breaker_limits: Mapping[str, int | float] = MappingProxyType({})
    status_seconds: float = 60.0
    status_seconds_per_channel: float = 10.0
    inactivity: InactivitySettings = InactivitySettings()
    events: EventsSettings = EventsSettings()
    consent: ConsentSettings = ConsentSettings()
    pressure: PressureSettings = PressureSettings()

    @property
    def talks_to_meta(self) -> bool:
        """Whether the Graph API in use is Meta's own."""
        return urlsplit(self.meta_base_url).hostname == urlsplit(META_BASE_URL).hostname

    def to_json(self) -> dict[str, Any]:
        """Every setting by its name, as JSON holds it."""
        return self._asdict() | {
            "state": str(self.state),
            "config_dir": str(self.config_dir),
            "breaker_limits": dict(self.breaker_limits),
            "inactivity": self.inactivity._asdict(),
            "events": self.events._asdict(),
            "pressure": self.pressure._asdict(),
            "consent": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in self.consent._asdict().items()
            },
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """What `to_json` gave; raises KeyError, TypeError or ValueError for anything else."""
        return cls(**kept)._replace(
            state=Path(kept["state"]),
            config_dir=Path(kept["config_dir"]),
            inactivity=InactivitySettings(**kept["inactivity"]),
            events=EventsSettings(**kept["events"]),
            consent=ConsentSettings.from_json(kept["consent"]),
            pressure=PressureSettings(**kept["pressure"]),
        )


_ONLY_IN_CONFIG = frozenset(
    {
        "breaker_rows",
        "breaker_share",
        "breaker_limits",
        "status_seconds",
        "status_seconds_per_channel",
        "inactivity",
        "events",
        "consent",
        "pressure",
    }
)
_VARIABLE_OF = {
    field: f"{PREFIX}{field.upper()}" for field in Settings._fields if field not in _ONLY_IN_CONFIG
}
VARIABLES = (*_VARIABLE_OF.values(), *SECRET_VARIABLES.values())
_SECRETS_SENT_TO = {
    "meta_base_url": ("meta-token", "meta-app-secret", "webhook-verify-token"),
    "meta_sdk_url": ("meta-token", "meta-app-secret"),
    "respondio_base_url": ("respondio-token",),
}
_DOTENV = Path(".env")


class Sources(NamedTuple):
    """What was found in each place, before it is put together.

    `is_dotenv_named` says whether somebody named the `.env` with `--env-file`. One that was only
    picked up from the working directory is trusted less.
    """

    environ: Mapping[str, str]
    dotenv: Mapping[str, str]
    dotenv_path: Path
    toml: Mapping[str, Any]
    toml_path: Path
    is_dotenv_named: bool

    @property
    def channel_tables(self) -> Mapping[str, Mapping[str, Any]]:
        """The `[channels.NAME]` tables of config.toml."""
        tables: Mapping[str, Mapping[str, Any]] = self.toml.get("channels", {})
        return tables

    def table_of(self, channel: str | None) -> Mapping[str, Any]:
        """The `[channels.NAME]` table of a channel; empty when there is none."""
        return self.channel_tables.get(channel, {}) if channel else {}

    def place_of(self, name: str, table: Mapping[str, Any]) -> str:
        """Where a setting that is given comes from; `table` is what a channel has of its own."""
        variable = _VARIABLE_OF.get(name)
        if variable and self.environ.get(variable):
            return f"`{variable}` in the environment"
        if variable and self.dotenv.get(variable):
            return f"`{variable}` in {self.dotenv_path}"
        where = "of a channel " if name in table else ""
        return f"`{name}` {where}in {self.toml_path}"

    def doubtful_addresses(self) -> dict[str, str]:
        """For each secret that the picked-up `.env` alone would send elsewhere: where it says so.

        Elsewhere is another host than the default one and than that of a trusted config.toml. A
        config.toml in a directory that this `.env` names is trusted no more than the `.env`.
        """
        found: dict[str, str] = {}
        if self.is_dotenv_named:
            return found
        variable = "WACOEX_CONFIG_DIR"
        names_config = bool(self.dotenv.get(variable)) and not self.environ.get(variable)
        for name, secrets in _SECRETS_SENT_TO.items():
            if self.environ.get(_VARIABLE_OF[name]):
                continue
            address, place = self.dotenv.get(_VARIABLE_OF[name]), self.place_of(name, {})
            addresses = [address] if address else []
            if names_config and not address:
                place += f", which `{variable}` in {self.dotenv_path} names"
                tables = (self.toml, *self.channel_tables.values())
                addresses = [str(table[name]) for table in tables if name in table]
            known = {_host_of(Settings._field_defaults[name])}
            if name in self.toml and not names_config:
                known.add(_host_of(str(self.toml[name])))
            if any(_host_of(address) not in known for address in addresses):
                found |= {secret: found.get(secret, place) for secret in secrets}
        return found

    def warnings(self) -> Iterator[str]:
        """Each `WACOEX_*` name that means nothing, with the nearest one that does."""
        places = (("the environment", self.environ), (str(self.dotenv_path), self.dotenv))
        # A secret's name may be followed by a channel and by `_FILE`.
        secrets = tuple(f"{secret}_" for secret in SECRET_VARIABLES.values())
        for place, names in places:
            for name in sorted(names):
                is_known = name in VARIABLES or name.startswith(secrets)
                if name.startswith(PREFIX) and not is_known:
                    yield f"`{name}` in {place} is not a setting of wacoex{_nearest(name)}"


def read_sources(*, env_file: Path | None, environ: Mapping[str, str]) -> Sources:
    """Read `.env` of the working directory (or `env_file`, which must exist) and config.toml.

    Raises UsageError for a file that cannot be read or parsed, and for a `.env` of the working
    directory that another user owns or may write: to leave it out could mean another state file.
    """
    dotenv_path = env_file or _DOTENV
    dotenv = _read_dotenv(dotenv_path, environ, is_named=env_file is not None)
    toml_path = _config_dir(environ, dotenv, dotenv_path) / "config.toml"
    toml = _read_toml(toml_path)
    return Sources(environ, dotenv, dotenv_path, toml, toml_path, env_file is not None)


def _config_dir(environ: Mapping[str, str], dotenv: Mapping[str, str], dotenv_path: Path) -> Path:
    name = "WACOEX_CONFIG_DIR"
    given = environ.get(name) or dotenv.get(name)
    if not given:
        return default_config_dir()
    try:
        return user_path(given)
    except ValueError:
        place = "the environment" if environ.get(name) else str(dotenv_path)
        raise UsageError(
            f"`{name}` in {place} is not valid",
            hint="allowed is the path of a directory",
            code="config_invalid",
        ) from None


def user_path(text: str | Path) -> Path:
    """A path as a person writes it, with `~` for a home; raises ValueError when it cannot be."""
    if "\0" in str(text):
        raise ValueError("a path cannot hold a NUL byte")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # there is no such user
        raise ValueError(str(error)) from None


def settings_in(variables: Mapping[str, str]) -> dict[str, str]:
    """The settings among environment variables, by field; an empty one counts as not set."""
    return {field: variables[name] for field, name in _VARIABLE_OF.items() if variables.get(name)}


def ways_to_give(name: str) -> str:
    """How a secret is given from outside, as the beginning of a hint."""
    variable = SECRET_VARIABLES[name]
    return f"set `{variable}`, or set `{variable}_FILE` to the path of a file with it"


def settings_origins(sources: Sources, channel: str | None = None) -> Mapping[str, str]:
    """For each setting the place its value in use comes from, or `default`."""
    table = sources.table_of(channel)
    variables = settings_in(sources.environ) | settings_in(sources.dotenv)
    given = variables.keys() | table.keys() | sources.toml.keys()
    return {
        name: sources.place_of(name, table) if name in given else "default"
        for name in Settings._fields
    }


def is_loopback(host: str) -> bool:
    """Whether a host, given as a name or an address, is this machine as only it sees itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@functools.cache
def user_directories() -> PlatformDirsABC:
    """Where this system keeps a user's settings, state and caches."""
    import platformdirs

    return platformdirs.PlatformDirs("wacoex", appauthor=False)


def default_config_dir() -> Path:
    """The user's directory for config.toml."""
    return user_directories().user_config_path


def default_state_path() -> Path:
    """The state file in the user's directory for state."""
    return user_directories().user_state_path / "wacoex.db"


def _nearest(name: str) -> str:
    # Without the prefix, which makes any two names look alike.
    known = [variable.removeprefix(PREFIX) for variable in VARIABLES]
    close = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
    return f"; did you mean `{PREFIX}{close[0]}`?" if close else ""


_MOST_BYTES = 262_144
_MOST_IN_LINE = 2_000
_DEEPEST = 8
_PATIENCE_SECONDS = 3.0
_LONGEST_CHAIN_OF_LINKS = 40


def content_of(path: Path) -> bytes:
    """What a small file holds, or what a pipe gives until its end.

    Raises OSError, which says so in its `strerror`, for more than 262,144 bytes and for a pipe
    that does not end within three seconds.
    """
    with _opened(path) as descriptor:
        return _content(descriptor)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        # A pipe without a writer would hold up one that waits.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError:
        raise OSError(errno.EINVAL, "its name holds a NUL byte") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _content(descriptor: int) -> bytes:
    found = bytearray()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    end = time.monotonic() + _PATIENCE_SECONDS
    while len(found) <= _MOST_BYTES:
        if not poll.poll(1000 * max(0.0, end - time.monotonic())):
            raise OSError(errno.ETIMEDOUT, f"it did not end within {_PATIENCE_SECONDS:g} seconds")
        part = os.read(descriptor, _MOST_BYTES + 1 - len(found))
        if not part:
            return bytes(found)
        found += part
    raise OSError(errno.EFBIG, f"it holds more than {_MOST_BYTES} bytes")


def _read_dotenv(path: Path, environ: Mapping[str, str], *, is_named: bool) -> dict[str, str]:
    try:
        with _opened(path) as descriptor:
            if not is_named:
                _demand_trusted(path, os.fstat(descriptor), environ)
            text = _decoded(path, _content(descriptor), "utf-8-sig")
    except FileNotFoundError:
        # A link that leads nowhere is no missing file.
        if is_named or path.is_symlink():
            raise _unreadable(path, "there is no such file") from None
        return {}
    except OSError as error:
        raise _unreadable(path, (error.strerror or "it cannot be opened").lower()) from error
    from dotenv import dotenv_values

    found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in found.items() if value is not None}


def _demand_trusted(path: Path, opened: os.stat_result, environ: Mapping[str, str]) -> None:
    problem = _why_distrusted(path, opened, environ)
    if problem is not None:
        raise UsageError(
            f"{path.absolute()} is not trusted: {problem}",
            hint=f"read it; if you want all of it, add `--env-file {path}`",
            code="dotenv_distrusted",
        )


def _why_distrusted(path: Path, opened: os.stat_result, environ: Mapping[str, str]) -> str | None:
    """Why somebody else may decide what a file says, or which file it is; None when nobody may.

    Somebody who may write the directory can only put a file or link of their own there, and its
    owner shows that.
    """
    trusted = {0, os.geteuid()}
    sudo_user = environ.get("SUDO_UID", "")
    if sudo_user.isdecimal():
        trusted.add(int(sudo_user))
    for _ in range(_LONGEST_CHAIN_OF_LINKS):
        seen = os.lstat(path)
        if not stat.S_ISLNK(seen.st_mode):
            break
        if seen.st_uid not in trusted:
            return f"the link {path} belongs to {_user_name(seen.st_uid)}"
        path = path.parent / path.readlink()
    if (seen.st_dev, seen.st_ino) != (opened.st_dev, opened.st_ino):
        return "it was replaced while it was opened"
    if opened.st_uid not in trusted:
        return f"it belongs to {_user_name(opened.st_uid)}"
    if opened.st_mode & stat.S_IWOTH:
        return "everybody may write it (`chmod go-w` ends that)"
    if opened.st_mode & stat.S_IWGRP and not _is_private_group(opened.st_gid, opened.st_uid):
        return f"its group {_group_name(opened.st_gid)} may write it (`chmod g-w` ends that)"
    return None


def _is_private_group(group: int, user: int) -> bool:
    """Whether a group is the user's own and nobody else's, as where the umask is 002."""
    import grp
    import pwd

    try:
        owner, members = pwd.getpwuid(user), grp.getgrgid(group).gr_mem
    except (KeyError, OSError):
        return False
    others = (entry.pw_uid for entry in pwd.getpwall() if entry.pw_gid == group)
    is_alone = set(members) <= {owner.pw_name} and all(other == user for other in others)
    return owner.pw_gid == group and is_alone


def _user_name(user: int) -> str:
    import pwd

    with contextlib.suppress(KeyError, OSError):
        return f"user `{pwd.getpwuid(user).pw_name}`"
    return f"user {user}"


def _group_name(group: int) -> str:
    import grp

    with contextlib.suppress(KeyError, OSError):
        return f"`{grp.getgrgid(group).gr_name}`"
    return str(group)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = _decoded(path, content_of(path), "utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unreadable(path, (error.strerror or "it cannot be opened").lower()) from error
    import tomllib

    for number, line in enumerate(text.splitlines(), start=1):
        # The time to read a name with dots grows with the square of its length.
        if len(line) > _MOST_IN_LINE:
            raise _invalid(path, f"line {number} has more than {_MOST_IN_LINE} characters")
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise _invalid(path, "tables or lists are nested too deeply") from None
    except ValueError as error:
        raise _invalid(path, str(error)) from error
    for name, value in found.items():
        if _is_deep(value):
            raise _invalid(path, f"`{name}` is nested too deeply")
    tables = found.get("channels", {})
    if not (isinstance(tables, dict) and all(isinstance(table, dict) for table in tables.values())):
        raise UsageError(
            f"`channels` in {path} must hold tables",
            hint="write `[channels.NAME]` and the settings of that channel below it",
            code="config_invalid",
        )
    return found


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def _decoded(path: Path, content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _unreadable(path, "it is not UTF-8 text") from error


def _host_of(address: str) -> tuple[str, str | None, int | None] | None:
    """Scheme, host and port, which decide who gets a secret; None for what is no URL."""
    try:
        parts = urlsplit(address)
        return parts.scheme, parts.hostname, parts.port or {"https": 443}.get(parts.scheme)
    except ValueError:
        return None


def _invalid(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"{path} is not valid TOML: {reason}",
        hint="put text in quotes, one `name = value` on a line",
        code="config_invalid",
    )


def _unreadable(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"cannot read {os.fspath(path)}: {reason}",
        hint="check the path and its permissions; the file must be UTF-8 text",
        code="config_unreadable",
    )
