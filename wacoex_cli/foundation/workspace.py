"""One process: its settings, secrets, state and HTTP client; its event loop and signals."""

from __future__ import annotations

import contextlib
import functools
import gc
import getpass
import os
import resource
import signal
from typing import TYPE_CHECKING, Any, Self, TypeVar

from wacoex_cli.foundation import generation
from wacoex_cli.foundation.clock import Clock, SystemClock
from wacoex_cli.foundation.secrets import Keyring, Secrets, StoredSecrets, is_reserved
from wacoex_cli.foundation.settings import Settings, Sources, default_state_path, read_sources
from wacoex_cli.foundation.settings_cache import load_settings
from wacoex_cli.foundation.state import State, absent_state, open_state

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping
    from pathlib import Path

    from wacoex_cli.foundation.http import Http


def known_login_name() -> str | None:
    """The login name, or None where the system does not say."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None


def login_name() -> str:
    """The login name, for the record of who decided or confirmed something; else `unknown`."""
    return known_login_name() or "unknown"


Answer = TypeVar("Answer")
# This many new objects are made between two collections; Python's own number is 700.
_RARELY = 200_000


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
        on_state: Callable[[State], None] = lambda state: None,
        on_update: Callable[[int], None] = lambda size: None,
        only_reads: bool = False,
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
            doubtful_addresses=sources.doubtful_addresses(),
        )
        self.clock = clock
        self.warn = warn
        self.sources = sources
        self._log = log
        self._announce = announce
        self._on_state = on_state
        self._on_update = on_update
        self._only_reads = only_reads

    def settings_for(self, channel: str) -> Settings:
        """The settings with what `[channels.NAME]` of config.toml says for that channel."""
        if channel not in self.sources.channel_tables:
            return self.settings
        settings = load_settings(self.sources, channel)
        self._announce(settings)
        return settings

    def warn_about_channels(self, channels: Collection[str]) -> None:
        """Warn of tables in config.toml without a channel, and of names no channel gets today."""
        for name in sorted(self.sources.channel_tables.keys() - set(channels)):
            self.warn(f"`[channels.{name}]` in config.toml: there is no channel of that name")
        for name in filter(is_reserved, channels):
            self.warn(
                f"channel `{name}`: a variable with its name may name the file of another secret;"
                f" store its secrets with `wacoex auth login SECRET --channel {name}`"
            )

    @functools.cached_property
    def state(self) -> State:
        """The state file. Raises StateError when it cannot be used.

        A command that only reads never creates it.
        """
        if self._only_reads and not os.path.lexists(self.settings.state):
            if self.settings.state != default_state_path():
                self.warn(f"there is no state file {self.settings.state}: nothing is known yet")
            return absent_state(self.settings.state)
        state = open_state(self.settings.state, on_update=self._on_update)
        try:
            generation.seal_older(state)
        except BaseException:
            state.close()
            raise
        self._on_state(state)
        return state

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
        # Here and below imported when it is used: it costs what all the rest of a check does.
        import asyncio

        return asyncio.Runner(loop_factory=loop_factory())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed (extra `fast`); None means asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def open_workspace(
    *,
    env_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    warn: Callable[[str], None],
    log: Callable[[str], None],
    detail: Callable[[str], None] = lambda text: None,
    announce: Callable[[Settings], None],
    on_state: Callable[[State], None] = lambda state: None,
    on_update: Callable[[int], None] = lambda size: None,
    only_reads: bool = False,
) -> Workspace:
    """Read the settings; everything else opens when it is asked for.

    `warn` receives what looks wrong in the configuration, `log` about each HTTP request,
    `detail` why the keyring cannot be used, and `announce` each set of settings before anything
    is done with it. `on_state` is given the state file when it is opened, `on_update` its bytes
    before one of an older version is brought up to date. What `only_reads` makes no state file
    where none is.
    Raises UsageError when a setting is invalid.
    """
    environ = os.environ if environ is None else environ
    sources = read_sources(env_file=env_file, environ=environ)
    for warning in sources.warnings():
        warn(warning)
    clock = clock or SystemClock()
    return Workspace(
        sources,
        clock,
        warn=warn,
        log=log,
        detail=detail,
        announce=announce,
        on_state=on_state,
        on_update=on_update,
        only_reads=only_reads,
    )


STOPPING = (
    "stopping: running requests may finish (10 s at most); press Ctrl-C again to stop at once"
)
"""What a person reads at the first signal."""

_SAME_KEYSTROKE_SECONDS = 0.2


def ending_signals() -> list[signal.Signals]:
    """The signals that end a command in order: Ctrl-C, SIGTERM, and a terminal that closes.

    SIGHUP is left alone where it is ignored, as under `nohup`.
    """
    is_hangup_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    hangup = [] if is_hangup_ignored else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hangup]


@contextlib.contextmanager
def interruptible(
    on_first: Callable[[int], None], on_again: Callable[[int], None]
) -> Iterator[list[int]]:
    """Hear the ending signals while the block runs; gives the numbers that came, in order.

    SIGHUP counts as SIGTERM. A shell may send one keystroke to several processes, which pass it
    on: what comes within 0.2 seconds of the first counts as that one. A closing
    terminal may send several signals; they count as a first one only.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    received: list[int] = []
    first_at = 0.0

    def handle(number: signal.Signals) -> None:
        nonlocal first_at
        is_no_other = number == signal.SIGHUP or loop.time() - first_at < _SAME_KEYSTROKE_SECONDS
        if received and is_no_other:
            return
        meant = signal.SIGTERM if number == signal.SIGHUP else number
        if received:
            on_again(meant)
        else:
            first_at = loop.time()
            on_first(meant)
        received.append(meant)

    handlers = {number: signal.getsignal(number) for number in ending_signals()}
    for number in handlers:
        loop.add_signal_handler(number, handle, number)
    # The program that started this one may have held them back until they are heard.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)
    try:
        yield received
    finally:
        for number, before in handlers.items():
            loop.remove_signal_handler(number)
            is_over = received and number == signal.SIGHUP
            signal.signal(number, signal.SIG_IGN if is_over else before)


@contextlib.asynccontextmanager
async def meanwhile(
    work: Coroutine[Any, Any, None], on_failure: Callable[[BaseException], None] | None = None
) -> AsyncIterator[None]:
    """Do `work` while the block runs; what is left of it is cancelled at the end.

    Its failure is never lost: `on_failure` is called at once, and a block that ends well raises it.
    """

    import asyncio

    def ended(task: asyncio.Task[None]) -> None:
        if on_failure and not task.cancelled() and (error := task.exception()) is not None:
            on_failure(error)

    task = asyncio.create_task(work)
    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage seldom while a command gathers what it shows of a thousand channels.

    Nearly all of it stays until the end: looking through it again and again took an eighth of the
    time. So it is set apart afterwards, too.
    """
    before = gc.get_threshold()
    gc.set_threshold(_RARELY, *before[1:])
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*before)


@contextlib.contextmanager
def short_collections() -> Iterator[None]:
    """A full garbage collection of the loaded program takes 30 ms: longer than the guard.

    A message that waited for it arrived too close to the one twenty slots later. What was set
    apart before stays so.
    """
    was_frozen = gc.get_freeze_count() > 0
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not was_frozen:
            gc.unfreeze()


def allow_files(wanted: int) -> int:
    """Let this process open `wanted` files, as far as the system allows it; how many it may open.

    A request that is under way needs a file of its own.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
        return more
    return soft
