"""`reminder notify`: tell everybody what is due, each thing once."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wacoex_cli.errors import TemporaryError, WacoexError
from wacoex_cli.foundation import locks
from wacoex_cli.inactivity import (
    delivery,
    heartbeat,
    links,
    notices_ledger,
    outbox,
    runs_ledger,
)
from wacoex_cli.inactivity.model import NoticeKind
from wacoex_cli.inactivity.notice_text import Message, compose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.notice_text import Occasion
    from wacoex_cli.inactivity.outbox import DueNotice, NotDue

LOCK_PURPOSE = "reminder notify"
_PARTIAL = 7
_INTERRUPTED = 130
_CONFIRMABLE = frozenset({NoticeKind.STAGE, NoticeKind.REPEAT})


@dataclass(frozen=True)
class Told:
    """A notice that was sent, was not (`reason`), or would be."""

    notice: DueNotice
    message: Message
    reason: str | None = None

    def to_json(self) -> dict[str, object]:
        """The entry of `sent`, `failed` or `would_send`."""
        on = self.notice.occasion
        entry: dict[str, object] = {
            "channel": on.channel.name,
            "stage": on.standing.stage.value,
            "kind": self.message.kind.value,
            "to": self.notice.target.shown,
        }
        return {**entry, "reason": self.reason} if self.reason else entry


@dataclass
class Notified:
    """What became of everything; it grows while the notices leave."""

    sent: list[Told] = field(default_factory=list)
    failed: list[Told] = field(default_factory=list)
    skipped: list[NotDue] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0 when nothing failed, 7 when some notices did, 6 when all did."""
        if not self.failed:
            return 0
        return _PARTIAL if self.sent else TemporaryError.exit_status


def notify(
    workspace: Workspace,
    urls: Sequence[str],
    channel: str | None,
    *,
    log: Callable[[str], None],
) -> Notified:
    """Send every notice that is due; record the run, and tell the heartbeat URL how it ended.

    `urls` are Apprise URLs; without any, those of the secret `notify-urls` count, of each channel
    its own. `channel` narrows it to one channel.

    Raises:
        UsageError: nobody is there to be told, a URL is unfit, or there is no channel.
        TemporaryError: another run is under way.
        CredentialError, StateError: as their kinds say.
    """
    notified, status = Notified(), 1
    try:
        with _recorded(workspace, notified), _alone(workspace) as presence:
            notices, notified.skipped = outbox.look(workspace, urls, channel)
            for one in notices:
                _tell(workspace, one, presence, notified)
        status = notified.exit_status
    except BaseException as error:
        status = _status_of(error)
        raise
    finally:
        heartbeat.ping(workspace, status, log)
    return notified


def preview(
    workspace: Workspace, urls: Sequence[str], channel: str | None
) -> tuple[list[Told], list[NotDue]]:
    """What `notify` would send and what not; sends and records nothing. Raises UsageError."""
    notices, skipped = outbox.look(workspace, urls, channel)
    return [Told(one, compose(one.occasion)) for one in notices], skipped


def _tell(
    workspace: Workspace, notice: DueNotice, presence: locks.Presence, notified: Notified
) -> None:
    """Send one notice and record it at once: a crash can repeat only the one under way."""
    if _hangs(notice, notified):
        told = Told(notice, compose(notice.occasion), "it gave no answer before in this run")
        notified.failed.append(told)
        return
    _demand_lock(workspace, presence)
    message = compose(_with_link(workspace, notice))
    reason = delivery.send(notice.target, message)
    if reason is None:
        _record(workspace, notice)
        notified.sent.append(Told(notice, message))
    else:
        notified.failed.append(Told(notice, message, reason))


def _hangs(notice: DueNotice, notified: Notified) -> bool:
    """Whether this target has used up its time, so that the others need not wait again."""
    return any(
        had.notice.target == notice.target and had.reason == delivery.TIMED_OUT
        for had in notified.failed
    )


def _with_link(workspace: Workspace, notice: DueNotice) -> Occasion:
    on, public_url = notice.occasion, workspace.settings.public_url
    if public_url is None or on.kind not in _CONFIRMABLE:
        return on
    shown = notice.target.shown
    return on.confirmed_by(
        *links.create(workspace.state, public_url, on.channel.channel_id, shown, on.now)
    )


def _record(workspace: Workspace, notice: DueNotice) -> None:
    on = notice.occasion
    with workspace.state.transaction():
        notices_ledger.record(
            workspace.state,
            channel_id=on.channel.channel_id,
            target=notice.target.target_id,
            shown_target=notice.target.shown,
            kind=on.kind,
            stage=on.standing.stage,
            deadline_at=on.standing.deadline_at,
            now=on.now,
        )


@contextlib.contextmanager
def _recorded(workspace: Workspace, notified: Notified) -> Iterator[None]:
    """Keep that this run began and how it ended, whatever happens in it."""
    state, status = workspace.state, 1
    run_id = runs_ledger.start(state, workspace.clock.now())
    try:
        yield
        status = notified.exit_status
    except BaseException as error:
        status = _status_of(error)
        raise
    finally:
        runs_ledger.finish(
            state,
            run_id,
            workspace.clock.now(),
            exit_status=status,
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
        presence.leave()
        with state.transaction():
            locks.release(state, LOCK_PURPOSE, presence)


def _demand_lock(workspace: Workspace, presence: locks.Presence) -> None:
    with workspace.state.transaction():
        if not locks.beat(workspace.state, LOCK_PURPOSE, presence, workspace.clock):
            raise TemporaryError(
                "another run has taken over",
                hint="nothing is lost: what is due is sent by the other run or by the next one",
                code="locked",
            )


def _status_of(error: BaseException) -> int:
    if isinstance(error, WacoexError):
        return error.exit_status
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return _INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
