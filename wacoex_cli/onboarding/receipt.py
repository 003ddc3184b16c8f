"""The receipt of a journey: sentences that a person keeps, and all fields for a script."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wacoex_cli.findings.model import finding_blocks, worst_first
from wacoex_cli.onboarding.model import JourneyKind, Receipt, Record, Route, StepState
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.render import Block, ForPerson, ForPipe, Line, Result, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from wacoex_cli.onboarding.model import Step

_COLUMNS = ("state", "step", "title", "said by", "at")
_SENTENCES = (Column("state", 9, fit="keep"), Column("what was done", 8, least=20, fit="wrap"))
_EMPTY: tuple[object, ...] = (None, "", [], {})
_ROUTES = {Route.RESPONDIO: "respond.io", Route.SIGNUP: "your own Meta app"}
# Of an answer: its words, or those for yes and no. Other names are read as they are written.
_WORDS: Mapping[str, str | tuple[str, str]] = {
    "acknowledged": "read and accepted: {}",
    "app_version": "app version {}",
    "archived_at": "archived on {}",
    "closes_at": "open until {}",
    "confirmed_with": "`{}` was typed",
    "connected_at": "connected on {}",
    "connected_source": "",
    "detached": ("detached", "not detached"),
    "disconnected_at": "disconnected on {}",
    "echo_at": "a message came through on {}",
    "expected": "expected: {}",
    "in_real_use": ("in real use", "not in real use"),
    "linked": ("linked", "not linked"),
    "made": ("made", "not made"),
    "meta_verified": ("verified by Meta", "not verified by Meta"),
    "next": "",
    "observed_at": "seen on {}",
    "onboarded_at": "connected on {}",
    "other_partner": ("with another partner", "with no other partner"),
    "phone": "{}",
    "phone_number_id": "phone number id {}",
    "proved_by": "proved by {}",
    "reason": "{}",
    "relink_from": "from {} on",
    "route": "chosen: {}",
    "seen": ("seen", "not seen"),
    "source": "",
    "subscribed": ("subscribed", "not subscribed"),
    "text": "{}",
    "to_relink": "to link again: {}",
    "unlinked_at": "unlinked on {}",
    "waba_id": "account {}",
}
_FACTS = {
    r"is_on_biz_app is false": "the number is no longer on the WhatsApp Business app",
    r"is_on_biz_app is true": "the number is on the WhatsApp Business app",
    r"platform_type is (\w+)": r"Meta lists it as \1",
}


def receipt_result(receipt: Receipt, now: datetime, zone: str) -> Result:
    """A receipt for scripts and, with how to go on, for a person, whose times are in `zone`."""
    journey, after_care = receipt.journey, receipt.records.get("after-care")
    findings = worst_first(receipt.findings)
    lines = [
        (step, receipt.records.get(step.id, Record(step.id, StepState.OPEN)))
        for step in receipt.steps
        if journey.via in step.routes
    ]
    data = {
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
            for step, row in lines
        ],
        "findings": [finding.to_json() for finding in findings],
        "aftercare": dict(after_care.answer) if after_care and after_care.at else None,
    }
    rows = [
        (row.state.word, step.id, step.title, row.said_by, f"{row.at[:19]}Z" if row.at else None)
        for step, row in lines
    ]
    text: list[ForPerson | ForPipe] = [
        ForPipe(Table(_COLUMNS, rows)),
        ForPerson(Block((Line(_heading(receipt), "heading"),))),
        ForPerson(Table(_SENTENCES, [*_sentences(lines)], has_header=False)),
        ForPerson(finding_blocks(findings, now)),
    ]
    if after_care and (following := after_care.answer.get("next")):
        steps = following if isinstance(following, list) else [following]
        left = [Line(f"  {place}. {step}") for place, step in enumerate(steps, start=1)]
        text.append(ForPerson(Block((Line(""), Line("what comes next:", "heading"), *left))))
    if not receipt.is_finished:
        go_on = f"wacoex {journey.kind.value} {receipt.channel}"
        text.append(ForPerson(f"\nnot finished; continue with: {go_on}"))
    return Result(
        data, text, receipt.exit_code, [receipt.error] if receipt.error else (), zone=zone
    )


def _heading(receipt: Receipt) -> str:
    """What the journey was, and from when to when."""
    journey, name = receipt.journey, receipt.channel
    is_connect = journey.kind is JourneyKind.CONNECT
    ended = f" to {journey.finished_at}" if journey.finished_at else ", not finished"
    what = (
        f"connecting {name} through {_ROUTES[journey.via]}" if is_connect else f"offboarding {name}"
    )
    return f"{what}: {journey.started_at}{ended}"


def _sentences(lines: list[tuple[Step, Record]]) -> Iterator[tuple[str, str]]:
    """The state of each step, and in words what was done, by whom and when."""
    for step, row in lines:
        facts = _in_words(row.answer)
        who = "Meta" if row.said_by == "meta" else row.said_by
        by = ", ".join(filter(None, [f"by {who}" if who else "", f"on {row.at}" if row.at else ""]))
        parts = [step.title, f": {facts}" if facts else "", f" ({by})" if by else ""]
        is_over = row.state is not StepState.OPEN
        yield row.state.word, "".join(parts) if is_over else step.title


def _in_words(answer: Mapping[str, object]) -> str:
    """`app version 2.25.1, in real use`: what stands in the answer, without its names."""
    said = (_phrase(name, value) for name, value in answer.items() if value not in _EMPTY)
    return ", ".join(filter(None, said))


def _phrase(name: str, value: object) -> str:
    words = _WORDS.get(name)
    if words == "":
        return ""
    if isinstance(value, bool):
        of_it = words if isinstance(words, tuple) else (_spaced(name), f"not {_spaced(name)}")
        return of_it[0] if value else of_it[1]
    if isinstance(words, str):
        return words.format(_word(value))
    return f"{_spaced(name)}: {_word(value)}"


def _spaced(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(map(_word, value))
    if isinstance(value, dict):
        return _in_words(value)
    text = str(value)
    for pattern, words in _FACTS.items():
        text = re.sub(pattern, words, text)
    return text
