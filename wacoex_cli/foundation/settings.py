"""Where settings come from: environment, `.env`, config.toml, defaults, in that order."""

from __future__ import annotations

import difflib
import functools
import io
import ipaddress
import os
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
    # The addresses of notices hold passwords, and whoever knows a heartbeat's URL can fake it.
    "notify-urls": "WACOEX_NOTIFY_URLS",
    "heartbeat-url": "WACOEX_HEARTBEAT_URL",
}
Trust = Literal["proof", "strong", "weak"]
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
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """What `to_json` gave; raises KeyError, TypeError or ValueError for anything else."""
        return cls(**kept)._replace(
            state=Path(kept["state"]),
            config_dir=Path(kept["config_dir"]),
            inactivity=InactivitySettings(**kept["inactivity"]),
            events=EventsSettings(**kept["events"]),
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
    }
)
_VARIABLE_OF = {
    field: f"{PREFIX}{field.upper()}" for field in Settings._fields if field not in _ONLY_IN_CONFIG
}
VARIABLES = (*_VARIABLE_OF.values(), *SECRET_VARIABLES.values())


class Sources(NamedTuple):
    """What was found in each place, before it is put together."""

    environ: Mapping[str, str]
    dotenv: Mapping[str, str]
    dotenv_path: Path
    toml: Mapping[str, Any]
    toml_path: Path

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

    def warnings(self) -> Iterator[str]:
        """Each `WACOEX_*` name that means nothing, with the nearest one that does."""
        places = (("the environment", self.environ), (str(self.dotenv_path), self.dotenv))
        # A secret's name may be followed by a channel and by `_FILE`.
        secrets = tuple(f"{secret}_" for secret in SECRET_VARIABLES.values())
        for place, names in places:
            for name in sorted(names):
                is_known = name in VARIABLES or name.startswith(secrets)
                if name.startswith(PREFIX) and not is_known:
                    yield f"`{name}` in {place} means nothing to wacoex{_nearest(name)}"


def read_sources(*, env_file: Path | None, environ: Mapping[str, str]) -> Sources:
    """Read `.env` of the working directory (or `env_file`, which must exist) and config.toml.

    Raises UsageError for a file that cannot be read or parsed.
    """
    dotenv_path = env_file or Path(".env")
    dotenv = _read_dotenv(dotenv_path, is_demanded=env_file is not None)
    given = environ.get("WACOEX_CONFIG_DIR") or dotenv.get("WACOEX_CONFIG_DIR")
    toml_path = (Path(given).expanduser() if given else default_config_dir()) / "config.toml"
    return Sources(environ, dotenv, dotenv_path, _read_toml(toml_path), toml_path)


def settings_in(variables: Mapping[str, str]) -> dict[str, str]:
    """The settings among environment variables, by field; an empty one counts as not set."""
    return {field: variables[name] for field, name in _VARIABLE_OF.items() if variables.get(name)}


def ways_to_give(name: str) -> str:
    """How a secret is given from outside, as the beginning of a hint."""
    variable = SECRET_VARIABLES[name]
    return f"set `{variable}`, or set `{variable}_FILE` to the path of a file with it"


def settings_origins(sources: Sources, channel: str | None = None) -> Mapping[str, str]:
    """For each setting the place its value in force comes from, or `default`."""
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


def _read_dotenv(path: Path, *, is_demanded: bool) -> dict[str, str]:
    text = _text_of(path, "utf-8-sig")
    if text is None:
        if is_demanded:
            raise _unreadable(path, "there is no such file")
        return {}
    from dotenv import dotenv_values

    found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in found.items() if value is not None}


def _read_toml(path: Path) -> dict[str, Any]:
    text = _text_of(path, "utf-8")
    if text is None:
        return {}
    import tomllib

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{path} is not valid TOML: {error}",
            hint="put text in quotes, one `name = value` on a line",
            code="config_invalid",
        ) from error
    tables = found.get("channels", {})
    if not (isinstance(tables, dict) and all(isinstance(table, dict) for table in tables.values())):
        raise UsageError(
            f"`channels` in {path} must hold tables",
            hint="write `[channels.NAME]` and the settings of that channel below it",
            code="config_invalid",
        )
    return found


def _text_of(path: Path, encoding: str) -> str | None:
    """The text of a file; None when there is none."""
    try:
        return path.read_text(encoding=encoding)
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise _unreadable(path, "it is not UTF-8 text") from error
    except OSError as error:
        raise _unreadable(path, (error.strerror or "it cannot be opened").lower()) from error


def _unreadable(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"cannot read {os.fspath(path)}: {reason}",
        hint="check the path and its permissions; the file must be UTF-8 text",
        code="config_unreadable",
    )
