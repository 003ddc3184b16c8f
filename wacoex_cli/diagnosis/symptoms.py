"""From what somebody sees to its likely causes: questions, and what answers speak for. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.events import unsupported_checks
from wacoex_cli.events.missing_checks import check_missing
from wacoex_cli.findings.catalogue import CATALOGUE
from wacoex_cli.findings.model import Evidence, Finding, Severity, by_severity, worst
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.onboarding.checks import check_records
from wacoex_cli.onboarding.model import Record, StepState
from wacoex_cli.onboarding.signup import checks as signup_checks
from wacoex_cli.onboarding.signup.report import Failed
from wacoex_cli.platforms.error_codes import classify, known_codes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wacoex_cli.diagnosis.snapshot import ChannelView, Snapshot

    FromAnswers = Callable[["Answers", ChannelView, str], list[Finding]]

_PERSON = "person"
_LATELY = timedelta(days=14)
_NUMBER = re.compile(r"(?<![0-9])[0-9]{1,7}(?![0-9])")
_SEVERITIES = {one.id: one.severities for one in CATALOGUE}
_BY_CODE = {
    131049: "WX506",
    131050: "WX506",
    130429: "WX503",
    131031: "WX209",
    368: "WX209",
    33: "WX201",
}
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
        title = "the messages were sent from a companion that reaches no partner"
        said = "they were sent from WhatsApp for Windows or a watch with Wear OS"
        steps = (
            "answer customers on the phone, in WhatsApp Web in a browser, or in the inbox",
            "log it out on the phone: WhatsApp Business app, Settings, Linked devices",
        )
        found.append(_told("WX301", view, title, said, steps, now))
    if answers.says("partner_listed", False):
        title = "WhatsApp Manager does not list the partner as active"
        found.append(_told("WX202", view, title, title, check.remedy[-1:], now))
    return [*found, check]


def _unsupported(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    """Each cause as the messages at hand speak for it, and what a person says beside that.

    What a person rules out, and nothing else speaks for, is left out.
    """
    causes = unsupported_checks.rank(view.unsupported, view.name, from_text(now), is_asked=True)
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
    more = Evidence(text, source, now)
    return dataclasses.replace(finding, evidence=(*finding.evidence, more))


def _unlinked(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    again = "link it again: WhatsApp Business app on the phone, Settings, Linked devices"
    causes = {
        "was_connected": (
            "WX303",
            "companions are unlinked when a number is connected, disconnected or registered",
            "the number was connected, disconnected or registered lately",
            (f"{again}; before the sync is done, up to 24 hours, that may fail",),
        ),
        "app_was_closed": (
            "WX103",
            "companions are logged out when the app on the phone stays closed",
            "the app on the phone was closed for 14 days or longer",
            ("open the app on the primary phone and leave it online", again),
        ),
        "was_unused": (
            "WX107",
            "a companion that is not used for about 30 days is unlinked",
            "the device was not used for about 30 days",
            (again,),
        ),
    }
    found = [
        _told(finding_id, view, title, said, remedy, now)
        for question, (finding_id, title, said, remedy) in causes.items()
        if answers.says(question)
    ]
    last = view.inventory.last_break
    if last and from_text(now) - from_text(last.at) <= _LATELY:
        finding_id, title, _, remedy = causes["was_connected"]
        known = Evidence(f"{last.because} unlinked all companions", last.source, last.at)
        others = [one for one in found if one.id != finding_id]
        told = [one.evidence for one in found if one.id == finding_id]
        first = _told(finding_id, view, title, "", remedy, now)
        evidence = (known, *(one for each in told for one in each))
        return [dataclasses.replace(first, evidence=evidence), *others]
    return found


def _cannot_send(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    numbers = [int(one) for one in _NUMBER.findall(answers.text("error"))]
    known = set(known_codes())
    found = []
    for code in [one for one in dict.fromkeys(numbers) if one in known]:
        meant = classify(code)
        finding_id = _BY_CODE.get(code, "WX701" if meant.is_credential else "WX206")
        if 132000 <= code < 133000:
            finding_id = "WX504"
        title = f"Meta refuses with code {code}: {meant.meaning}"
        steps = (meant.hint, f"read `wacoex explain {code}`")
        found.append(_told(finding_id, view, title, f"code {code} is shown", steps, now))
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
        shown = signup_checks.reported(Failed(text), view.name, now)
        found = [shown, *(one for one in found if one.id != shown.id)]
    return found


def _rate_limited(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    if not answers.says("others_send"):
        return []
    steps = (
        "let only one of them send at a time: Meta takes 20 messages a second of this number,"
        " of all senders together",
        "or send slower here: `wacoex broadcast send --rate 10`",
    )
    said = "somebody else sends on this number too"
    return [_told("WX503", view, "several send on this number at once", said, steps, now)]


FROM_ANSWERS: Mapping[Symptom, FromAnswers] = {
    Symptom.MISSING_MESSAGES: _missing,
    Symptom.UNSUPPORTED_MESSAGES: _unsupported,
    Symptom.UNLINKED_DEVICES: _unlinked,
    Symptom.CANNOT_SEND: _cannot_send,
    Symptom.CANNOT_CONNECT: _cannot_connect,
    Symptom.RATE_LIMITED: _rate_limited,
}
"""The causes that the answers speak for, the likeliest first; each is given the moment as text."""


def _told(
    finding_id: str,
    view: ChannelView,
    title: str,
    said: str,
    remedy: tuple[str, ...],
    now: str,
) -> Finding:
    allowed = _SEVERITIES[finding_id]
    return Finding(
        id=finding_id,
        severity=Severity.WARNING if Severity.WARNING in allowed else allowed[-1],
        channel=view.name,
        title=title,
        evidence=(Evidence(said, _PERSON, now),),
        remedy=remedy,
        verify=f"wacoex doctor {view.name}",
    )


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
        return [_beside(one, left_open) if one.id == left_open.id else one for one in causes]
    return causes


def _beside(one: Finding, left_open: Finding) -> Finding:
    return dataclasses.replace(one, evidence=(*one.evidence, *left_open.evidence))


def _joined(found: Sequence[Finding], told: Sequence[Finding]) -> list[Finding]:
    """Each cause once; what a person says about one that a check found is more evidence for it."""
    more = {one.id: one for one in told}
    joined = [_both(one, more.pop(one.id)) if one.id in more else one for one in found]
    return [*joined, *more.values()]


def _both(one: Finding, other: Finding) -> Finding:
    evidence = tuple(dict.fromkeys((*one.evidence, *other.evidence)))
    severity = worst((one.severity, other.severity))
    return dataclasses.replace(one, severity=severity, evidence=evidence)


def _left_open(symptom: Symptom, unknown: Sequence[str], channel: str, now: str) -> Finding:
    command = f"wacoex doctor {channel} --symptom {symptom.value}"
    said = f"not known: {'; '.join(unknown)}" if unknown else "nothing that is known explains it"
    return Finding(
        id=_OPEN_IN[symptom],
        severity=Severity.UNKNOWN,
        channel=channel,
        title=f"{symptom.value}: {'not everything is known' if unknown else 'no cause was found'}",
        evidence=(Evidence(said, "wacoex", now),),
        remedy=(
            f"answer the questions: `{command}` in a terminal, without `--no-input`",
            *_LOOK_FURTHER[symptom],
        ),
        verify=command,
    )


_LOOK_FURTHER: Mapping[Symptom, tuple[str, ...]] = {
    Symptom.UNLINKED_DEVICES: (
        "open the app on the primary phone, Settings, Linked devices, and link them again there",
        "list what is linked: `wacoex device add KIND`, then `wacoex device confirm`",
    ),
    Symptom.CANNOT_SEND: (
        "send one message and note the code that is shown: `wacoex explain CODE` tells its meaning",
    ),
    Symptom.CANNOT_CONNECT: (
        "go through the checks before connecting: `wacoex connect --check`",
        "look the text of the error up: `wacoex explain --search TEXT`",
    ),
    Symptom.RATE_LIMITED: (
        "ask everybody who sends on this number, and send one broadcast after the other",
        "see what was refused: `wacoex broadcast list`",
    ),
}
