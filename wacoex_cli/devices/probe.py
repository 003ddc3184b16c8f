"""Finding out which devices the partner hears: a word is sent from each, and comes back or not."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.facts import CHANNELS
from wacoex_cli.channels.store import Signs
from wacoex_cli.devices.model import THE_PHONE, Probe, ProbeWord, WordOutcome, new_word, visibility
from wacoex_cli.devices.store import Devices, Probes
from wacoex_cli.errors import TemporaryError, UsageError, WacoexError
from wacoex_cli.events.pull import Person, Reader, reader_of
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.findings.model import finding_blocks
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.phone_numbers import normalise
from wacoex_cli.platforms.events import Kind, Source, text_hash
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.render import ForPerson, Result, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.inventory import Inventory
    from wacoex_cli.devices.model import Device
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.events import Event
    from wacoex_cli.terminal.dialogue import TerminalDialogue

WAITS_SECONDS = 300.0
_LOOKS_EVERY_SECONDS = 1.0
_PULLS_EVERY_SECONDS = 3.0
_RESUMED_WITHIN = timedelta(hours=24)
_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
_LISTENS = timedelta(hours=24)
PROBE_FINDINGS = frozenset({"WX301", "WX304"})
"""What `device probe` shows of the findings about companions."""
_PHONE = "the phone itself"
_RESULTS = {
    WordOutcome.SEEN: "visible",
    WordOutcome.NOT_SEEN: "not seen",
    WordOutcome.NOT_SENT: "not sent",
}
_SETTING = "events.probe_contact"
_WAITING = "waiting up to 5 minutes for them to come back"
_ENTER = "; press Enter when all are sent and you want to wait no longer"


class Prober:
    """Probes the devices of one channel. `devices` are its linked companions."""

    def __init__(self, workspace: Workspace, channel: Channel, devices: Iterable[Device]) -> None:
        self._workspace = workspace
        self._state = workspace.state
        self._channel = channel
        self._device_ids = (THE_PHONE, *(device.device_id for device in devices))
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
            words = {word.device_id: word for word in found.words}
            taken = set(Probes(self._state).words_ever())
            for device_id in self._device_ids:
                if device_id not in words:
                    words[device_id] = ProbeWord(device_id, new_word(taken, secrets.choice))
                    taken.add(words[device_id].word)
                    Probes(self._state).add_word(found.probe_id, words[device_id])
        return found._replace(words=tuple(words[key] for key in self._device_ids))

    def has_arrivals(self) -> bool:
        """Whether something has come in by itself in the last 24 hours."""
        now = self._workspace.clock.now()
        arrivals = [EventLog(self._state).newest_arrival(source) for source in Source]
        return any(at is not None and now - at < _LISTENS for at in arrivals)

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
        expected = {text_hash(word.word, self._key): word for word in probe.waiting}
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
        words = tuple(seen.get(word.device_id, word) for word in probe.words)
        return probe._replace(words=words)

    def finish(self, probe: Probe, outcomes: Mapping[int, WordOutcome]) -> Probe:
        """End the probe; `outcomes` are those of the words that have not come back, by device.

        A device whose word is missing is invisible, unless nothing at all came in meanwhile.
        """
        heard = any(True for _ in self._echoes(probe))
        words = tuple(
            word._replace(outcome=outcomes.get(word.device_id, WordOutcome.NOT_SEEN))
            if word.outcome is not WordOutcome.SEEN
            else word
            for word in probe.words
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


def run_probe(
    workspace: Workspace, channel: Channel, devices: Sequence[Device], dialogue: TerminalDialogue
) -> Probe:
    """Tell a person what to send from where, wait for the words, ask about those that are missing.

    Raises UsageError when it is not known whom to send to, KeyboardInterrupt when interrupted:
    what came back is kept then.
    """
    known = {device.device_id: device for device in devices}
    prober = Prober(workspace, channel, devices)
    begun = prober.look(prober.begin(_contact(workspace, prober, dialogue)))
    for word in begun.waiting:
        sender = _sender(known, word)
        dialogue.banner(f"send  {word.word}  from {sender} to {begun.contact}, exactly as written")
    reader = prober.reader(begun)
    if reader is None and not prober.has_arrivals():
        dialogue.warn(
            "nothing has arrived for a day, and there is no respondio-token to read messages with;"
            " start `wacoex events listen` in another terminal"
        )
    dialogue.note(f"{_WAITING}{_ENTER if dialogue.can_ask() else ''}")

    def report(word: ProbeWord) -> None:
        dialogue.banner(f"{word.word} came back: {_sender(known, word)} is visible")

    try:
        waited = workspace.run(
            prober.wait(begun, reader, on_seen=report, is_over=dialogue.is_enter_pressed)
        )
    except KeyboardInterrupt:
        dialogue.note("wacoex keeps what came back; the same command continues from there")
        raise
    outcomes = {}
    for word in waited.waiting if dialogue.can_ask() else ():
        question = f"{word.word}: did you send it from {_sender(known, word)}?"
        is_sent = dialogue.confirm(question, flag="--no-input")
        outcomes[word.device_id] = WordOutcome.NOT_SEEN if is_sent else WordOutcome.NOT_SENT
    return prober.finish(waited, outcomes)


def _contact(workspace: Workspace, prober: Prober, dialogue: TerminalDialogue) -> str:
    """Whom the words are sent to: as the interrupted probe says, the settings, or the person."""
    unfinished = prober.unfinished()
    if unfinished is not None:
        dialogue.note(f"continuing the probe that began at {unfinished.began_at}")
        return unfinished.contact
    if configured := workspace.settings.events.probe_contact:
        return configured
    if not dialogue.can_ask():
        raise UsageError(
            "wacoex does not know where to send the words",
            hint=f"set `{_SETTING}` in config.toml to a test number, such as `+6591234567`",
            code="needs_answer",
        )
    text = dialogue.ask("which number, not a customer's, will get the words", flag=_SETTING)
    phone = normalise(text)
    if phone is None:
        raise UsageError(
            f"`{text}` is not a phone number",
            hint="write it with `+` and the country code, such as `+6591234567`",
            code="bad_contact",
        )
    return phone


def _sender(known: Mapping[int, Device], word: ProbeWord) -> str:
    device = known.get(word.device_id)
    return device.label if device else _PHONE


def planned(channel: Channel, devices: Sequence[Device]) -> Result:
    """What `device probe --dry-run` shows."""
    names = [_PHONE, *(device.label for device in devices)]
    data = {
        "channel": channel.name,
        "devices": [{"id": device.device_id, "kind": device.kind.value} for device in devices],
        "dry_run": True,
    }
    return Result(data, [f"{name} of channel {channel.name} would get a word" for name in names])


def probe_data(
    probe: Probe, found: Inventory, channel: str, findings: Sequence[Finding]
) -> dict[str, object]:
    """The `data` of `device probe`."""
    words = {word.device_id: word for word in probe.words}
    phone = words[THE_PHONE]
    return {
        "channel": channel,
        "contact": probe.contact,
        "began_at": probe.began_at,
        "ended_at": probe.ended_at,
        "heard": probe.heard,
        "phone": {"visible": visibility(phone, heard=bool(probe.heard)), **_word_data(phone)},
        "devices": [
            {**device.to_json(state), **_word_data(words.get(device.device_id))}
            for device, state in found.devices
        ],
        "findings": [finding.to_json() for finding in findings],
    }


def _word_data(word: ProbeWord | None) -> dict[str, object]:
    return {
        "word": word.word if word else None,
        "outcome": word.outcome.value if word and word.outcome else None,
        "seen_at": word.seen_at if word else None,
    }


def probe_text(
    probe: Probe, found: Inventory, findings: Sequence[Finding], now: datetime
) -> Iterator[str | Table | ForPerson]:
    """Visible or not seen, for each device; for a person also what follows from it."""
    known = {device.device_id: device for device, _ in found.devices}
    rows = [
        (_sender(known, word), word.word, _RESULTS[word.outcome])
        for word in probe.words
        if word.outcome is not None
    ]
    yield Table(
        (Column("device", 8), Column("word", 5, may_drop=True), Column("result", 9, fit="wrap")),
        rows,
    )
    for word in probe.words:
        device = known.get(word.device_id)
        if device and not device.kind.is_supported and word.outcome is WordOutcome.NOT_SEEN:
            yield ForPerson(
                f"{device.label}: expected: messages from {device.kind.value} reach no partner"
            )
    if not probe.heard:
        yield ForPerson("no echo arrived at all, so the probe says nothing about any device")
    yield ForPerson(finding_blocks(findings, now))
