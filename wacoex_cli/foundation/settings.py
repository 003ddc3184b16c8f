"""Where settings come from: environment, `.env`, config.toml, defaults, in that order."""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from wacoex_cli.errors import UsageError

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
_PLAIN_VARIABLES = (
    "WACOEX_STATE",
    "WACOEX_CONFIG_DIR",
    "WACOEX_CHANNEL",
    "WACOEX_META_APP_ID",
    "WACOEX_META_CONFIG_ID",
    "WACOEX_META_BASE_URL",
    "WACOEX_META_API_VERSION",
    "WACOEX_META_SDK_URL",
    "WACOEX_RESPONDIO_BASE_URL",
    "WACOEX_PUBLIC_URL",
    "WACOEX_TIMEZONE",
    "WACOEX_NO_INPUT",
    "WACOEX_KEYRING",
    "WACOEX_DEBUG",
)
VARIABLES = (*_PLAIN_VARIABLES, *SECRET_VARIABLES.values())
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

    def warnings(self) -> Iterator[str]:
        """Each `WACOEX_*` name that means nothing, with the nearest one that does."""
        places = (("the environment", self.environ), (str(self.dotenv_path), self.dotenv))
        for place, names in places:
            for name in sorted(names):
                if name.startswith(PREFIX) and not _is_known(name):
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


def load_settings(sources: Sources, channel: str | None = None) -> Settings:
    """The settings in force; with a channel, its `[channels.NAME]` table goes before the rest
    of config.toml.

    Raises UsageError naming the place, the name and what is allowed.
    """
    from wacoex_cli.foundation.settings_cache import SettingsCache

    table = sources.channel_tables.get(channel, {}) if channel else {}
    cache = SettingsCache(sources, table)
    settings = cache.read()
    if settings is None:
        from wacoex_cli.foundation.settings_model import build

        settings = build(sources, table)
        cache.keep(settings)
    return settings


def ways_to_give(name: str) -> str:
    """How a secret is given from outside, as the beginning of a hint."""
    variable = SECRET_VARIABLES[name]
    return f"set `{variable}`, or set `{variable}_FILE` to the path of a file with it"


def settings_origins(sources: Sources, channel: str | None = None) -> Mapping[str, str]:
    """For each setting the place its value in force comes from, or `default`."""
    from wacoex_cli.foundation.settings_model import origins

    return origins(sources, sources.channel_tables.get(channel, {}) if channel else {})


def is_loopback(host: str) -> bool:
    """Whether a host, given as a name or an address, is this machine as only it sees itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def default_config_dir() -> Path:
    """The user's directory for config.toml."""
    import platformdirs

    return platformdirs.user_config_path("wacoex", appauthor=False)


def default_state_path() -> Path:
    """The state file in the user's directory for state."""
    import platformdirs

    return platformdirs.user_state_path("wacoex", appauthor=False) / "wacoex.db"


def _is_known(name: str) -> bool:
    # A secret's name may be followed by a channel and by `_FILE`.
    secrets = SECRET_VARIABLES.values()
    return name in VARIABLES or any(name.startswith(f"{secret}_") for secret in secrets)


def _nearest(name: str) -> str:
    # Without the prefix, which makes any two names look alike.
    known = [one.removeprefix(PREFIX) for one in VARIABLES]
    close = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
    return f"; did you mean `{PREFIX}{close[0]}`?" if close else ""


def _read_dotenv(path: Path, *, is_demanded: bool) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        if is_demanded:
            raise _unreadable(path, "there is no such file") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, _reason(error)) from error
    from io import StringIO

    from dotenv import dotenv_values

    found = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value for name, value in found.items() if value is not None}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, _reason(error)) from error
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
    if not (isinstance(tables, dict) and all(isinstance(one, dict) for one in tables.values())):
        raise UsageError(
            f"`channels` in {path} must hold tables",
            hint="write `[channels.NAME]` and the settings of that channel below it",
            code="config_invalid",
        )
    return found


def _unreadable(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"cannot read {os.fspath(path)}: {reason}",
        hint="check the path and its permissions; the file must be UTF-8 text",
        code="config_unreadable",
    )


def _reason(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return (error.strerror or "it cannot be opened").lower()
