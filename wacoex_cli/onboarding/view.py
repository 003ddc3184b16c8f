"""The receipt of a journey, for scripts and in words."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from wacoex_cli.findings.model import worst_first
from wacoex_cli.findings.text import finding_text
from wacoex_cli.onboarding import offboard
from wacoex_cli.onboarding.model import NOT_BEGUN, Receipt, Record, StepState, mark
from wacoex_cli.terminal.render import ForPerson, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.onboarding.model import Step

_COLUMNS = ("state", "step", "title", "said by", "at")
_WIDTH = 78
_AFTER_CARE = "after-care"


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


def offboard_data(receipt: Receipt, channel: Channel, *, dry_run: bool) -> dict[str, object]:
    """The `data` of `offboard`."""
    data = receipt_data(receipt)
    if receipt.journey.journey_id == NOT_BEGUN:
        data |= {"journey_id": None, "started_at": None}
    return {**data, "aftercare": _aftercare(receipt, channel), "dry_run": dry_run}


def offboard_text(receipt: Receipt, channel: Channel, now: datetime) -> Iterator[Table | ForPerson]:
    """A line for each step; for a person also what is left to do."""
    yield from receipt_text(receipt, now)
    left = _aftercare(receipt, channel)
    if left:
        yield ForPerson(
            "\n".join(
                ["", "left to do:", *(f"  - {one}" for one in _left_to_do(left, channel.name))]
            )
        )


def preview_text(receipt: Receipt, channel: Channel, now: datetime) -> Iterator[str]:
    """What would be told and done."""
    answers = {one: record.answer for one, record in receipt.records.items()}
    yield offboard.text_of_changes()
    yield offboard.text_of_backup()
    yield offboard.text_of_routes(channel)
    for finding in receipt.findings:
        yield finding_text(finding, now)
    done = [one for one, record in receipt.records.items() if record.at]
    if done:
        yield f"settled already: {', '.join(done)}"
    yield f"stands now: {_listed(answers['proof'].get('seen'))}"
    yield f"would be paused: broadcasts {_listed(answers['broadcasts'].get('sending'))}"
    would = "would" if answers["unsubscribe"].get("would_detach") else "would not"
    yield f"the own app {would} be detached from the webhooks of the account"
    yield f"companions on the list: {_listed(answers['companions'].get('listed'))}"
    yield f"channel {channel.name} ({channel.phone}) would be archived; nothing was changed"


def _aftercare(receipt: Receipt, channel: Channel) -> dict[str, object] | None:
    if not receipt.is_finished:
        return None
    return {
        "relink_from": receipt.records["companions"].answer.get("relink_from"),
        "at_the_partner": list(offboard.afterwards(channel)),
        "restore": f"wacoex channel restore {channel.name}",
    }


def _left_to_do(left: dict[str, object], name: str) -> Iterator[str]:
    since = f"from {left['relink_from']} on" if left["relink_from"] else "after a day"
    yield f"link the companions again, {since}: on the phone, Settings, Linked devices"
    at_the_partner = left["at_the_partner"]
    if isinstance(at_the_partner, list):
        yield from at_the_partner
    yield f"to take the channel back: `{left['restore']}`, then `wacoex connect {name}`"


def _listed(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list) and values else "none"
