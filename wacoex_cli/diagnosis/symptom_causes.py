"""What answers to the questions about a symptom speak for, cause by cause. Pure."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.diagnosis.symptom_questions import QUESTIONS, Answers, Symptom
from wacoex_cli.events import unsupported_checks
from wacoex_cli.events.missing_checks import check_missing
from wacoex_cli.findings.catalogue import CATALOGUE
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.onboarding.checks import check_records, signup_reported
from wacoex_cli.onboarding.model import Record, StepState, WindowFailed
from wacoex_cli.platforms.error_codes import classify, known_codes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wacoex_cli.diagnosis.snapshot import ChannelView

    FromAnswers = Callable[[Answers, ChannelView, str], list[Finding]]

_PERSON = "person"
_LATELY = timedelta(days=14)
_NUMBER = re.compile(r"(?<![0-9])[0-9]{1,7}(?![0-9])")
_SEVERITIES = {one.id: one.severities for one in CATALOGUE}


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


# In the order of the questions.
_UNSUPPORTED = {
    "WX402": "the app was closed for days before these messages",
    "WX404": "they are first messages of contacts",
    "WX405": "the contact had edited the message",
    "WX401": "the contact writes from WhatsApp for Windows or a watch with Wear OS",
}


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
        finding_id = meant.finding or ("WX701" if meant.is_credential else "WX206")
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
        shown = signup_reported(WindowFailed(text), view.name, now)
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
