"""Finding out which devices the partner hears: a word is sent from each, and comes back or not."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.evidence import CHANNELS
from wacoex_cli.channels.store import Signs
from wacoex_cli.devices.rule import THE_PHONE, Probe, ProbeWord, WordOutcome, new_word, visibility
from wacoex_cli.devices.store import Devices, Probes
from wacoex_cli.errors import TemporaryError, WacoexError
from wacoex_cli.events.pull import Person, Reader, reader_of
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.events import Kind, Source, text_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.model import Device
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.events import Event

WAITS_SECONDS = 300.0
_LOOKS_EVERY_SECONDS = 1.0
_PULLS_EVERY_SECONDS = 3.0
_RESUMED_WITHIN = timedelta(hours=24)
_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
_LISTENS = timedelta(hours=24)


class Prober:
    """Probes the devices of one channel. `devices` are its linked companions."""

    def __init__(self, workspace: Workspace, channel: Channel, devices: Iterable[Device]) -> None:
        self._workspace = workspace
        self._state = workspace.state
        self._channel = channel
        self._device_ids = (THE_PHONE, *(one.device_id for one in devices))
        self._key = workspace.secrets.local_key()
        self._has_warned = False

    def unfinished(self) -> Probe | None:
        """The probe of the last 24 hours that was interrupted."""
        since = to_text(self._workspace.clock.now() - _RESUMED_WITHIN)
        return Probes(self._state).open_probe(self._channel.channel_id, since)

    def begin(self, contact: str) -> Probe:
        """Go on with the probe that was interrupted, or begin one, with a word for each device.

        `contact` (E.164) is whom the words are sent to.
        """
        with self._state.transaction():
            found = self.unfinished()
            if found is None:
                now = to_text(self._workspace.clock.now())
                found = Probes(self._state).start(self._channel.channel_id, contact, now)
            words = {one.device_id: one for one in found.words}
            taken = set(Probes(self._state).words_ever())
            for device_id in self._device_ids:
                if device_id not in words:
                    words[device_id] = ProbeWord(device_id, new_word(taken, secrets.choice))
                    taken.add(words[device_id].word)
                    Probes(self._state).add_word(found.probe_id, words[device_id])
        return found._replace(words=tuple(words[one] for one in self._device_ids))

    def is_told(self) -> bool:
        """Whether something has come in by itself in the last 24 hours."""
        now = self._workspace.clock.now()
        arrivals = [EventLog(self._state).newest_arrival(source) for source in Source]
        return any(one is not None and now - one < _LISTENS for one in arrivals)

    def reader(self, probe: Probe) -> Reader | None:
        """Reads the contact's messages at respond.io; None without a token or a channel id."""
        return reader_of(self._workspace, self._channel, _since(probe))

    async def wait(
        self,
        probe: Probe,
        reader: Reader | None,
        *,
        on_seen: Callable[[ProbeWord], None],
        is_over: Callable[[], bool],
    ) -> Probe:
        """Wait until every word has come back, the time is over, or somebody ends it.

        What was seen is kept at once, so the probe can be interrupted at any time.
        """
        clock = self._workspace.clock
        until = clock.monotonic() + WAITS_SECONDS
        next_pull = clock.monotonic()
        while True:
            if reader is not None and clock.monotonic() >= next_pull:
                reader = await self._pull(reader, probe)
                next_pull = clock.monotonic() + _PULLS_EVERY_SECONDS
            before, probe = probe, self.look(probe)
            for word, old in zip(probe.words, before.words, strict=True):
                if word != old:
                    on_seen(word)
            if not probe.waiting or clock.monotonic() >= until or is_over():
                return probe
            await clock.sleep(_LOOKS_EVERY_SECONDS)

    async def _pull(self, reader: Reader, probe: Probe) -> Reader | None:
        """The reader to go on with: a platform that refuses is not asked again."""
        try:
            await reader.read([Person.of_phone(probe.contact)], lambda done: None)
        except WacoexError as error:
            is_temporary = isinstance(error, TemporaryError)
            if not (is_temporary and self._has_warned):
                self._workspace.warn(f"respond.io cannot be read: {error.message}")
            self._has_warned = True
            return reader if is_temporary else None
        return reader

    def look(self, probe: Probe) -> Probe:
        """Find the words that have come back since the last look, and keep that."""
        expected = {text_hash(one.word, self._key): one for one in probe.waiting}
        seen: dict[int, ProbeWord] = {}
        for event in self._echoes(probe):
            word = expected.get(event.data.get("text_hash") or "")
            if word is not None and word.device_id not in seen:
                now = to_text(self._workspace.clock.now())
                seen[word.device_id] = word._replace(
                    outcome=WordOutcome.SEEN, seen_at=min(event.at, now)
                )
        if seen:
            with self._state.transaction():
                for word in seen.values():
                    self._keep(probe, word, heard=True)
        words = tuple(seen.get(one.device_id, one) for one in probe.words)
        return probe._replace(words=words)

    def finish(self, probe: Probe, outcomes: Mapping[int, WordOutcome]) -> Probe:
        """End the probe; `outcomes` are those of the words that have not come back, by device.

        A device whose word is missing is invisible, unless nothing at all came in meanwhile.
        """
        heard = any(True for _ in self._echoes(probe))
        words = tuple(
            one._replace(outcome=outcomes.get(one.device_id, WordOutcome.NOT_SEEN))
            if one.outcome is not WordOutcome.SEEN
            else one
            for one in probe.words
        )
        now = to_text(self._workspace.clock.now())
        ended = probe._replace(words=words, ended_at=now, heard=heard)
        with self._state.transaction():
            for word in words:
                self._keep(ended, word, heard=heard)
            Probes(self._state).end(ended)
        return ended

    def _keep(self, probe: Probe, word: ProbeWord, *, heard: bool) -> None:
        Probes(self._state).set_outcome(probe.probe_id, word)
        visible = visibility(word, heard=heard)
        if visible is not None and word.device_id != THE_PHONE:
            Devices(self._state).set_visible(word.device_id, visible)
        if word.seen_at is not None:
            Devices(self._state).note_used(word.device_id, word.seen_at)

    def _echoes(self, probe: Probe) -> Iterable[Event]:
        """The echoes of the channel since the probe began."""
        catch_up(self._state, (CHANNELS,), self._workspace.clock)
        return EventLog(self._state).find(
            kinds=(Kind.ECHO,),
            since=_since(probe),
            addresses=Signs(self._state).addresses_for(self._channel),
        )


def _since(probe: Probe) -> datetime:
    return from_text(probe.began_at) - _CLOCKS_DIFFER_AT_MOST
