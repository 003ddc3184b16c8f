"""Probes in the state file. Writers need a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.devices.probe_rule import Answer, Probe, ProbeWord, WordOutcome

if TYPE_CHECKING:
    from wacoex_cli.foundation.state import Row, State

_NEWEST_OPEN = (
    "SELECT * FROM probes WHERE channel_id = ? AND ended_at IS NULL AND began_at >= ?"
    " ORDER BY probe_id DESC LIMIT 1"
)
# Of each device the newest probe in which its word was sent.
_ANSWERS = (
    "SELECT w.device_id, w.word, w.outcome, p.began_at, p.heard, p.probe_id"
    " FROM probe_words AS w JOIN probes AS p ON p.probe_id = w.probe_id"
    " WHERE p.channel_id = ? AND p.ended_at IS NOT NULL AND w.outcome IN ('seen', 'not_seen')"
    " ORDER BY p.probe_id"
)


def start(state: State, channel_id: int, contact: str, began_at: str) -> Probe:
    """A new probe, without words."""
    probe_id = 1 + int(state.value("SELECT COALESCE(MAX(probe_id), 0) FROM probes"))
    state.execute(
        "INSERT INTO probes (probe_id, channel_id, contact, began_at) VALUES (?, ?, ?, ?)",
        [probe_id, channel_id, contact, began_at],
    )
    return Probe(probe_id, channel_id, contact, began_at)


def open_probe(state: State, channel_id: int, since: str) -> Probe | None:
    """The probe of a channel that began since then and has not ended."""
    row = state.row(_NEWEST_OPEN, [channel_id, since])
    return _probe(state, row) if row else None


def words_ever(state: State) -> frozenset[str]:
    """Every word that any probe used."""
    return frozenset(str(row["word"]) for row in state.rows("SELECT word FROM probe_words"))


def add_word(state: State, probe_id: int, word: ProbeWord) -> None:
    """Give a device its word."""
    state.execute(
        "INSERT INTO probe_words (probe_id, device_id, word) VALUES (?, ?, ?)",
        [probe_id, word.device_id, word.word],
    )


def set_outcome(state: State, probe_id: int, word: ProbeWord) -> None:
    """Keep what became of a word."""
    state.execute(
        "UPDATE probe_words SET outcome = ?, seen_at = ? WHERE probe_id = ? AND device_id = ?",
        [word.outcome, word.seen_at, probe_id, word.device_id],
    )


def end(state: State, probe: Probe) -> None:
    """Keep that a probe has ended, and whether any echo came in meanwhile."""
    state.execute(
        "UPDATE probes SET ended_at = ?, heard = ? WHERE probe_id = ?",
        [probe.ended_at, int(bool(probe.heard)), probe.probe_id],
    )


def answers(state: State, channel_id: int) -> tuple[Answer, ...]:
    """What the newest probe of each device came to, the phone (0) first."""
    newest = {
        row["device_id"]: Answer(
            row["device_id"],
            row["word"],
            WordOutcome(row["outcome"]),
            row["began_at"],
            bool(row["heard"]),
        )
        for row in state.rows(_ANSWERS, [channel_id])
    }
    return tuple(newest[device_id] for device_id in sorted(newest))


def _probe(state: State, row: Row) -> Probe:
    words = state.rows(
        "SELECT * FROM probe_words WHERE probe_id = ? ORDER BY device_id", [row["probe_id"]]
    )
    heard = None if row["heard"] is None else bool(row["heard"])
    return Probe(**{**row, "heard": heard}, words=tuple(map(_word, words)))


def _word(row: Row) -> ProbeWord:
    outcome = None if row["outcome"] is None else WordOutcome(row["outcome"])
    return ProbeWord(row["device_id"], row["word"], outcome, row["seen_at"])
