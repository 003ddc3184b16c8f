"""A signup under way in a thread of its own, beside a pretend Meta; nobody is at the keyboard."""

from __future__ import annotations

import os
import queue
import re
import threading
from collections.abc import Iterator
from html import unescape
from typing import Any

import httpx
import pytest

from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Channel, Details
from wacoex_cli.foundation.workspace import open_workspace
from wacoex_cli.onboarding.journey import Context
from wacoex_cli.onboarding.model import JourneyKind, JourneyOptions, Route, StepResult
from wacoex_cli.onboarding.signup import signup_own_app
from wacoex_cli.onboarding.store import Journeys
from wacoex_cli.sandbox.account import CONFIG_ID, SDK_PATH
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import APP_ID, APP_SECRET, PHONE, World


class Onlooker:
    """Somebody who says yes, and remembers what was shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def confirm(self, question: str, *, flag: str) -> bool:
        self.shown.append(question)
        return True

    def ask(self, question: str, *, flag: str) -> str:
        raise AssertionError(question)

    def secret(self, question: str) -> str:
        raise AssertionError(question)

    def note(self, text: str) -> None:
        self.shown.append(text)

    def warn(self, text: str) -> None:
        self.shown.append(text)

    def detail(self, text: str, level: int = 1) -> None:
        self.shown.append(text)


class Run:
    """One run of the step; `url` is the address of the page, once there is one."""

    def __init__(self, signup: Signup) -> None:
        self._signup = signup
        self._urls: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._outcome: StepResult | None = None
        self._error: BaseException | None = None
        self._url: str | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the page is; fails when none is shown."""
        if self._url is None:
            self._url = self._urls.get(timeout=20)
            if self._url is None and self._error is not None:
                raise self._error
        assert self._url, "no page was shown"
        return self._url

    def end(self) -> StepResult:
        """How the step ended; raises what it raised."""
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return self._outcome

    def _work(self) -> None:
        try:
            self._outcome = self._signup.go(self._urls.put)
        except BaseException as error:
            self._error = error
        finally:
            self._urls.put(None)


class Signup:
    """The channel `shop`, a Meta app, and everything that was shown or logged about them."""

    def __init__(self, world: World, environ: dict[str, str]) -> None:
        self.world = world
        self.environ = environ
        self.onlooker = Onlooker()
        self.log: list[str] = []
        self.clock: Any = None
        self.details: dict[str, Any] = {"phone": PHONE}
        self.options = JourneyOptions()

    def start(self) -> Run:
        """Run the step in the background."""
        return Run(self)

    def go(self, show: Any) -> StepResult:
        """Run the step here; `show` is given the address of the page."""
        with self.workspace() as workspace:
            channel = self._channel(workspace)
            context = self._context(workspace, channel)
            step = signup_own_app(context, open_page=lambda url: not show(url))
            outcome: StepResult = workspace.run(step)
            return outcome

    def workspace(self) -> Any:
        return open_workspace(
            environ=self.environ,
            clock=self.clock,
            warn=self.log.append,
            log=self.log.append,
            detail=self.log.append,
            announce=lambda settings: None,
        )

    @property
    def channel(self) -> Channel:
        """The channel as it is in the state file now."""
        with self.workspace() as workspace:
            return registry.known(workspace.state, "shop")

    def edit(self, **changes: Any) -> None:
        """Change the channel, as `wacoex channel edit` does."""
        with self.workspace() as workspace:
            registry.edit_channel(workspace.state, "shop", changes, workspace.clock.now())

    def everything_written(self) -> str:
        """The state file, the log and all notes, to look for what must not be there."""
        written = b"".join(
            path.read_bytes() for path in self._directory().rglob("*") if path.is_file()
        )
        return "\n".join([*self.log, *self.onlooker.shown, written.decode("latin-1")])

    def _directory(self) -> Any:
        with self.workspace() as workspace:
            return workspace.settings.state.parent

    def _channel(self, workspace: Any) -> Channel:
        try:
            return registry.known(workspace.state, "shop")
        except Exception:
            now = workspace.clock.now()
            return registry.add_channel(workspace.state, "shop", Details(**self.details), now)

    def _context(self, workspace: Any, channel: Channel) -> Context:
        state, now = workspace.state, workspace.clock.now()
        journey = Journeys(state).unfinished(channel.channel_id, JourneyKind.CONNECT)
        if journey is None:
            with state.transaction():
                journey = Journeys(state).start(
                    channel.channel_id, JourneyKind.CONNECT, Route.SIGNUP, now
                )
        return Context(workspace, self.onlooker, journey, "shop", self.options)


class Browser:
    """The HTTP side of a browser that shows the page: its cookie, its data, its report."""

    def __init__(self, url: str) -> None:
        self.origin, _, path = url.rpartition("/")
        self.client = httpx.Client(base_url=self.origin, trust_env=False, timeout=30)
        self.answer = self.client.get(f"/{path}")
        found = re.findall(r'data-([a-z-]+)="([^"]*)"', self.answer.text)
        self.data = {name: unescape(value) for name, value in found}

    def report(self, **values: Any) -> httpx.Response:
        """Post the end of the window, as the page does."""
        return self.post({"state": self.data["state"], **values})

    def post(self, values: Any, **headers: str) -> httpx.Response:
        """Post anything to where the page reports; headers besides what a browser sends."""
        sent = {"Origin": self.origin, **headers}
        return self.client.post(self.data["report-path"], json=values, headers=sent)


@pytest.fixture
def browse() -> Iterator[Any]:
    """Opens the page without a browser: `browse(run.url)`."""
    opened: list[Browser] = []

    def open_page(url: str) -> Browser:
        opened.append(Browser(url))
        return opened[-1]

    yield open_page
    for entry in opened:
        entry.client.close()


@pytest.fixture
def signup(
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    keyring_entries: dict[tuple[str, str], str],
) -> Iterator[Signup]:
    """A working keyring, a Meta app, and a channel of which only the number is known."""
    monkeypatch.setenv("DISPLAY", ":99")
    world = default_world()
    with running(world) as url:
        environ = {
            **os.environ,
            "WACOEX_STATE": str(tmp_path / "state" / "wacoex.db"),
            "WACOEX_META_BASE_URL": url,
            "WACOEX_META_SDK_URL": f"{url}{SDK_PATH}",
            "WACOEX_META_APP_ID": APP_ID,
            "WACOEX_META_CONFIG_ID": CONFIG_ID,
            "WACOEX_META_APP_SECRET": APP_SECRET,
        }
        yield Signup(world, environ)


@pytest.fixture
def finish(signup: Signup) -> Any:
    """The person finishes Meta's window: gives the code and the id of the WABA."""

    def done(phone: str = PHONE) -> dict[str, str]:
        url = signup.environ["WACOEX_META_BASE_URL"]
        answer = httpx.post(f"{url}/dialog/finish", json={"phone": phone}, trust_env=False)
        found: dict[str, str] = answer.json()
        return found

    return done
