"""Whom a broadcast reached. Reached, not reached and unknown sum to its recipients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.ledger.model import HELD_BACK_WORDS, OPEN_STATES, RowState, Status

if TYPE_CHECKING:
    from collections.abc import Mapping

REACHED = {RowState.READ: "read", RowState.DELIVERED: "delivered, not read yet"}
"""The phone has the message: Meta sent a receipt."""

NOT_REACHED = {
    RowState.FAILED: "failed on the way",
    RowState.REJECTED: "refused",
    RowState.PENDING: "not sent yet",
    RowState.RETRY: "waiting for another try",
}
"""The message did not arrive, or has not left."""

UNKNOWN = {
    RowState.AMBIGUOUS: "in doubt: no usable answer, it may have gone out",
    RowState.SENT: "sent, no receipt from the phone yet",
    RowState.ACCEPTED: "accepted by Meta, no report since",
    **HELD_BACK_WORDS,
    RowState.SENDING: "being sent",
}
"""Nothing proves yet that the message arrived, or that it will not.

What Meta accepted without a word since, holds or paused may still arrive or fail.
"""

_SURE_FAILURES = (RowState.FAILED, RowState.REJECTED)


class Reach(NamedTuple):
    """The people of a broadcast by what is known of their message.

    `parts` are the counts by state. `handled` failures need nobody: a person settled them, or
    another broadcast sends them again.
    """

    parts: Mapping[RowState, int]
    status: Status
    handled: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, int], status: Status, handled: int = 0) -> Reach:
        """From the counts of a broadcast by the name of the state; the skipped do not count."""
        parts = {RowState(name): n for name, n in counts.items()}
        parts.pop(RowState.SKIPPED, None)
        return cls(parts, status, handled)

    @property
    def recipients(self) -> int:
        """All people who were to get the message."""
        return sum(self.parts.values())

    @property
    def reached(self) -> int:
        """How many phones have it."""
        return self._sum(REACHED)

    @property
    def read(self) -> int:
        """How many people read it, as far as their receipts say."""
        return self.parts.get(RowState.READ, 0)

    @property
    def not_reached(self) -> int:
        """How many messages did not arrive, or have not left."""
        return self._sum(NOT_REACHED)

    @property
    def unknown(self) -> int:
        """How many messages may have arrived, or may still arrive."""
        return self._sum(UNKNOWN)

    @property
    def unsent(self) -> int:
        """How many messages wait for their first or another try."""
        return self._sum(dict.fromkeys((RowState.PENDING, RowState.RETRY)))

    @property
    def open(self) -> int:
        """How many messages still have to leave, those that are being sent included."""
        return sum(self.parts.get(state, 0) for state in OPEN_STATES)

    @property
    def need_you(self) -> int:
        """How many people somebody has to look after: they failed, or are in doubt."""
        failed = sum(self.parts.get(state, 0) for state in _SURE_FAILURES)
        return max(0, failed - self.handled) + self.parts.get(RowState.AMBIGUOUS, 0)

    def kinds(self, group: Mapping[RowState, str]) -> list[tuple[RowState, str, int]]:
        """What a group consists of: state, words, number; only what there is."""
        return [
            (state, self._words(state, words), n)
            for state, words in group.items()
            if (n := self.parts.get(state, 0))
        ]

    def sentence(self) -> str:
        """The whole broadcast in one sentence, for a person."""
        people = self.recipients
        if not people:
            return "nobody on the list could be sent to"
        if self.parts.get(RowState.PENDING, 0) == people:
            is_over = self.status is Status.CANCELLED
            return f"nothing was sent to {counted(people)}{'' if is_over else ' yet'}"
        said = [f"{self.reached} of {people} reached"]
        if self.reached:
            said.append(f"{self.read} read ({percent(self.read, people)})")
        if need := self.need_you:
            said.append(f"{need} {'needs' if need == 1 else 'need'} you")
        if silent := self.unknown - self.parts.get(RowState.AMBIGUOUS, 0):
            said.append(f"{silent} not known yet")
        if self.unsent:
            said.append(f"{self.unsent} {self._words(RowState.PENDING, 'not sent yet')}")
        return ", ".join(said)

    def to_json(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "recipients": self.recipients,
            "reached": self.reached,
            "read": self.read,
            "not_reached": self.not_reached,
            "unknown": self.unknown,
            "need_you": self.need_you,
            "handled": self.handled,
        }

    def _sum(self, group: Mapping[RowState, object]) -> int:
        return sum(self.parts.get(state, 0) for state in group)

    def _words(self, state: RowState, words: str) -> str:
        is_unsent = state in (RowState.PENDING, RowState.RETRY)
        return "not sent" if is_unsent and self.status is Status.CANCELLED else words


def counted(number: int, name: str = "recipient") -> str:
    """A number with its noun: `1 recipient`, `2 recipients`."""
    if name == "person":
        return "1 person" if number == 1 else f"{number:,} people"
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def percent(part: int, whole: int) -> str:
    """A part in whole percent; it says 0 % and 100 % only when that is so."""
    if not whole or part in (0, whole):
        return "100 %" if part else "0 %"
    rounded = round(100 * part / whole)
    return {0: "under 1 %", 100: "over 99 %"}.get(rounded, f"{rounded} %")


class NextStep(NamedTuple):
    """Something to do about a broadcast: briefly for a terminal, at length for a page."""

    words: str
    title: str
    why: str
    command: str


def next_steps(broadcast_id: int, reach: Reach, *, is_being_sent: bool) -> list[NextStep]:
    """What somebody does now, the most urgent first; empty when there is nothing to do."""
    steps = []
    doubtful = reach.parts.get(RowState.AMBIGUOUS, 0)
    failed = reach.need_you - doubtful
    going_on = f"wacoex broadcast resume {broadcast_id}"
    rest = f"{counted(reach.open, 'message')} still {'has' if reach.open == 1 else 'have'} to leave"
    if reach.status is Status.PLANNED:
        steps.append(
            NextStep(
                "to send it",
                "Send it",
                "Nothing has left yet.",
                f"wacoex broadcast send {broadcast_id}",
            )
        )
    if reach.status is Status.PAUSED:
        steps.append(NextStep("to continue", "Continue", f"It is paused; {rest}.", going_on))
    if reach.status is Status.SENDING and not is_being_sent:
        steps.append(
            NextStep(
                "its sender died; to continue",
                "Continue",
                f"The program that sent it has stopped; {rest}.",
                going_on,
            )
        )
    if doubtful:
        steps.append(
            NextStep(
                f"to settle the ambiguous {'row' if doubtful == 1 else 'rows'}",
                f"Settle {counted(doubtful, 'message')} in doubt",
                "Meta gave no usable answer, so the message may have gone out. wacoex looks for"
                " proof and never sends it twice by itself.",
                f"wacoex broadcast reconcile {broadcast_id}",
            )
        )
    if failed and reach.status in (Status.COMPLETED, Status.CANCELLED):
        steps.append(
            NextStep(
                "when the cause is gone, to send it again to who failed",
                f"Help {counted(failed, 'person')} who did not get it",
                "The causes are below, each with what helps. When a cause is gone, this command"
                " sends the message again to those who failed. It leaves out who opted out and who"
                " is to be left alone.",
                f"wacoex broadcast retry {broadcast_id}",
            )
        )
    return steps
