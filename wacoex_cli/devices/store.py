"""Companions and probes in the state file: all of their SQL. Writers need a transaction."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from wacoex_cli.devices.model import (
    Device,
    DeviceKind,
    ListConfirmation,
    Probe,
    ProbeAnswer,
    ProbeWord,
    WordOutcome,
    primary_only,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.devices.model import Interval
    from wacoex_cli.foundation.state import Row, State

_AMONG = "channel_id IN (SELECT value FROM json_each(?))"
_DEVICES = f"SELECT {', '.join(Device._fields)} FROM devices"
_CONFIRMATIONS = (
    f"SELECT channel_id, {', '.join(ListConfirmation._fields)} FROM device_confirmations"
)
_HIGHEST = "SELECT COALESCE(MAX(device_id), 0) FROM devices"
_NEWEST_OPEN = (
    "SELECT * FROM probes WHERE channel_id = ? AND ended_at IS NULL AND began_at >= ?"
    " ORDER BY probe_id DESC LIMIT 1"
)
# Of each device the newest probe in which its word was sent.
_ANSWERS = (
    "SELECT p.channel_id, w.device_id, w.word, w.outcome, p.began_at, p.heard, p.probe_id"
    " FROM probe_words AS w JOIN probes AS p ON p.probe_id = w.probe_id"
    f" WHERE p.{_AMONG} AND p.ended_at IS NOT NULL AND w.outcome IN ('seen', 'not_seen')"
    " ORDER BY p.probe_id"
)


class Devices:
    """Companions, and who confirmed the list."""

    def __init__(self, state: State) -> None:
        self._state = state

    def listed(self, channel_id: int) -> list[Device]:
        """The companions of a channel that were not removed, in the order they were added."""
        return self.listed_by_channel([channel_id])[channel_id]

    def listed_by_channel(self, channel_ids: Sequence[int]) -> dict[int, list[Device]]:
        """The same for each of these channels."""
        found: dict[int, list[Device]] = {channel_id: [] for channel_id in channel_ids}
        for row in self._state.tuples(
            f"{_DEVICES} WHERE {_AMONG} AND removed_at IS NULL ORDER BY device_id",
            [json.dumps(channel_ids)],
        ):
            device = _device(row)
            found[device.channel_id].append(device)
        return found

    def find(self, device_id: int) -> Device | None:
        """The companion of that number, removed or not."""
        rows = self._state.tuples(f"{_DEVICES} WHERE device_id = ?", [device_id])
        return _device(rows[0]) if rows else None

    def insert(self, device: Device) -> Device:
        """List a companion; returns it with its number, the number it came with is ignored."""
        device_id = 1 + self.highest_device_id()
        numbered = device._replace(device_id=device_id)
        places = ", ".join("?" * len(numbered))
        self._state.execute(
            f"INSERT INTO devices ({', '.join(Device._fields)}) VALUES ({places})", list(numbered)
        )
        return numbered

    def highest_device_id(self) -> int:
        """The highest number that any companion ever had; 0 when there is none."""
        return int(self._state.value(_HIGHEST))

    def set_removed(self, device_id: int, moment: str) -> None:
        """Take a companion off the list; what is known of it is kept."""
        self._state.execute(
            "UPDATE devices SET removed_at = ? WHERE device_id = ?", [moment, device_id]
        )

    def set_relinked(self, device_id: int, moment: str) -> None:
        """A companion is linked again, and in use, as of that moment."""
        self._state.execute(
            "UPDATE devices SET relinked_at = ?, last_used_at = ? WHERE device_id = ?",
            [moment, moment, device_id],
        )

    def set_visible(self, device_id: int, visible: bool) -> None:
        """Keep whether what is sent from a companion comes through to the partner."""
        self._state.execute(
            "UPDATE devices SET visible = ? WHERE device_id = ?", [int(visible), device_id]
        )

    def note_used(self, device_id: int, moment: str) -> None:
        """A companion was in use at that moment; what is newer already stays."""
        self._state.execute(
            "UPDATE devices SET last_used_at = ? WHERE device_id = ?"
            " AND (last_used_at IS NULL OR last_used_at < ?)",
            [moment, device_id, moment],
        )

    def add_confirmation(self, channel_id: int, confirmation: ListConfirmation) -> None:
        """Keep that somebody said the list is complete."""
        self._state.execute(
            "INSERT INTO device_confirmations"
            " (channel_id, confirmed_at, confirmed_by, companions, last_device_id)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (channel_id, confirmed_at) DO UPDATE SET"
            " confirmed_by = excluded.confirmed_by, companions = excluded.companions,"
            " last_device_id = excluded.last_device_id",
            [channel_id, *confirmation],
        )

    def last_confirmations(self, channel_ids: Sequence[int]) -> dict[int, ListConfirmation]:
        """Who last said that the list of each of these channels is complete, and when."""
        rows = self._state.tuples(
            f"{_CONFIRMATIONS} WHERE {_AMONG} ORDER BY confirmed_at", [json.dumps(channel_ids)]
        )
        return {channel_id: ListConfirmation(*said) for channel_id, *said in rows}

    def primary_only_by_channel(
        self, channel_ids: Sequence[int]
    ) -> dict[int, tuple[Interval, ...]]:
        """The times at which only the phone of a channel can have sent an echo.

        By channel_id, of these channels; one without such a time is left out.
        """
        confirmed: dict[int, list[ListConfirmation]] = defaultdict(list)
        # Only a list without companions says that nothing but the phone can send.
        for channel_id, *said in self._state.tuples(
            f"{_CONFIRMATIONS} WHERE {_AMONG} AND companions = 0", [json.dumps(channel_ids)]
        ):
            confirmed[channel_id].append(ListConfirmation(*said))
        devices: dict[int, list[Device]] = defaultdict(list)
        for row in self._state.tuples(f"{_DEVICES} WHERE {_AMONG}", [json.dumps(list(confirmed))]):
            device = _device(row)
            devices[device.channel_id].append(device)
        found = {key: primary_only(devices.get(key, ()), confirmed[key]) for key in confirmed}
        return {channel_id: intervals for channel_id, intervals in found.items() if intervals}


class Probes:
    """Probes, and the word of each device."""

    def __init__(self, state: State) -> None:
        self._state = state

    def start(self, channel_id: int, contact: str, began_at: str) -> Probe:
        """A new probe, without words."""
        probe_id = 1 + int(self._state.value("SELECT COALESCE(MAX(probe_id), 0) FROM probes"))
        self._state.execute(
            "INSERT INTO probes (probe_id, channel_id, contact, began_at) VALUES (?, ?, ?, ?)",
            [probe_id, channel_id, contact, began_at],
        )
        return Probe(probe_id, channel_id, contact, began_at)

    def open_probe(self, channel_id: int, since: str) -> Probe | None:
        """The probe of a channel that began since then and has not ended."""
        row = self._state.row(_NEWEST_OPEN, [channel_id, since])
        return self._probe(row) if row else None

    def words_ever(self) -> frozenset[str]:
        """Every word that any probe used."""
        return frozenset(
            str(row["word"]) for row in self._state.rows("SELECT word FROM probe_words")
        )

    def add_word(self, probe_id: int, word: ProbeWord) -> None:
        """Give a device its word."""
        self._state.execute(
            "INSERT INTO probe_words (probe_id, device_id, word) VALUES (?, ?, ?)",
            [probe_id, word.device_id, word.word],
        )

    def set_outcome(self, probe_id: int, word: ProbeWord) -> None:
        """Keep what happened to a word."""
        self._state.execute(
            "UPDATE probe_words SET outcome = ?, seen_at = ? WHERE probe_id = ? AND device_id = ?",
            [word.outcome, word.seen_at, probe_id, word.device_id],
        )

    def end(self, probe: Probe) -> None:
        """Keep that a probe has ended, and whether any echo came in meanwhile."""
        self._state.execute(
            "UPDATE probes SET ended_at = ?, heard = ? WHERE probe_id = ?",
            [probe.ended_at, int(bool(probe.heard)), probe.probe_id],
        )

    def answers(self, channel_ids: Sequence[int]) -> dict[int, tuple[ProbeAnswer, ...]]:
        """What the newest probe of each device came to, by channel_id, the phone (0) first."""
        newest: dict[int, dict[int, ProbeAnswer]] = {channel_id: {} for channel_id in channel_ids}
        for row in self._state.rows(_ANSWERS, [json.dumps(channel_ids)]):
            newest[row["channel_id"]][row["device_id"]] = ProbeAnswer(
                row["device_id"],
                row["word"],
                WordOutcome(row["outcome"]),
                row["began_at"],
                bool(row["heard"]),
            )
        return {
            channel_id: tuple(answers[device_id] for device_id in sorted(answers))
            for channel_id, answers in newest.items()
        }

    def _probe(self, row: Row) -> Probe:
        words = self._state.rows(
            "SELECT * FROM probe_words WHERE probe_id = ? ORDER BY device_id", [row["probe_id"]]
        )
        heard = None if row["heard"] is None else bool(row["heard"])
        return Probe(**{**row, "heard": heard}, words=tuple(map(_word, words)))


def _device(row: Sequence[Any]) -> Device:
    device_id, channel_id, kind, name, linked_at, relinked_at, last_used_at, visible, removed_at = (
        row
    )
    return Device(
        *(device_id, channel_id, DeviceKind(kind), name, linked_at, relinked_at, last_used_at),
        visible=None if visible is None else bool(visible),
        removed_at=removed_at,
    )


def _word(row: Row) -> ProbeWord:
    outcome = None if row["outcome"] is None else WordOutcome(row["outcome"])
    return ProbeWord(row["device_id"], row["word"], outcome, row["seen_at"])
