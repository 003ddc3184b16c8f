"""The diagnosis as people and scripts see it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from wacoex_cli.findings.model import by_severity, worst
from wacoex_cli.findings.text import finding_text
from wacoex_cli.foundation.masking import masked, masked_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.diagnosis.doctor import Diagnosis
    from wacoex_cli.findings.model import Finding

_EVERYWHERE = "all channels, and this machine"


def doctor_data(found: Diagnosis) -> dict[str, object]:
    """The `data` of `doctor`, numbers masked: it is often shown to others."""
    views = found.snapshot.channels if found.snapshot else ()
    data: dict[str, object] = {
        "findings": [masked(one.to_json()) for one in found.findings],
        "channels": [
            {
                "channel": one.name,
                "phone": masked_text(one.channel.phone),
                "verdict": worst(
                    each.severity for each in found.findings if each.channel == one.name
                ).value,
                **one.connection.to_json(),
            }
            for one in views
        ],
        "sources": [one.to_json() for one in found.sources],
        "verdict": found.verdict.value,
    }
    if found.symptomatic:
        data["symptom"] = {
            "name": found.symptomatic.symptom.value,
            "answers": masked(dict(found.symptomatic.answers.given)),
            "causes": [one.id for one in found.symptomatic.causes],
        }
    return data


def doctor_text(found: Diagnosis, now: datetime) -> Iterator[str]:
    """What was found, grouped by channel, the worst channel first; then who did not answer."""
    if found.symptomatic:
        yield f"{found.symptomatic.symptom.value}: likely causes, the likeliest first"
        yield from _block(found.symptomatic.causes, now)
    causes = found.symptomatic.causes if found.symptomatic else ()
    rest = [one for one in found.findings if one not in causes]
    for name, findings in _by_channel(rest):
        yield f"{name or _EVERYWHERE}: {worst(one.severity for one in findings).value}"
        yield from _block(findings, now)
    for source in found.sources:
        if source.ok is not True:
            word = "not asked" if source.ok is None else "no answer"
            yield f"{source.name}: {word} ({source.reason})"
    yield _verdict(found)


def _block(findings: Sequence[Finding], now: datetime) -> Iterator[str]:
    for one in findings:
        # The heading above has the name of the channel already.
        shown = dataclasses.replace(one, channel=None)
        yield f"\n{masked_text(finding_text(shown, now))}"
    yield ""


def _by_channel(findings: Sequence[Finding]) -> list[tuple[str | None, list[Finding]]]:
    groups: dict[str | None, list[Finding]] = {}
    for one in findings:
        groups.setdefault(one.channel, []).append(one)
    return sorted(
        groups.items(),
        key=lambda group: (by_severity(worst(one.severity for one in group[1])), group[0] or ""),
    )


def _verdict(found: Diagnosis) -> str:
    views = found.snapshot.channels if found.snapshot else ()
    channels = f"{len(views)} channel{'' if len(views) == 1 else 's'}"
    count = len(found.findings)
    told = "nothing is wrong" if not count else f"{count} finding{'' if count == 1 else 's'}"
    return f"verdict: {found.verdict.value} ({channels}, {told})"
