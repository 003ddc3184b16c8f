"""`reminder notify`: send everybody what is due, each thing once, and call the heartbeat URL.

Notices leave through Apprise: mail, chat, push, desktop, by URL. Such a URL holds passwords and
tokens, so it is shown masked and never quoted.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import threading
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from wacoex_cli.channels import registry
from wacoex_cli.channels.facts import CHANNELS, ConnectionState
from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import TemporaryError, UsageError, WacoexError
from wacoex_cli.events.store import catch_up
from wacoex_cli.findings.model import several
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import from_text, local_text
from wacoex_cli.foundation.settings import ways_to_give
from wacoex_cli.inactivity.checks import Watched, watch
from wacoex_cli.inactivity.confirm import create_link
from wacoex_cli.inactivity.model import LastNotice, NoticeKind, NoticeReach, Stage
from wacoex_cli.inactivity.rule import due
from wacoex_cli.inactivity.store import Reminders
from wacoex_cli.terminal.render import relative

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from urllib.parse import SplitResult

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace

LOCK_PURPOSE = "reminder notify"
PING_SECONDS = 5.0
SEND_SECONDS = 30.0
"""How long a target may take before it counts as failed."""

TIMED_OUT = f"no answer within {SEND_SECONDS:.0f} seconds"
_PARTIAL = 7
_INTERRUPTED = 130
_CONFIRMABLE = frozenset({NoticeKind.STAGE, NoticeKind.REPEAT})
_LONGEST_SHOWN_PART = 12
_SHORTEST_HIDDEN_WORD = 4


@dataclass(frozen=True)
class Target:
    """One place that notices go to. `target_id` is a hash of its URL, `shown` has no secrets."""

    target_id: str
    shown: str
    sender: Any = field(repr=False, compare=False)
    hidden_words: frozenset[str] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Notice:
    """What a target is to be sent about a channel, and why. `link` confirms the phone once.

    `reason` says why it could not be sent.
    """

    about: Watched
    target: Target
    kind: NoticeKind
    now: datetime
    link: str | None = None
    link_expires_at: datetime | None = None
    reason: str | None = None

    @property
    def stage(self) -> Stage:
        """The stage of the channel."""
        return self.about.standing.stage

    @property
    def apprise_type(self) -> str:
        """Apprise's word for how grave it is."""
        is_late = self.stage in {Stage.CRITICAL, Stage.OVERDUE}
        types = {NoticeKind.RECOVERY: "success", NoticeKind.REMOVED: "failure"}
        return types.get(self.kind, "failure" if is_late else "warning")

    @property
    def title(self) -> str:
        """The subject: which phone, until when."""
        name, standing = self.about.channel.name, self.about.standing
        if self.kind is NoticeKind.REMOVED:
            is_gone = self.about.connection.state is ConnectionState.GONE
            what = "probably disconnected" if is_gone else "no longer connected"
            return f"{name}: the channel is {what}"
        if self.kind is NoticeKind.RECOVERY:
            return f"{name}: phone confirmed"
        if standing.act_by_at is None:
            return f"{name}: nobody knows when the app was last opened"
        if standing.stage is Stage.OVERDUE:
            return f"{name}: overdue, open the WhatsApp Business app now"
        return f"{name}: open the WhatsApp Business app by {self._local(standing.act_by_at)}"

    @property
    def body(self) -> str:
        """The text: how it stands, what to do, how to confirm it."""
        channel = self.about.channel
        lines = [f"Channel: {channel.name} ({channel.phone})"]
        if channel.owner:
            lines.append(f"Owner: {channel.owner}")
        if self.kind in _CONFIRMABLE:
            lines.append(f"Stage: {self.stage.value}")
            lines += ["", *self._countdown(), "", *self._what_to_do()]
        elif self.kind is NoticeKind.REMOVED:
            lines += ["", *self._removed()]
        else:
            deadline = self.about.standing.deadline_at
            until = f", next deadline {self._local(deadline)}" if deadline else ""
            lines += ["", f"Phone confirmed{until}. There is nothing to do now."]
        return "\n".join(lines)

    def _removed(self) -> Iterator[str]:
        name, lost = self.about.channel.name, self.about.connection
        words = (("reason", lost.reason), ("initiated by", lost.initiated_by))
        why = ", ".join(f"{word} {value}" for word, value in words if value)
        when = self._local(from_text(lost.since)) if lost.since else "at an unknown time"
        if lost.state is ConnectionState.GONE:
            yield f"Meta showed this number before, and hides it since {when}:"
            yield "it is probably disconnected, and then no message reaches it."
            yield "Do not connect it again before you have read what to do:"
        else:
            why = why or "no reason was given"
            yield f"The partner was removed from this number: {when}, {why}."
            yield (
                "Messages no longer reach it."
                " Do not connect it again before you have read what to do:"
            )
        yield f"wacoex status {name}"
        yield f"wacoex explain {lost.loss_finding}"

    def _countdown(self) -> Iterator[str]:
        standing = self.about.standing
        if standing.counted is None or standing.deadline_at is None or standing.act_by_at is None:
            yield "There is no trusted evidence that the app was ever opened, so the countdown"
            yield (
                "cannot run. After about 14 days without the app WhatsApp disconnects the channel."
            )
            return
        yield f"Last opened, as far as wacoex knows: {self._with_age(standing.counted.at)}"
        yield f"Act by: {self._with_age(standing.act_by_at)}"
        yield f"Deadline: {self._with_age(standing.deadline_at)}"
        if standing.stage is Stage.OVERDUE:
            yield "WhatsApp may have disconnected the channel already, or may do so at any moment."
        else:
            yield "After the deadline WhatsApp disconnects the channel."

    def _what_to_do(self) -> Iterator[str]:
        yield "What to do:"
        yield "1. Take the primary phone, open the WhatsApp Business app and keep it online for a"
        yield "   minute. A linked device, messages that come in and broadcasts do not count."
        command = f"wacoex reminder confirm {self.about.channel.name}"
        if self.link and self.link_expires_at:
            until = self._local(self.link_expires_at)
            yield f"2. Then confirm it with this link, which works once and until {until}:"
            yield f"   {self.link}"
            yield f"   Or with this command: {command}"
        else:
            yield f"2. Then confirm it: {command}"

    def _local(self, moment: datetime) -> str:
        return local_text(moment, self.about.zone)

    def _with_age(self, moment: datetime) -> str:
        return f"{self._local(moment)}, {relative(moment, self.now)}"

    def to_json(self) -> dict[str, object]:
        """The entry of `sent`, `failed` or `would_send`."""
        entry: dict[str, object] = {
            "channel": self.about.channel.name,
            "stage": self.stage.value,
            "kind": self.kind.value,
            "to": self.target.shown,
        }
        return {**entry, "reason": self.reason} if self.reason else entry


@dataclass(frozen=True)
class NotDue:
    """A channel and a target that get nothing now: `told`, `nothing_to_tell` or `no_target`."""

    channel: str
    stage: Stage
    to: str | None
    reason: str

    def to_json(self) -> dict[str, object]:
        """The entry of `skipped`."""
        return {
            "channel": self.channel,
            "stage": self.stage.value,
            "to": self.to,
            "reason": self.reason,
        }


@dataclass
class Notified:
    """What happened to everything; it grows while the notices leave. `error` ended the run."""

    sent: list[Notice] = field(default_factory=list)
    failed: list[Notice] = field(default_factory=list)
    skipped: list[NotDue] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def exit_status(self) -> int:
        """That of the error; else 0 when nothing failed, 7 when some did, 6 when all did."""
        if isinstance(self.error, WacoexError):
            return self.error.exit_status
        if isinstance(self.error, SystemExit) and isinstance(self.error.code, int):
            return self.error.code
        if self.error is not None:
            return _INTERRUPTED if isinstance(self.error, KeyboardInterrupt) else 1
        if not self.failed:
            return 0
        return _PARTIAL if self.sent else TemporaryError.exit_status


_TEST_TITLE = "wacoex: test notice"
_TEST_BODY = """This is a test, there is nothing to do.

A real notice says which phone somebody must open, and by when. If you do not look after these
phones, inform the person who set this up."""


class NoticeTest(NamedTuple):
    """A test that was sent to an address. `reason` says why it failed, None when it was taken."""

    target: Target
    reason: str | None = None

    def to_json(self) -> dict[str, object]:
        """The entry of `sent`, `failed` or `would_send`."""
        entry: dict[str, object] = {
            "channel": None,
            "stage": None,
            "kind": "test",
            "to": self.target.shown,
        }
        return {**entry, "reason": self.reason} if self.reason else entry


def send_tests(
    workspace: Workspace, urls: Sequence[str], channel: str | None, *, dry_run: bool
) -> list[NoticeTest]:
    """Send a test to each address once, and record what took it; with `dry_run` only name them.

    The addresses are those of `notify`; they need no channel. No run is recorded, so that a test
    passes for no reminder that works.

    Raises:
        UsageError: there is no address, one cannot be used, or there is no such channel.
        CredentialError, StateError: as their kinds say.
    """
    state, now = workspace.state, workspace.clock.now()
    tests = []
    for target in _test_targets(workspace, urls, channel):
        reason = None
        if not dry_run:
            reason = send(target, _TEST_TITLE, _TEST_BODY, "info")
            with state.transaction():
                Reminders(state).add_test(target.target_id, target.shown, now, reason)
        tests.append(NoticeTest(target, reason))
    return tests


def _test_targets(
    workspace: Workspace, urls: Sequence[str], channel: str | None
) -> Iterable[Target]:
    """Every address in use, each once."""
    if channel:
        registry.active(workspace.state, channel)
    found: dict[str, Target] = {}
    if urls:
        found = {target.target_id: target for target in targets_of(urls, "`--to`")}
    else:
        for text, source in _address_lists(workspace, channel):
            found |= {each.target_id: each for each in targets_of(split_urls(text), source)}
    if not found:
        raise _no_address()
    return found.values()


def _address_lists(workspace: Workspace, channel: str | None) -> Iterator[tuple[str, str]]:
    """The secrets `notify-urls` of one channel, or of all: what each holds, and where it is."""
    known = Channels(workspace.state).all_channels()
    owners: list[str | None] = [each.name for each in known if not each.archived_at]
    for owner in [channel] if channel else [None, *owners]:
        if secret := workspace.secrets.find("notify-urls", owner):
            yield secret.reveal(), secret.source


def _no_address() -> UsageError:
    return UsageError(
        "no address for notices is set",
        hint=f"{ways_to_give('notify-urls')}; or give `--to URL`",
        code="notify_nobody",
    )


def reach_of(workspace: Workspace, channels: Sequence[Channel]) -> NoticeReach:
    """What is known of the addresses of these channels. Sends nothing, and loads no notifier."""
    known = Reminders(workspace.state).deliveries()
    addresses: dict[str, None] = {}
    for channel in channels:
        # One that cannot be read is the finding of another check.
        with contextlib.suppress(WacoexError):
            if secret := workspace.secrets.find("notify-urls", channel.name):
                addresses |= dict.fromkeys(map(_target_id, split_urls(secret.reveal())))
    elsewhere = tuple(delivery for key, delivery in known.items() if key not in addresses)
    return NoticeReach(tuple(map(known.get, addresses)), elsewhere)


def _target_id(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def notify(
    workspace: Workspace,
    urls: Sequence[str],
    channel: str | None,
    *,
    log: Callable[[str], None],
) -> Notified:
    """Send every notice that is due; record the run, and report its end to the heartbeat URL.

    `urls` are Apprise URLs; without any, those of the secret `notify-urls` count, of each channel
    its own. `channel` narrows it to one channel.

    Raises:
        UsageError: there is nobody to notify, a URL cannot be used, or there is no channel.
        TemporaryError: another run is under way.
        CredentialError, StateError: as their kinds say.
    """
    notified = Notified()
    try:
        with _recorded(workspace, notified), _alone(workspace) as presence:
            notices, notified.skipped = find_due(workspace, urls, channel)
            for notice in notices:
                _send_and_record(workspace, notice, presence, notified)
    except BaseException as error:
        notified.error = error
        raise
    finally:
        _ping(workspace, notified.exit_status, log)
    return notified


def _send_and_record(
    workspace: Workspace, notice: Notice, presence: locks.Presence, notified: Notified
) -> None:
    """Send one notice and record it at once: a crash can repeat only the one under way."""
    # A target that has used up its time once must not keep the others waiting again.
    if any(
        former.target == notice.target and former.reason == TIMED_OUT for former in notified.failed
    ):
        reason = "it gave no answer earlier in this run"
        notified.failed.append(replace(notice, reason=reason))
        return
    state, about = workspace.state, notice.about
    with state.transaction():
        if not locks.beat(state, LOCK_PURPOSE, presence, workspace.clock):
            raise TemporaryError(
                "another run has taken over",
                hint="nothing is lost: the other run or the next run sends what is due",
                code="locked",
            )
    target, number = notice.target, about.channel.channel_id
    public_url = workspace.settings.public_url
    if public_url and notice.kind in _CONFIRMABLE:
        link, expires_at = create_link(state, public_url, number, target.shown, notice.now)
        notice = replace(notice, link=link, link_expires_at=expires_at)
    problem = send(target, notice.title, notice.body, notice.apprise_type)
    if problem is not None:
        notified.failed.append(replace(notice, reason=problem))
        return
    with state.transaction():
        sent = LastNotice(notice.kind, notice.stage, notice.now)
        Reminders(state).add_notice(
            number, target.target_id, target.shown, sent, about.standing.deadline_at
        )
    notified.sent.append(notice)


@contextlib.contextmanager
def _recorded(workspace: Workspace, notified: Notified) -> Iterator[None]:
    """Keep that this run began and how it ended, whatever happens in it."""
    reminders = Reminders(workspace.state)
    run_id = reminders.start_run(workspace.clock.now())
    try:
        yield
    except BaseException as error:
        notified.error = error
        raise
    finally:
        reminders.finish_run(
            run_id,
            workspace.clock.now(),
            exit_status=notified.exit_status,
            sent=len(notified.sent),
            failed=len(notified.failed),
        )


@contextlib.contextmanager
def _alone(workspace: Workspace) -> Iterator[locks.Presence]:
    """Let no other run send at the same time. Raises TemporaryError when one does."""
    state = workspace.state
    presence = locks.Presence(state.path)
    try:
        with state.transaction():
            locks.acquire(state, LOCK_PURPOSE, presence, workspace.clock)
        yield presence
    finally:
        try:
            with state.transaction():
                locks.release(state, LOCK_PURPOSE, presence)
        finally:
            presence.leave()


def find_due(
    workspace: Workspace, urls: Sequence[str], channel: str | None
) -> tuple[list[Notice], list[NotDue]]:
    """What is due, worst first, and what is not, after the events that came in have been read.

    Sends and records nothing. Raises UsageError like `notify`.
    """
    catch_up(workspace.state, [CHANNELS], workspace.clock)
    channels = _channels(workspace.state, channel)
    targets = _targets(workspace, urls, channels)
    last = Reminders(workspace.state).last_notices()
    wanted = Reminders(workspace.state).wanted_reminders()
    now = workspace.clock.now()
    notices, skipped = [], []
    for about in watch(workspace, channels, now):
        name, stage = about.channel.name, about.standing.stage
        for target in targets[name]:
            former = last.get((about.channel.channel_id, target.target_id))
            remind_at = wanted.get((about.channel.channel_id, target.shown))
            if kind := due(stage, about.connection.state, former, now, remind_at):
                notices.append(Notice(about, target, kind, now))
            else:
                reason = "told" if former else "nothing_to_tell"
                skipped.append(NotDue(name, stage, target.shown, reason))
        if not targets[name]:
            skipped.append(NotDue(name, stage, None, "no_target"))
    if silent := [entry.channel for entry in skipped if entry.to is None]:
        names = several(f"`{name}`" for name in silent)
        workspace.warn(
            f"no address for notices is set for {names}: set WACOEX_NOTIFY_URLS,"
            " or store `notify-urls` with `wacoex auth login`"
        )
    return notices, skipped


def _channels(state: State, name: str | None) -> list[Channel]:
    if name:
        return [registry.active(state, name)]
    known = Channels(state).all_channels()
    if not known:
        # Under cron this is more likely another state file than a person without channels.
        raise UsageError(
            f"there is no channel in {state.path}, so there is nothing to watch",
            hint="set `WACOEX_STATE` to the right file,"
            " or add a channel with `wacoex channel add NAME --phone +65...`",
            code="channel_missing",
        )
    return [channel for channel in known if not channel.archived_at]


def _targets(
    workspace: Workspace, urls: Sequence[str], channels: Sequence[Channel]
) -> Mapping[str, tuple[Target, ...]]:
    """Where the notices about each channel go, by its name."""
    if urls:
        given = targets_of(urls, "`--to`")
        return {channel.name: given for channel in channels}
    found: dict[str, tuple[Target, ...]] = {}
    by_text: dict[str, tuple[Target, ...]] = {"": ()}
    for channel in channels:
        secret = workspace.secrets.find("notify-urls", channel.name)
        text = secret.reveal() if secret else ""
        if secret and text not in by_text:
            by_text[text] = targets_of(split_urls(text), secret.source)
        found[channel.name] = by_text[text]
    if channels and not any(found.values()):
        raise _no_address()
    return found


def split_urls(text: str) -> list[str]:
    """The URLs of a list separated by commas; a comma inside a URL does not part it."""
    pieces = re.split(r"[,\s]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", text.strip(", \t\r\n"))
    return [url for piece in pieces if (url := piece.strip(", \t\r\n"))]


def targets_of(urls: Iterable[str], source: str) -> tuple[Target, ...]:
    """The targets of Apprise URLs, each once. `source` is where they stand, for errors.

    Raises UsageError, which does not quote the URL, for one that Apprise cannot use.
    """
    found: dict[str, Target] = {}
    for number, url in enumerate(urls, start=1):
        sender = _sender(url)
        if sender is None:
            scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://", url)
            kind = f"`{scheme.group()}...`" if scheme else "without `scheme://`"
            raise UsageError(
                f"URL {number} of {source} ({kind}) is not a URL that Apprise can use",
                hint="write it as Apprise documents it, such as"
                " `mailto://user:password@example.com` or `ntfys://ntfy.sh/topic`",
                code="notify_url",
            )
        [masked] = sender.urls(privacy=True)
        digest = _target_id(url)
        hidden_words = _words(url) - _words(masked)
        found.setdefault(digest, Target(digest, _shown(masked), sender, hidden_words))
    return tuple(found.values())


def _sender(url: str) -> Any:
    """Apprise with this one URL; None where that is no URL of it."""
    # Loading its plugins imports parts of the standard library that later Pythons drop.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise

        asset = apprise.AppriseAsset(
            app_id="wacoex",
            app_desc="wacoex",
            async_mode=False,
            body_format=apprise.NotifyFormat.TEXT,
        )
        notifier = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
        return apprise.Apprise(notifier, asset=asset) if notifier else None


def _shown(masked: str) -> str:
    """Scheme, host and who is written to: of a long part of the path only its beginning."""
    scheme, _, rest = masked.partition("?")[0].partition("://")
    host, *path = (unquote(part) for part in rest.split("/") if part)
    parts = [
        part if "@" in part or len(part) <= _LONGEST_SHOWN_PART else f"{part[:4]}..."
        for part in path
    ]
    return f"{scheme}://{'/'.join([host, *parts])}"


def _words(url: str) -> frozenset[str]:
    words = re.split(r"[^\w.-]+", f"{url} {unquote(url)}")
    return frozenset(word for word in words if len(word) >= _SHORTEST_HIDDEN_WORD)


class _Complaints(logging.Handler):
    """Keeps what Apprise says about a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def send(
    target: Target, title: str, body: str, apprise_type: str, seconds: float = SEND_SECONDS
) -> str | None:
    """Send a text to a target; returns why that failed, or None when it was taken."""
    complaints = _Complaints()
    ended: list[bool | str] = []

    def deliver() -> None:
        # Whatever a notifier raises is its own failure, and must not stop the others.
        try:
            ended.append(
                bool(target.sender.notify(title=title, body=body, notify_type=apprise_type))
            )
        except Exception as error:
            ended.append(f"the notifier failed ({type(error).__name__})")

    log = logging.getLogger("apprise")
    log.addHandler(complaints)
    try:
        # A thread, because a notifier that hangs cannot be interrupted; it ends with the process.
        thread = threading.Thread(target=deliver, daemon=True, name="notifier")
        thread.start()
        thread.join(seconds)
    finally:
        log.removeHandler(complaints)
    if not ended:
        return TIMED_OUT
    if isinstance(ended[0], str):
        return ended[0]
    if ended[0]:
        return None
    if not complaints.texts:
        return "the notifier gave no reason"
    text = " ".join(complaints.texts[0].split()).rstrip(".")
    for word in sorted(target.hidden_words, key=len, reverse=True):
        text = text.replace(word, "...")
    return text[:1].lower() + text[1:]


def _ping(workspace: Workspace, exit_status: int, log: Callable[[str], None]) -> None:
    """Call `URL/<exit status>` if a heartbeat URL is set: one try of at most 5 seconds.

    Never raises and never quotes the URL, which anybody who knows it could call. A URL that cannot
    be used is warned about; that nobody answered goes to `log`, because the person who
    watches the heartbeat learns it anyway.
    """
    try:
        secret = workspace.secrets.find("heartbeat-url")
        if secret is None:
            return
        try:
            url = urlsplit(secret.reveal())
            is_usable = url.scheme in {"http", "https"} and url.hostname and url.port != 0
        except ValueError:
            is_usable = False
        if not is_usable:
            workspace.warn(
                f"{secret.source} is not an http or https URL, so wacoex sends no heartbeat"
            )
            return
        problem = workspace.run(_call(url, exit_status, workspace.clock))
    except WacoexError as error:
        workspace.warn(f"wacoex sends no heartbeat: {error.message}")
        return
    if problem is not None:
        log(f"the heartbeat failed: {problem}")


async def _call(url: SplitResult, exit_status: int, clock: Clock) -> str | None:
    import asyncio

    from wacoex_cli.foundation.http import Http

    # A client of its own, which logs nothing: the path of the URL is the secret.
    http = Http(clock, log=lambda text: None, exchange_seconds=PING_SECONDS)
    path = f"{url.path.rstrip('/')}/{exit_status}"
    try:
        answer = await asyncio.wait_for(
            http.read(
                "GET",
                urlunsplit((url.scheme, url.netloc, path, "", "")),
                headers={},
                params=dict(parse_qsl(url.query, keep_blank_values=True)),
                is_final=lambda answer: True,
                patience_seconds=0,
            ),
            PING_SECONDS,
        )
    except TimeoutError:
        return f"no answer within {PING_SECONDS:.0f} seconds"
    except WacoexError as error:
        return error.code
    finally:
        await http.aclose()
    return None if 200 <= answer.status < 300 else f"answer {answer.status}"
