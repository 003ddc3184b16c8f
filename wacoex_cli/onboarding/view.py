"""The receipt of a journey: what was confirmed by whom, checked with what answer, done when."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.findings.model import finding_text, worst_first
from wacoex_cli.onboarding.model import Record, StepState
from wacoex_cli.terminal.render import ForPerson, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.findings.model import Finding
    from wacoex_cli.onboarding.model import Journey, Step

_COLUMNS = ("state", "step", "title", "said by", "at")
_WIDTH = 78
_AFTER_CARE = "after-care"
_MARKS = {StepState.SETTLED: "done"}


@dataclass(frozen=True)
class Receipt:
    """A journey as it is kept, with its steps in order and what was found on the way."""

    channel: str
    journey: Journey
    steps: Sequence[Step]
    records: Mapping[str, Record]
    findings: Sequence[Finding] = ()

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.journey.finished_at is not None


def mark(state: StepState) -> str:
    """The word for a state: done, skipped, open, failed, uncertain."""
    return _MARKS.get(state, state.value)


def receipt_data(receipt: Receipt) -> dict[str, object]:
    """The `data` of `connect` and `offboard`."""
    after_care = receipt.records.get(_AFTER_CARE)
    return {
        "channel": receipt.channel,
        "journey_id": receipt.journey.journey_id,
        "kind": receipt.journey.kind.value,
        "via": receipt.journey.via.value,
        "status": "finished" if receipt.is_finished else "open",
        "started_at": receipt.journey.started_at,
        "finished_at": receipt.journey.finished_at,
        "steps": [_step_data(step, record) for step, record in _lines(receipt)],
        "findings": [one.to_json() for one in worst_first(receipt.findings)],
        "aftercare": dict(after_care.answer) if after_care and after_care.at else None,
    }


def receipt_text(receipt: Receipt, now: datetime) -> Iterator[Table | ForPerson]:
    """A line for each step; for a person also its answer, the findings, and how to go on."""
    rows = [
        (
            mark(record.state),
            step.id,
            step.title,
            record.said_by,
            _to_the_second(record.at),
        )
        for step, record in _lines(receipt)
    ]
    yield Table(_COLUMNS, rows)
    for step, record in _lines(receipt):
        yield from _answer(step, record)
    for finding in worst_first(receipt.findings):
        yield ForPerson(f"\n{finding_text(finding, now)}")
    if not receipt.is_finished:
        go_on = f"wacoex {receipt.journey.kind.value} {receipt.channel}"
        yield ForPerson(f"\nnot finished; go on with: {go_on}")


def _lines(receipt: Receipt) -> Iterator[tuple[Step, Record]]:
    for step in receipt.steps:
        if receipt.journey.via in step.routes:
            yield step, receipt.records.get(step.id, Record(step.id, StepState.OPEN))


def _step_data(step: Step, record: Record) -> dict[str, object]:
    return {
        "step": step.id,
        "title": step.title,
        "nature": step.nature.value,
        "state": record.state.value,
        "said_by": record.said_by,
        "at": record.at,
        "answer": dict(record.answer),
    }


def _answer(step: Step, record: Record) -> Iterator[ForPerson]:
    told = _in_words(record.answer)
    if told:
        wrapped = textwrap.wrap(told, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
        yield ForPerson("\n  ".join([f"\n{step.title}:", *wrapped]))


def _in_words(answer: Mapping[str, object]) -> str:
    """`app_version 2.25.1, in_real_use yes`: what stands in the answer, without its syntax."""
    return ", ".join(f"{name} {_word(value)}" for name, value in answer.items() if value not in _NO)


_NO: tuple[object, ...] = (None, "", [], {})


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return f"({'; '.join(map(_word, value))})"
    if isinstance(value, dict):
        return f"({_in_words(value)})"
    return str(value)


def _to_the_second(at: str | None) -> str | None:
    return f"{at[:19]}Z" if at else None
