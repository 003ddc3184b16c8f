"""The receipt of offboarding, what is left to do after it, and the dry run in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.findings.model import finding_text
from wacoex_cli.onboarding import offboard_texts
from wacoex_cli.onboarding.offboard_preview import NOT_BEGUN
from wacoex_cli.onboarding.view import receipt_data, receipt_text
from wacoex_cli.terminal.render import ForPerson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.onboarding.view import Receipt
    from wacoex_cli.terminal.render import Table


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
            "\n".join(["", "left to do:", *(f"  - {one}" for one in _told(left, channel.name))])
        )


def preview_text(receipt: Receipt, channel: Channel, now: datetime) -> Iterator[str]:
    """What would be told and done."""
    answers = {one: record.answer for one, record in receipt.records.items()}
    yield offboard_texts.what_changes()
    yield offboard_texts.advice()
    yield offboard_texts.routes(channel)
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
        "at_the_partner": list(offboard_texts.afterwards(channel)),
        "restore": f"wacoex channel restore {channel.name}",
    }


def _told(left: dict[str, object], name: str) -> Iterator[str]:
    since = f"from {left['relink_from']} on" if left["relink_from"] else "after a day"
    yield f"link the companions again, {since}: on the phone, Settings, Linked devices"
    at_the_partner = left["at_the_partner"]
    if isinstance(at_the_partner, list):
        yield from at_the_partner
    yield f"to take the channel back: `{left['restore']}`, then `wacoex connect {name}`"


def _listed(values: object) -> str:
    return ", ".join(map(str, values)) if isinstance(values, list) and values else "none"
