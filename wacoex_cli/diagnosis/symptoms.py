"""From what somebody sees to its likely causes: questions, and what answers speak for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.events.checks import check_missing, rank_causes
from wacoex_cli.findings.catalogue import wording
from wacoex_cli.findings.model import Evidence, Finding, Severity, by_severity, worst
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.onboarding.checks import check_records, signup_reported
from wacoex_cli.onboarding.model import Record, StepState, WindowFailed
from wacoex_cli.platforms.error_codes import classify, known_codes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wacoex_cli.diagnosis.snapshot import ChannelView, Snapshot

    FromAnswers = Callable[["Answers", ChannelView, str], list[Finding]]

_PERSON = "person"
_LATELY = timedelta(days=14)
_NUMBER = re.compile(r"(?<![0-9])[0-9]{1,7}(?![0-9])")
# In the order of the questions.
_UNSUPPORTED = {
    "WX402": "the app was closed for days before these messages",
    "WX404": "they are first messages of contacts",
    "WX405": "the contact had edited the message",
    "WX401": "the contact writes from WhatsApp for Windows or a watch with Wear OS",
}
_LOST = ("WX204", "WX203", "WX201")


class Symptom(StrEnum):
    """What somebody sees, as `--symptom` spells it."""

    MISSING_MESSAGES = "missing-messages"
    UNSUPPORTED_MESSAGES = "unsupported-messages"
    UNLINKED_DEVICES = "unlinked-devices"
    CANNOT_SEND = "cannot-send"
    CANNOT_CONNECT = "cannot-connect"
    RATE_LIMITED = "rate-limited"


@dataclass(frozen=True)
class Question:
    """What only a person can answer: yes or no, or a text. `unknown` names it unanswered."""

    id: str
    text: str
    unknown: str
    is_text: bool = False


@dataclass(frozen=True)
class Answers:
    """What was answered, by the id of the question; what nobody knows is left out."""

    given: Mapping[str, bool | str] = field(default_factory=dict)

    def says(self, question: str, answer: bool = True) -> bool:
        """Whether that was the answer to a question of yes or no."""
        return self.given.get(question) is answer

    def text(self, question: str) -> str:
        """The answer to a question for a text; empty when there is none."""
        found = self.given.get(question, "")
        return found if isinstance(found, str) else ""


QUESTIONS: Mapping[Symptom, tuple[Question, ...]] = {
    Symptom.MISSING_MESSAGES: (
        Question(
            "on_phone",
            "are the missing messages on the primary phone, in the WhatsApp Business app?",
            "whether the messages are on the primary phone",
        ),
        Question(
            "from_unsupported",
            "were they sent from WhatsApp for Windows or from a watch with Wear OS?",
            "from which device they were sent",
        ),
        Question(
            "partner_listed",
            "does WhatsApp Manager (Account settings, Partners) list the partner as active?",
            "whether WhatsApp Manager lists the partner as active",
        ),
    ),
    Symptom.UNSUPPORTED_MESSAGES: (
        Question(
            "after_silence",
            "was the app on the phone closed for days before these messages came?",
            "whether the app was closed for days before",
        ),
        Question(
            "first_message",
            "are they first messages of contacts, perhaps after a click on an ad?",
            "whether they are first messages of contacts",
        ),
        Question(
            "was_edited", "had the contact edited the message?", "whether the contact edited them"
        ),
        Question(
            "contact_unsupported",
            "does the contact write from WhatsApp for Windows or a watch with Wear OS?",
            "which device the contact uses",
        ),
    ),
    Symptom.UNLINKED_DEVICES: (
        Question(
            "was_connected",
            "was the number connected, disconnected or registered on a phone in the last days?",
            "whether the number was connected or disconnected lately",
        ),
        Question(
            "app_was_closed",
            "was the app on the primary phone closed for 14 days or longer?",
            "how long the app on the phone was closed",
        ),
        Question(
            "was_unused",
            "was the unlinked device itself not used for about 30 days?",
            "when the device was last used",
        ),
    ),
    Symptom.CANNOT_SEND: (
        Question(
            "error", "which error is shown (its code, or its text)", "which error is shown", True
        ),
    ),
    Symptom.CANNOT_CONNECT: (
        Question(
            "error", "which error does Meta's window show (its text)", "which error is shown", True
        ),
        Question(
            "app_version",
            "which version of the app is on the phone (Settings, Help, App info)",
            "which version of the app is on the phone",
            True,
        ),
        Question(
            "in_real_use",
            "is the number in real use with the app, on most days of the week?",
            "whether the number is in real use",
        ),
        Question(
            "linked",
            "is the number linked in Meta Business Suite (Settings, WhatsApp accounts)?",
            "whether the number is linked in Meta Business Suite",
        ),
        Question(
            "other_partner",
            "is or was it connected to another partner, or does one pay for it?",
            "whether another partner has it or pays for it",
        ),
    ),
    Symptom.RATE_LIMITED: (
        Question(
            "others_send",
            "does anybody else send on this number: respond.io, another tool, the app's own lists?",
            "who else sends on this number",
        ),
    ),
}
"""What is asked for each symptom, in this order."""


def _missing(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    """The three-step check, with what is known of each step, after the causes that are told."""
    moment = from_text(now)
    [check] = check_missing(
        view.echo_flow,
        view.name,
        moment,
        is_asked=True,
        must_wait=view.must_wait(moment),
        unsupported=[
            f"{one.kind.value} `{one.name}`"
            for one, _ in view.inventory.devices
            if not one.kind.is_supported
        ],
    )
    for question in QUESTIONS[Symptom.MISSING_MESSAGES]:
        if question.id not in answers.given:
            check = _with(check, f"not known: {question.unknown}", "wacoex", now)
    found = []
    if answers.says("on_phone", False):
        check = _with(check, "they are not on the primary phone: they were not sent", _PERSON, now)
    if answers.says("from_unsupported"):
        said = "they were sent from WhatsApp for Windows or a watch with Wear OS"
        found.append(_answered("WX301", view, said, now))
    if answers.says("partner_listed", False):
        said = "WhatsApp Manager does not list the partner as active"
        found.append(_answered("WX202", view, said, now, step=check.remedy[-1]))
    return [*found, check]


def _unsupported(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    """Each cause as the messages at hand speak for it, and what a person says beside that.

    What a person rules out, and nothing else speaks for, is left out.
    """
    causes = rank_causes(view.unsupported, view.name, from_text(now), is_asked=True)
    asked = dict(zip(_UNSUPPORTED, QUESTIONS[Symptom.UNSUPPORTED_MESSAGES], strict=True))
    confirmed: list[Finding] = []
    others: list[Finding] = []
    for one in causes:
        question = asked.get(one.id)
        if question is None:
            others.append(one)
        elif answers.says(question.id):
            confirmed.append(_with(one, _UNSUPPORTED[one.id], _PERSON, now))
        elif question.id not in answers.given:
            others.append(_with(one, f"not known: {question.unknown}", "wacoex", now))
    return [*confirmed, *others]


def _with(finding: Finding, text: str, source: str, now: str) -> Finding:
    return finding.replace(evidence=(*finding.evidence, Evidence(text, source, now)))


def _unlinked(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    causes = {
        "was_connected": (
            "WX303",
            "the number was connected, disconnected or registered lately",
        ),
        "app_was_closed": ("WX103", "the app on the phone was closed for 14 days or longer"),
        "was_unused": ("WX107", "the device was not used for about 30 days"),
    }
    found = [
        _answered(finding_id, view, said, now)
        for question, (finding_id, said) in causes.items()
        if answers.says(question)
    ]
    last = view.inventory.last_break
    if last and from_text(now) - from_text(last.at) <= _LATELY:
        known = Evidence(f"{last.because} unlinked all companions", last.source, last.at)
        reported = [fact for cause in found if cause.id == "WX303" for fact in cause.evidence]
        first = _answered("WX303", view, "", now).replace(evidence=(known, *reported))
        return [first, *(cause for cause in found if cause.id != "WX303")]
    return found


def _cannot_send(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    numbers = [int(one) for one in _NUMBER.findall(answers.text("error"))]
    known = set(known_codes())
    found = []
    for code in [one for one in dict.fromkeys(numbers) if one in known]:
        meant = classify(code)
        finding_id = meant.finding or ("WX701" if meant.is_credential else "WX206")
        values = {"code": str(code), "meaning": meant.meaning, "hint": meant.hint}
        said = f"code {code} is shown"
        found.append(_answered(finding_id, view, said, now, case="code", **values))
    return found


def _cannot_connect(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    eligibility = {
        "phone": view.channel.phone,
        "app_version": answers.text("app_version"),
        "in_real_use": answers.given.get("in_real_use"),
    }
    told: dict[str, Mapping[str, object]] = {
        "eligibility": eligibility,
        "business-suite": {"linked": answers.given.get("linked")},
        "other-partner": {"other_partner": answers.given.get("other_partner")},
    }
    records = {
        step: Record(step, StepState.SETTLED, now, _PERSON, answer) for step, answer in told.items()
    }
    found = check_records(records, view.name, now)
    text = answers.text("error")
    if text:
        shown = signup_reported(WindowFailed(text), view.name, now)
        found = [shown, *(one for one in found if one.id != shown.id)]
    return found


def _rate_limited(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    if not answers.says("others_send"):
        return []
    return [_answered("WX503", view, "somebody else sends on this number too", now)]


FROM_ANSWERS: Mapping[Symptom, FromAnswers] = {
    Symptom.MISSING_MESSAGES: _missing,
    Symptom.UNSUPPORTED_MESSAGES: _unsupported,
    Symptom.UNLINKED_DEVICES: _unlinked,
    Symptom.CANNOT_SEND: _cannot_send,
    Symptom.CANNOT_CONNECT: _cannot_connect,
    Symptom.RATE_LIMITED: _rate_limited,
}
"""The causes that the answers speak for, the likeliest first; each is given the moment as text."""


def _answered(
    finding_id: str, view: ChannelView, said: str, now: str, case: str = "answered", **values: str
) -> Finding:
    allowed = [Severity(word) for word in wording(finding_id).severities]
    severity = Severity.WARNING if Severity.WARNING in allowed else allowed[-1]
    evidence = Evidence(said, _PERSON, now)
    return Finding(finding_id, severity, view.name, evidence, case=case, **values)


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
