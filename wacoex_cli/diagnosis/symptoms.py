"""From what somebody sees to its likely causes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.diagnosis.symptom_causes import FROM_ANSWERS
from wacoex_cli.diagnosis.symptom_questions import QUESTIONS, Answers, Symptom
from wacoex_cli.findings.model import Evidence, Finding, Severity, by_severity, worst
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wacoex_cli.diagnosis.snapshot import Snapshot

_LOST = ("WX204", "WX203", "WX201")
_CAUSES: Mapping[Symptom, tuple[str, ...]] = {
    Symptom.MISSING_MESSAGES: (
        *_LOST, "WX103", "WX202", "WX205", "WX207", "WX210", "WX301", "WX304", "WX303", "WX108",
        "WX406",
    ),
    Symptom.UNSUPPORTED_MESSAGES: ("WX402", "WX404", "WX403", "WX405", "WX401", "WX103", "WX102"),
    Symptom.UNLINKED_DEVICES: ("WX303", "WX203", "WX204", "WX103", "WX107", "WX302"),
    Symptom.CANNOT_SEND: (
        *_LOST, "WX209", "WX206", "WX701", "WX502", "WX504", "WX503", "WX505", "WX506", "WX501",
        "WX208",
    ),
    Symptom.CANNOT_CONNECT: (
        "WX603", "WX602", "WX604", "WX601", "WX608", "WX609", "WX204", "WX605",
    ),
    Symptom.RATE_LIMITED: ("WX503", "WX502", "WX501"),
}  # fmt: skip
# The others tell what is not known beside each of their causes.
_OPEN_IN = {
    Symptom.UNLINKED_DEVICES: "WX303",
    Symptom.CANNOT_SEND: "WX206",
    Symptom.CANNOT_CONNECT: "WX601",
    Symptom.RATE_LIMITED: "WX503",
}


def rank(
    symptom: Symptom, answers: Answers, snapshot: Snapshot, found: Sequence[Finding]
) -> list[Finding]:
    """The likely causes of what somebody sees on the first channel, the likeliest first.

    `found` is what the checks found. What they and the answers agree on comes first, worst first;
    the last finding names what is not known, if anything is left open.
    """
    view, now = snapshot.channels[0], to_text(snapshot.now)
    order = list(_CAUSES[symptom])
    told = [one for one in FROM_ANSWERS[symptom](answers, view, now) if one.id in order]
    places = [*(one.id for one in told), *order]
    causes = _joined([one for one in found if one.id in order], told)
    causes.sort(key=lambda one: (by_severity(one.severity), places.index(one.id)))
    unknown = [one.unknown for one in QUESTIONS[symptom] if one.id not in answers.given]
    if symptom in _OPEN_IN and (unknown or not causes):
        left_open = _left_open(symptom, unknown, view.name, now)
        if left_open.id not in {one.id for one in causes}:
            return [*causes, left_open]
        return [
            cause.replace(evidence=(*cause.evidence, *left_open.evidence))
            if cause.id == left_open.id
            else cause
            for cause in causes
        ]
    return causes


def _joined(found: Sequence[Finding], told: Sequence[Finding]) -> list[Finding]:
    """Each cause once; what a person says about one that a check found is more evidence for it."""
    more = {one.id: one for one in told}
    joined = [_both(one, more.pop(one.id)) if one.id in more else one for one in found]
    return [*joined, *more.values()]


def _both(one: Finding, other: Finding) -> Finding:
    evidence = tuple(dict.fromkeys((*one.evidence, *other.evidence)))
    severity = worst((one.severity, other.severity))
    return one.replace(severity=severity, evidence=evidence)


def _left_open(symptom: Symptom, unknown: Sequence[str], channel: str, now: str) -> Finding:
    command = f"wacoex doctor {channel} --symptom {symptom.value}"
    said = f"not known: {'; '.join(unknown)}" if unknown else "nothing that is known explains it"
    return Finding(
        _OPEN_IN[symptom],
        Severity.UNKNOWN,
        channel,
        Evidence(said, "wacoex", now),
        case="left_open",
        outcome="not everything is known" if unknown else "no cause was found",
        command=command,
    )
