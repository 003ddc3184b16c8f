"""`events pull` as a whole: whom to ask about what, at respond.io and at Meta."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wacoex_cli.channels.access import meta_for, respondio_for
from wacoex_cli.errors import (
    CredentialError,
    DeclinedError,
    RefusedError,
    TemporaryError,
    UsageError,
    WacoexError,
)
from wacoex_cli.events import consumers, pull_history
from wacoex_cli.events.model import Kind
from wacoex_cli.events.projection import catch_up
from wacoex_cli.events.pull import Log, Person, Reader, Tally
from wacoex_cli.events.pull_history import History
from wacoex_cli.events.pull_sweep import Survey, survey, sweep
from wacoex_cli.foundation.settings import ways_to_give
from wacoex_cli.platforms.respondio import MESSAGES
from wacoex_cli.terminal.progress import open_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.events.consumers import Interest
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.respondio import RespondIO
    from wacoex_cli.platforms.respondio_replies import WorkspaceChannel
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.options import Invocation

_PARTIAL = 7


@dataclass(frozen=True)
class PullRequest:
    """What a person asked for; `phones` (E.164) come on top of those that matter anyway."""

    phones: tuple[str, ...]
    all_contacts: bool
    since: datetime
    dry_run: bool = False
    is_confirmed: bool = False

    @property
    def needs_respondio(self) -> bool:
        """Whether it makes no sense without respond.io."""
        return bool(self.phones) or self.all_contacts


@dataclass
class Pulled:
    """What a pull came to. `worked` counts the platforms that were read to the end.

    `statuses_wanted` are messages of ours whose fate Meta may know.
    """

    tally: Tally = field(default_factory=Tally)
    history: History = field(default_factory=History)
    estimate: Survey | None = None
    statuses_wanted: int = 0
    calls: int = 0
    worked: int = 0
    errors: list[WacoexError] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0, 7 when only a part could be read, or the status of what made it impossible."""
        if self.errors and not self.worked:
            return self.errors[0].exit_status
        is_whole = not (self.errors or self.tally.not_ready or self.tally.refused)
        return 0 if is_whole else _PARTIAL

    def to_json(self) -> dict[str, object]:
        """The `data` of the JSON output."""
        tally = self.tally
        return {
            "contacts": tally.contacts,
            "calls": self.calls,
            "stored": tally.stored,
            "duplicates": tally.duplicates,
            "by_kind": {kind.value: tally.by_kind[kind] for kind in Kind},
            "not_found": tally.not_found,
            "not_ready": tally.not_ready,
            "refused": tally.refused,
            "elsewhere": tally.elsewhere,
            "history": self.history.to_json(),
            "estimate": self.estimate.to_json() if self.estimate else None,
            "resumed": self.estimate is not None and self.estimate.began_at is not None,
            "finished": self.exit_status == 0,
        }


class Pull:
    """One run for one channel."""

    def __init__(
        self, workspace: Workspace, invocation: Invocation, channel: Channel, request: PullRequest
    ) -> None:
        self._workspace = workspace
        self._invocation = invocation
        self._channel = channel
        self._request = request
        self._pulled = Pulled()
        self._log = Log(
            workspace.state,
            workspace.clock,
            self._pulled.tally,
            key=workspace.secrets.local_key(),
            store_bodies=workspace.settings.events.store_bodies,
        )

    def run(self, dialogue: TerminalDialogue) -> Pulled:
        """Read what matters, or everything, and let every room learn from it.

        Raises:
            CredentialError: there is neither a token for respond.io nor one for Meta.
            UsageError: the channel lacks the ids that the tokens need.
            DeclinedError: a person did not want to read all contacts.
        """
        respondio, meta = self._sources()
        interest = self._interest()
        try:
            if respondio is not None:
                self._part(lambda: self._read_respondio(respondio, interest, dialogue))
            if meta is not None and interest.message_ids:
                self._part(lambda: self._read_meta(meta, interest))
        except KeyboardInterrupt:
            if self._pulled.tally.contacts:
                dialogue.note("what was read is kept; the same command goes on from there")
            raise
        self._catch_up()
        self._pulled.calls = sum(one.calls for one in (respondio, meta) if one is not None)
        return self._pulled

    def _sources(self) -> tuple[RespondIO | None, Meta | None]:
        channel, secrets = self._channel, self._workspace.secrets
        has_token = secrets.find("respondio-token", channel.name) is not None
        if self._request.needs_respondio:
            secrets.need("respondio-token", channel.name)
        is_known_there = channel.respondio_channel_id is not None
        respondio = meta = None
        if has_token and is_known_there:
            respondio = respondio_for(self._workspace, channel)
        has_meta_token = secrets.find("meta-token", channel.name) is not None
        if has_meta_token and channel.phone_number_id:
            meta = meta_for(self._workspace, channel)
        if respondio is None and (self._request.needs_respondio or meta is None):
            raise self._nothing_to_ask(has_token, has_meta_token)
        return respondio, meta

    def _nothing_to_ask(self, has_token: bool, has_meta_token: bool) -> WacoexError:
        name = self._channel.name
        if has_token:
            return UsageError(
                f"channel `{name}` has no respondio_channel_id",
                hint=f"run `wacoex channel edit {name} --respondio-channel-id N`"
                f"{self._known_channels()}",
                code="channel_incomplete",
            )
        if has_meta_token:
            self._channel.demand_phone_number_id()
        return CredentialError(
            f"there is neither a respondio-token nor a meta-token for channel `{name}`",
            hint=f"{ways_to_give('respondio-token')}; for Meta {ways_to_give('meta-token')}",
            code="credentials_missing",
        )

    def _known_channels(self) -> str:
        """The workspace's WhatsApp channels, as the end of a hint; empty when they are unknown."""
        found: tuple[WorkspaceChannel, ...] = ()
        with contextlib.suppress(WacoexError):
            respondio = respondio_for(self._workspace, self._channel)
            found = self._workspace.run(respondio.list_channels())
        # Which `source` a Coexistence channel shows is not documented (respond.io: channels).
        named = [f"{channel.id} ({channel.name})" for channel in found if channel.is_whatsapp]
        return f"; N is one of {', '.join(named)}" if named else ""

    def _interest(self) -> Interest:
        workspace = self._workspace
        found = consumers.interest(workspace.state, self._channel, workspace.clock.now())
        probe = workspace.settings.events.probe_contact
        people = (*self._request.phones, *([probe] if probe else []), *found.phones)
        return consumers.Interest(tuple(dict.fromkeys(people)), found.message_ids)

    def _part(self, read: Callable[[], None]) -> None:
        try:
            read()
        except (CredentialError, RefusedError, TemporaryError) as error:
            self._pulled.errors.append(error)

    def _read_respondio(
        self, respondio: RespondIO, interest: Interest, dialogue: TerminalDialogue
    ) -> None:
        channel_id = self._channel.respondio_channel_id
        assert channel_id is not None  # noqa: S101 - `_sources` has seen to it
        reader = Reader(respondio, channel_id, self._log, since=self._request.since)
        if self._request.all_contacts:
            self._sweep(reader, dialogue)
        elif self._request.dry_run:
            rate = respondio.calls_per_second(MESSAGES)
            count = len(interest.phones)
            self._pulled.estimate = Survey(count, count, count / rate, rate) if count else None
        elif interest.phones:
            people = [Person.of_phone(phone) for phone in interest.phones]
            with self._progress("contacts read", len(people)) as show:
                self._workspace.run(reader.read(people, show))
            self._pulled.worked += 1

    def _sweep(self, reader: Reader, dialogue: TerminalDialogue) -> None:
        must_ask = not (self._request.is_confirmed or self._request.dry_run)
        if must_ask:
            dialogue.demand_person("--yes")  # before the contacts are counted, not after
        found = self._workspace.run(survey(reader))
        self._pulled.estimate = found
        if self._request.dry_run:
            return
        dialogue.note(found.sentence())
        if must_ask and not dialogue.confirm(f"read {found.contacts} contacts?", flag="--yes"):
            raise DeclinedError("nothing was read")
        with self._progress("contacts read", found.contacts) as show:
            self._workspace.run(sweep(reader, found, show, self._catch_up))
        self._pulled.worked += 1

    def _read_meta(self, meta: Meta, interest: Interest) -> None:
        messages = interest.message_ids
        self._pulled.statuses_wanted = len(messages)
        if self._request.dry_run:
            return
        with self._progress("statuses asked for", len(messages)) as show:
            self._pulled.history = self._workspace.run(
                pull_history.read_statuses(
                    meta, self._channel.demand_phone_number_id(), messages, self._log, show
                )
            )
        self._pulled.worked += self._pulled.history.available is True

    @contextlib.contextmanager
    def _progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        with open_progress(self._invocation, title, total, clock=self._workspace.clock) as shown:
            tally = self._log.tally

            def show(done: int) -> None:
                shown.update(done, f"{tally.stored} stored", {"stored": tally.stored})

            yield show

    def _catch_up(self) -> None:
        catch_up(self._workspace.state, consumers.projections(), self._workspace.clock)
