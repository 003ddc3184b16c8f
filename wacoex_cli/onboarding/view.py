"""The receipt of a journey, for scripts and in words."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from wacoex_cli.findings.model import finding_text, worst_first
from wacoex_cli.onboarding import offboard
from wacoex_cli.onboarding.model import NOT_BEGUN, Receipt, Record, StepState
from wacoex_cli.terminal.render import ForPerson, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.onboarding.model import Step

_COLUMNS = ("state", "step", "title", "said by", "at")
_EMPTY: tuple[object, ...] = (None, "", [], {})


def receipt_data(receipt: Receipt) -> dict[str, object]:
    """The `data` of `connect` and `offboard`."""
    journey, after_care = receipt.journey, receipt.records.get("after-care")
    return {
        "channel": receipt.channel,
        "journey_id": journey.journey_id,
        "kind": journey.kind.value,
        "via": journey.via.value,
        "status": "finished" if receipt.is_finished else "open",
        "started_at": journey.started_at,
        "finished_at": journey.finished_at,
        "steps": [
            {
                "step": step.id,
                "title": step.title,
                "nature": step.nature.value,
                "state": row.state.value,
                "said_by": row.said_by,
                "at": row.at,
                "answer": dict(row.answer),
            }
            for step, row in _lines(receipt)
        ],
        "findings": [finding.to_json() for finding in worst_first(receipt.findings)],
        "aftercare": dict(after_care.answer) if after_care and after_care.at else None,
    }


def receipt_text(receipt: Receipt, now: datetime) -> Iterator[Table | ForPerson]:
    """A line for each step; for a person also its answer, the findings, and how to go on."""
    rows = [
        (row.state.word, step.id, step.title, row.said_by, f"{row.at[:19]}Z" if row.at else None)
        for step, row in _lines(receipt)
    ]
    yield Table(_COLUMNS, rows)
    for step, row in _lines(receipt):
        if words := _in_words(row.answer):
            wrapped = textwrap.wrap(words, 76, break_long_words=False, break_on_hyphens=False)
            yield ForPerson("\n  ".join([f"\n{step.title}:", *wrapped]))
    for finding in worst_first(receipt.findings):
        yield ForPerson(f"\n{finding_text(finding, now)}")
    if not receipt.is_finished:
        go_on = f"wacoex {receipt.journey.kind.value} {receipt.channel}"
        yield ForPerson(f"\nnot finished; go on with: {go_on}")


def _lines(receipt: Receipt) -> Iterator[tuple[Step, Record]]:
    for step in receipt.steps:
        if receipt.journey.via in step.routes:
            yield step, receipt.records.get(step.id, Record(step.id, StepState.OPEN))


def _in_words(answer: Mapping[str, object]) -> str:
    """`app_version 2.25.1, in_real_use yes`: what stands in the answer, without its syntax."""
    said = {name: value for name, value in answer.items() if value not in _EMPTY}
    return ", ".join(f"{name} {_word(value)}" for name, value in said.items())


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return f"({'; '.join(map(_word, value))})"
    if isinstance(value, dict):
        return f"({_in_words(value)})"
    return str(value)


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
    if left is None:
        return
    since = f"from {left['relink_from']} on" if left["relink_from"] else "after a day"
    lines = (
        f"link the companions again, {since}: on the phone, Settings, Linked devices",
        *offboard.afterwards(channel),
        f"to take the channel back: `{left['restore']}`, then `wacoex connect {channel.name}`",
    )
    yield ForPerson(offboard.listing("\nleft to do:", lines))


def preview_text(receipt: Receipt, channel: Channel, now: datetime) -> Iterator[str]:
    """What would be told and done."""
    answers = {step: row.answer for step, row in receipt.records.items()}
    yield offboard.TEXT_OF_CHANGES
    yield offboard.TEXT_OF_BACKUP
    yield offboard.text_of_routes(channel)
    for finding in receipt.findings:
        yield finding_text(finding, now)
    done = [step for step, row in receipt.records.items() if row.at]
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


def _listed(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list) and values else "none"
