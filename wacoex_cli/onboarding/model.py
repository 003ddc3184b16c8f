"""A journey: connecting or letting go of one channel, as steps that are kept in the state file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.errors import WacoexError
    from wacoex_cli.findings.model import Finding


class JourneyKind(StrEnum):
    """Where it leads."""

    CONNECT = "connect"
    OFFBOARD = "offboard"


class Route(StrEnum):
    """Through whose signup a channel is connected."""

    RESPONDIO = "respondio"
    SIGNUP = "signup"


class Nature(StrEnum):
    """What settles a step: a person's word, an answer or event from outside, or an act of ours."""

    ASKED = "asked"
    CHECKED = "checked"
    DONE = "done"


class StepState(StrEnum):
    """Where a step stands."""

    OPEN = "open"
    SETTLED = "settled"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    DECLINED = "declined"
    """A person said no: an answer, and asked again by the next walk."""

    @property
    def word(self) -> str:
        """For a person: done, skipped, open, failed, uncertain, declined."""
        return "done" if self is StepState.SETTLED else self.value

    @property
    def is_over(self) -> bool:
        """Whether the step is never gone through again: it is settled or skipped."""
        return self in {StepState.SETTLED, StepState.SKIPPED}


class Step(NamedTuple):
    """One step as the list names it; `routes` are those it belongs to."""

    id: str
    title: str
    nature: Nature
    routes: frozenset[Route] = frozenset(Route)


class StepResult(NamedTuple):
    """What going through a step came to.

    `answer` is what was confirmed or answered, as JSON, and never a secret. `said_by` is the
    person, or `meta`, `respondio` for what was checked. `note` is a sentence for the person.
    """

    state: StepState
    answer: Mapping[str, object] = MappingProxyType({})
    said_by: str | None = None
    findings: tuple[Finding, ...] = ()
    note: str | None = None


class Record(NamedTuple):
    """A step of one journey as it is kept. `at` is RFC 3339 in UTC; None while it is open."""

    step: str
    state: StepState
    at: str | None = None
    said_by: str | None = None
    answer: Mapping[str, object] = MappingProxyType({})


class Journey(NamedTuple):
    """One journey of one channel. Times are RFC 3339 in UTC."""

    journey_id: int
    channel_id: int
    kind: JourneyKind
    via: Route
    started_at: str
    finished_at: str | None = None


SYNC_WINDOW = timedelta(hours=24)
"""How long after connecting contacts and history can be copied (Meta: onboarding app users)."""


class Onboarding(NamedTuple):
    """When a number was connected, aware UTC, and who says it: `meta`, `respondio`, `person`."""

    at: datetime
    source: str

    @property
    def sync_closes_at(self) -> datetime:
        """Until when contacts and history can be copied."""
        return self.at + SYNC_WINDOW


NOT_BEGUN = 0
"""The number of a journey that there is not."""


class Receipt(NamedTuple):
    """A journey as it is kept, with its steps in order and what was found on the way.

    `error` is what ended this walk, if something did; everything settled before it is kept.
    """

    channel: str
    journey: Journey
    steps: Sequence[Step]
    records: Mapping[str, Record]
    findings: Sequence[Finding] = ()
    exit_code: int = 0
    error: WacoexError | None = None

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.journey.finished_at is not None


class JourneyOptions(NamedTuple):
    """What the options of the command say; a check and a dry run change nothing outside."""

    via: Route | None = None
    is_check: bool = False
    dry_run: bool = False
    port: int = 0
    skip_proof: bool = False
    open_browser: bool = True
    unsubscribe: bool = False
    is_confirmed: bool = False


@dataclass(frozen=True)
class WindowFinished:
    """The window gave a code, which lives 30 seconds. Meta does not always name the WABA."""

    code: str = field(repr=False)
    waba_id: str | None = None
    event: str | None = None


@dataclass(frozen=True)
class WindowCancelled:
    """The person left; `step` is the screen, as Meta names it."""

    step: str | None = None


@dataclass(frozen=True)
class WindowFailed:
    """The window showed an error, and the person reported it. The session id is for Meta."""

    text: str
    error_code: str | None = None
    session_id: str | None = None


@dataclass(frozen=True)
class WindowClosed:
    """The window was closed and said nothing; on its last screen that is success."""

    waba_id: str | None = None


WindowReport = WindowFinished | WindowCancelled | WindowFailed | WindowClosed


class SignupSetup(NamedTuple):
    """What the page shows, and what Meta's script is called with; no secret is among it."""

    app_id: str
    config_id: str
    api_version: str
    sdk_url: str
    channel: str
    phone: str
    kept_in: str

    @property
    def sdk_origin(self) -> str:
        """Where the script comes from, as a browser writes origins."""
        parts = urlsplit(self.sdk_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def sdk_host(self) -> str:
        """The host that the script comes from, for the person."""
        return urlsplit(self.sdk_url).netloc

    @property
    def extra_origin(self) -> str:
        """An origin besides Facebook's that may report the session: a stand-in on this machine."""
        return self.sdk_origin if urlsplit(self.sdk_url).scheme == "http" else ""


class SignupEnd(NamedTuple):
    """What the page shows at the end."""

    ok: bool
    title: str
    lines: tuple[str, ...]
