"""Who runs this program."""

from __future__ import annotations

import functools
import getpass
import os
from typing import TYPE_CHECKING, Any, Self, TypeVar

from wacoex_cli.foundation.clock import Clock, SystemClock
from wacoex_cli.foundation.secrets import Keyring, Secrets, StoredSecrets
from wacoex_cli.foundation.settings import Sources, load_settings, read_sources

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Coroutine, Mapping
    from pathlib import Path

    from wacoex_cli.foundation.http import Http
    from wacoex_cli.foundation.settings import Settings
    from wacoex_cli.foundation.state import State


def known_login_name() -> str | None:
    """The login name, or None where the system does not tell."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None


def login_name() -> str:
    """The login name, for the record of who decided or confirmed something; else `unknown`."""
    return known_login_name() or "unknown"


Answer = TypeVar("Answer")


class Workspace:
    """Settings, secrets, clock, state file and HTTP client of one process."""

    def __init__(
        self,
        sources: Sources,
        clock: Clock,
        *,
        warn: Callable[[str], None],
        log: Callable[[str], None],
        detail: Callable[[str], None],
        announce: Callable[[Settings], None],
    ) -> None:
        self.settings = load_settings(sources)
        announce(self.settings)
        self.secrets = Secrets(
            sources.environ,
            sources.dotenv,
            dotenv_path=sources.dotenv_path,
            stored=StoredSecrets(
                self.settings.config_dir / "secrets",
                Keyring(log=detail) if self.settings.keyring else None,
                warn=warn,
            ),
            warn=warn,
        )
        self.clock = clock
        self.warn = warn
        self.sources = sources
        self._log = log
        self._announce = announce

    def settings_for(self, channel: str) -> Settings:
        """The settings with what `[channels.NAME]` of config.toml says for that channel."""
        if channel not in self.channel_tables:
            return self.settings
        settings = load_settings(self.sources, channel)
        self._announce(settings)
        return settings

    @property
    def channel_tables(self) -> Mapping[str, Mapping[str, object]]:
        """The `[channels.NAME]` tables of config.toml."""
        return self.sources.channel_tables

    def warn_about_other_tables(self, channels: Collection[str]) -> None:
        """Warn of each `[channels.NAME]` of config.toml that is none of these channels."""
        for name in sorted(self.channel_tables.keys() - set(channels)):
            self.warn(f"`[channels.{name}]` in config.toml: there is no channel of that name")

    @functools.cached_property
    def state(self) -> State:
        """The state file. Raises StateError when it cannot be used."""
        from wacoex_cli.foundation.state import open_state

        return open_state(self.settings.state)

    @functools.cached_property
    def http(self) -> Http:
        """The one HTTP client of this process; use it inside `run`."""
        from wacoex_cli.foundation.http import Http

        return Http(self.clock, log=self._log)

    def run(self, operation: Coroutine[Any, Any, Answer]) -> Answer:
        """Run an asynchronous operation. All of them share one event loop and its connections."""
        return self._runner.run(operation)

    def close(self) -> None:
        """Close whatever was opened. A second call does nothing."""
        opened = self.__dict__
        http, runner = opened.pop("http", None), opened.pop("_runner", None)
        if runner is not None:
            with runner:
                if http is not None:
                    runner.run(http.aclose())
        state = opened.pop("state", None)
        if state is not None:
            state.close()

    @functools.cached_property
    def _runner(self) -> asyncio.Runner:
        import asyncio

        return asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_workspace(
    *,
    env_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    warn: Callable[[str], None],
    log: Callable[[str], None],
    detail: Callable[[str], None] = lambda text: None,
    announce: Callable[[Settings], None],
) -> Workspace:
    """Read the settings; everything else opens when it is asked for.

    `warn` is told what looks wrong in the configuration, `log` about each HTTP request,
    `detail` why the keyring cannot be used, and `announce` each set of settings before anything
    is done with it.
    Raises UsageError when a setting is unfit.
    """
    environ = os.environ if environ is None else environ
    sources = read_sources(env_file=env_file, environ=environ)
    for warning in sources.warnings():
        warn(warning)
    return Workspace(
        sources,
        clock or SystemClock(),
        warn=warn,
        log=log,
        detail=detail,
        announce=announce,
    )
