"""Who holds the WABA, as people and scripts see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.facts import cannot_check
from wacoex_cli.errors import WacoexError
from wacoex_cli.findings.model import finding_text
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.partners import rule
from wacoex_cli.terminal.render import ForPerson, Table, relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.findings.model import Evidence
    from wacoex_cli.partners.check import CheckedPartner
    from wacoex_cli.partners.model import Drift

_WORDS = {True: "yes", False: "no", None: "not known"}


def check_data(found: Sequence[CheckedPartner]) -> dict[str, Any]:
    """The `data` of `partner check`."""
    return {
        "findings": [finding.to_json() for one in found for finding in one.findings],
        "partners": [_partner_data(one) for one in found],
    }


def check_text(found: Sequence[CheckedPartner], now: datetime) -> Iterator[Table | ForPerson]:
    """A line for each channel; for a person also what it rests on, and what was found."""
    columns = ("verdict", "channel", "expected", "seen", "findings")
    yield Table(columns, [_row(one) for one in found])
    for one in found:
        yield ForPerson("\n".join(["", f"{one.channel.name}:", *_evidence_lines(one, now)]))
    for one in found:
        for finding in one.findings:
            yield ForPerson(f"\n{finding_text(finding, now)}")
    if any(one.seen.is_available for one in found):
        yield ForPerson(f"\n{rule.NO_PROOF}")


def failures(found: Sequence[CheckedPartner]) -> list[WacoexError]:
    """Why channels could not be checked, each reason once with the channels it is about."""
    failed = ((one.channel.name, error) for one in found for error in one.failures)
    return cannot_check(failed)


def _partner_data(one: CheckedPartner) -> dict[str, Any]:
    apps = one.seen.apps
    return {
        "channel": one.channel.name,
        "expected": one.expected.label,
        "seen": rule.is_seen(one.expected, one.seen),
        "reason": one.seen.why,
        "apps": [
            {"id": app.id, "name": app.name, "override_callback_uri": app.override} for app in apps
        ]
        if apps is not None
        else None,
        "evidence": [
            {"text": told.text, "source": told.source, "observed_at": told.observed_at}
            for told in one.evidence
        ],
        "drift": [each._asdict() for each in one.drifts],
        "verdict": one.verdict.value,
    }


def _row(one: CheckedPartner) -> tuple[object, ...]:
    said = [*(finding.id for finding in one.findings), *(error.code for error in one.failures)]
    return (
        one.verdict.value,
        one.channel.name,
        one.expected.label,
        _WORDS[rule.is_seen(one.expected, one.seen)],
        " ".join(dict.fromkeys(said)) or None,
    )


def _evidence_lines(one: CheckedPartner, now: datetime) -> Iterator[str]:
    seen: tuple[Evidence | Drift, ...] = (*one.evidence, *one.drifts)
    for fact in seen:
        yield f"  {fact.text} ({fact.source}, {relative(from_text(fact.observed_at), now)})"
    if not one.seen.is_available and one.seen.why:
        yield f"  what Meta shows is not available: {one.seen.why}"
    elif one.seen.apps is None:
        yield f"  who gets the webhooks is not known: {one.seen.why}"
