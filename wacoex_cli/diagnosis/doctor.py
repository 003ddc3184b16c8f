"""`doctor`: one snapshot, every check over it, the causes of a symptom, the file for support."""

from __future__ import annotations

import itertools
import json
import platform
import sys
import textwrap
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import wacoex_cli
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import META
from wacoex_cli.channels.store import Channels
from wacoex_cli.diagnosis.checks import newer_schema, run_checks
from wacoex_cli.diagnosis.model import QUESTIONS, Answers, Symptom
from wacoex_cli.diagnosis.snapshot import STATE, SourceSeen, take_snapshot
from wacoex_cli.errors import StateError, UsageError
from wacoex_cli.events.checks import check_missing, rank_causes
from wacoex_cli.findings.catalogue import wording
from wacoex_cli.findings.model import (
    PERSON,
    SOURCE_NAMES,
    Evidence,
    Finding,
    Severity,
    by_severity,
    check_exit_status,
    finding_block,
    finding_blocks,
    worst,
)
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.masking import masked, masked_text
from wacoex_cli.foundation.settings import SECRET_VARIABLES, settings_origins
from wacoex_cli.foundation.state import new_private_file
from wacoex_cli.foundation.workspace import rare_collections
from wacoex_cli.onboarding.checks import check_records, signup_reported
from wacoex_cli.onboarding.model import Record, StepState, WindowFailed
from wacoex_cli.platforms.error_codes import errors_in
from wacoex_cli.terminal.render import Block, Blocks, ForPerson, ForPipe, Line, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.diagnosis.snapshot import ChannelView, Snapshot
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.dialogue import Dialogue

    FromAnswers = Callable[["Answers", ChannelView, str], list[Finding]]

_EVERYWHERE = "all channels, and this machine"
_BUNDLE_VERSION = 1
_LATELY = timedelta(days=14)
_LONGEST_QUOTE = 80
# In the order of the questions.
_UNSUPPORTED = {
    "WX402": "the app was closed for days before these messages",
    "WX404": "they are first messages of contacts",
    "WX405": "the contact had edited the message",
    "WX401": "the contact writes from WhatsApp for Windows or a watch with Wear OS",
}
_LOST = ("WX204", "WX203", "WX215", "WX201")
_CAUSES: Mapping[Symptom, tuple[str, ...]] = {
    Symptom.MISSING_MESSAGES: (
        *_LOST, "WX103", "WX202", "WX205", "WX211", "WX207", "WX210", "WX301", "WX304", "WX303",
        "WX108", "WX406",
    ),
    Symptom.UNSUPPORTED_MESSAGES: ("WX402", "WX404", "WX403", "WX405", "WX401", "WX103", "WX102"),
    Symptom.UNLINKED_DEVICES: ("WX303", "WX203", "WX204", "WX103", "WX107", "WX302"),
    Symptom.CANNOT_SEND: (
        *_LOST, "WX209", "WX206", "WX701", "WX502", "WX504", "WX503", "WX505", "WX506", "WX501",
        "WX211", "WX214", "WX608", "WX208",
    ),
    Symptom.CANNOT_CONNECT: (
        "WX603", "WX602", "WX604", "WX209", "WX601", "WX608", "WX609", "WX204", "WX605",
    ),
    Symptom.RATE_LIMITED: ("WX503", "WX502", "WX501"),
}  # fmt: skip
# What a code says while a number is being connected, and more than that the signup failed.
_ALSO_WHEN_CONNECTING = frozenset({"WX209", "WX608"})
# The others say what is not known beside each of their causes.
_OPEN_IN = {
    Symptom.UNLINKED_DEVICES: "WX303",
    Symptom.CANNOT_SEND: "WX206",
    Symptom.CANNOT_CONNECT: "WX601",
    Symptom.RATE_LIMITED: "WX503",
}


class Diagnosis(NamedTuple):
    """What was found, worst first. `snapshot` is None when the state file cannot be read.

    With a `symptom` its likely causes stand first among the findings, the likeliest first.
    """

    snapshot: Snapshot | None
    findings: tuple[Finding, ...]
    symptom: Symptom | None = None
    answers: Answers = Answers()
    causes: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> Severity:
        """The worst that was found."""
        return worst(finding.severity for finding in self.findings)

    @property
    def views(self) -> tuple[ChannelView, ...]:
        """The channels that were looked at."""
        return self.snapshot.channels if self.snapshot else ()

    @property
    def sources(self) -> tuple[SourceSeen, ...]:
        """Who was asked, and whether they answered."""
        if self.snapshot is None:
            return (SourceSeen(STATE, False, self.findings[0].evidence[0].text),)
        return self.snapshot.sources


@rare_collections()
def show_diagnosis(
    workspace: Workspace,
    name: str | None,
    symptom: Symptom | None,
    dialogue: Dialogue,
    bundle: Path | None,
    *,
    is_offline: bool,
) -> Result:
    """What `doctor` shows; see `diagnose`. Writes `bundle`, where one is named, for support."""
    found = diagnose(workspace, name, is_offline=is_offline, symptom=symptom, dialogue=dialogue)
    data, written = _data(found), []
    if bundle is not None:
        _write_bundle(workspace, found, bundle)
        data["bundle"] = str(bundle)
        written.append(f"written to {bundle}: numbers are masked; it has no secrets")
    text = itertools.chain(_text(found, workspace.clock.now()), written)
    return Result(data, text, exit_code=check_exit_status(found.verdict))


def diagnose(
    workspace: Workspace,
    name: str | None,
    *,
    is_offline: bool,
    symptom: Symptom | None = None,
    dialogue: Dialogue | None = None,
) -> Diagnosis:
    """Look at one channel, or at all that are not archived.

    With `is_offline` the state file alone is looked at. A symptom is about one channel, and what
    only a person can say is asked through `dialogue`.

    Raises UsageError when there is no channel, none of that name, or several where a symptom is
    named; StateError for an unusable state file.
    """
    try:
        channels = _channels(workspace, name, symptom)
    except StateError as error:
        if error.code != "state_newer":
            raise
        return Diagnosis(None, (newer_schema(error, workspace.clock.now()),))
    answers = _ask(dialogue, symptom) if symptom and dialogue else Answers()
    snapshot = take_snapshot(workspace, channels, is_offline=is_offline)
    found = tuple(run_checks(snapshot))
    if symptom is None:
        return Diagnosis(snapshot, found)
    causes = tuple(rank(symptom, answers, snapshot, found))
    named = {(cause.id, cause.channel) for cause in causes}
    others = (finding for finding in found if (finding.id, finding.channel) not in named)
    return Diagnosis(snapshot, (*causes, *others), symptom, answers, causes)


def _ask(dialogue: Dialogue, symptom: Symptom) -> Answers:
    """Ask what only a person can answer; nothing where nobody can be asked."""
    given: dict[str, bool | str] = {}
    try:
        for question in QUESTIONS[symptom]:
            how = "yes, no, or Enter if not known"
            if question.is_text:
                how = "Enter if you do not know"
            while answer := dialogue.ask(f"{question.text} [{how}]", flag="--no-input"):
                if question.is_text:
                    given[question.id] = answer
                    break
                if answer.lower() in {"y", "yes", "n", "no"}:
                    given[question.id] = answer.lower() in {"y", "yes"}
                    break
    except UsageError as error:
        if error.code != "needs_answer":
            raise
    return Answers(given)


def _channels(workspace: Workspace, name: str | None, symptom: Symptom | None) -> list[Channel]:
    state = workspace.state
    name = name or (workspace.settings.channel if symptom else None)
    channels = [registry.active(state, name)] if name else Channels(state).all_active()
    workspace.warn_about_channels(Channels(state).names())
    in_use = [channel for channel in channels if channel.is_in_use]
    if symptom is None or len(channels) == 1:
        return channels
    if in_use:
        return in_use
    raise UsageError(
        f"which channel shows `{symptom.value}`?",
        hint=f"name one: {', '.join(f'`{channel.name}`' for channel in channels)}",
        code="channel_open",
    )


def _data(found: Diagnosis) -> dict[str, object]:
    """The `data` of `doctor`, numbers masked: it is often shown to others."""
    failed = {failure.channel for failure in found.snapshot.failed} if found.snapshot else set()
    severities = defaultdict(list)
    for finding in found.findings:
        severities[finding.channel].append(finding.severity)
    data: dict[str, object] = {
        "findings": [masked(finding.to_json()) for finding in found.findings],
        "channels": [
            {
                "channel": view.name,
                "phone": masked_text(view.channel.phone),
                "verdict": worst(
                    [
                        *severities[view.name],
                        # What several channels lack is one finding, which names none of them.
                        *([Severity.UNKNOWN] if view.name in failed else []),
                    ]
                ).value,
                **view.connection.to_json(),
            }
            for view in found.views
        ],
        "sources": [source._asdict() for source in found.sources],
        "verdict": found.verdict.value,
    }
    if found.symptom:
        data["symptom"] = {
            "name": found.symptom.value,
            "answers": masked(dict(found.answers.given)),
            "causes": [cause.id for cause in found.causes],
        }
    return data


def _text(found: Diagnosis, now: datetime) -> Iterator[str | Block | Blocks | ForPerson | ForPipe]:
    """What was found: on a terminal by kind, in a pipe by channel; then who did not answer."""
    if found.symptom:
        yield f"{found.symptom.value}: likely causes, the likeliest first"
        likeliest, others = _in_full(found.causes[:1], now), _in_full(found.causes[1:], now)
        # Who asked for the cause reads what to do about it, however short the screen is.
        yield from (Block((Line(""), *block.lines)) for block in likeliest.blocks)
        yield others._replace(noun="causes")
        yield ""
    further = found.findings[len(found.causes) :]
    if found.symptom and further:
        yield ForPerson("\nalso found:")
    yield ForPerson(finding_blocks(further, now).changed(masked_text))
    if further:
        yield ForPerson("")
    yield from map(ForPipe, _by_channel(further, now))
    for source in found.sources:
        if source.reason:
            word = {True: "answered", False: "no answer", None: "not asked"}[source.ok]
            name = SOURCE_NAMES.get(source.name, source.name)
            yield f"{name}: {word} ({source.reason})"
    channels, count = len(found.views), len(found.findings)
    what = f"{count} finding{'' if count == 1 else 's'}" if count else "nothing is wrong"
    looked_at = f"{channels} channel{'' if channels == 1 else 's'}"
    yield f"verdict: {found.verdict.value} ({looked_at}, {what})"


def _by_channel(findings: Sequence[Finding], now: datetime) -> Iterator[str | Blocks]:
    """A heading and the findings of each channel, the worst channel first."""
    groups: dict[str | None, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.channel, []).append(finding)
    blocks = [
        (worst(finding.severity for finding in group), name, group)
        for name, group in groups.items()
    ]
    for severity, name, group in sorted(blocks, key=lambda it: (by_severity(it[0]), it[1] or "")):
        yield f"{name or _EVERYWHERE}: {severity.value}"
        yield _in_full(group, now)
        yield ""


def _in_full(findings: Sequence[Finding], now: datetime) -> Blocks:
    """Findings of one channel, whose name stands above them."""
    blocks = [finding_block(finding, now, shows_channel=False) for finding in findings]
    return Blocks(blocks).changed(masked_text)


def _write_bundle(workspace: Workspace, found: Diagnosis, path: Path) -> None:
    """Write the bundle as JSON, readable for its owner only: numbers masked, no secrets.

    Raises UsageError when the file exists or cannot be written, StateError on a full disk.
    """
    owners = [None, *(view.name for view in found.views)]
    secrets = {
        name: [given for owner in owners if (given := workspace.secrets.find(name, owner))]
        for name in SECRET_VARIABLES
    }
    origins = settings_origins(workspace.sources)
    contents = {
        "wacoex_bundle": _BUNDLE_VERSION,
        "written_at": to_text(workspace.clock.now()),
        "version": wacoex_cli.__version__,
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "settings": {
            name: {"value": value, "from": origins.get(name, "default")}
            for name, value in workspace.settings.to_json().items()
        },
        "secrets": {name: bool(given) for name, given in secrets.items()},
        "diagnosis": _data(found),
        "details": [_details(view) for view in found.views],
        "arrivals": {
            source.value: [list(hour) for hour in hours]
            for source, hours in (found.snapshot.arrivals if found.snapshot else {}).items()
        },
    }
    # Every secret at hand, so that none can come in by way of a message of somebody else.
    revealed = [secret.reveal() for given in secrets.values() for secret in given]
    text = json.dumps(masked(contents, revealed), indent=1)
    with new_private_file(path) as part:
        part.write_text(f"{text}\n", encoding="utf-8")


def _details(view: ChannelView) -> dict[str, Any]:
    opened_at = view.standing.last_opened_at
    return {
        **view.channel.to_json(),
        "facts": [fact.to_json() for fact in view.facts.facts.values()],
        "failures": [
            {"code": error.code, "message": error.message, "details": error.details}
            for error in view.facts.failures.values()
        ],
        "stage": view.standing.stage.value,
        "grade": view.standing.grade.value,
        "last_opened_at": to_text(opened_at) if opened_at else None,
        "account_events": [
            {name: getattr(event, name) for name in ("event", "at", "reason", "initiated_by")}
            for event in view.facts.account_events
        ],
        "devices": [
            {"kind": device.kind.value, "state": state.value, "visible": device.visible}
            for device, state in view.inventory.devices
        ],
        "steps": {step: record.state.value for step, record in view.records.items()},
    }


def _missing(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    """The three-step check, with what is known of each step, after the causes that are said."""
    moment = from_text(now)
    [check] = check_missing(
        view.echo_flow,
        view.name,
        moment,
        is_reported=True,
        must_wait=view.must_wait(moment),
        is_partner_seen=view.is_partner_seen,
        unsupported=[
            f"{device.kind.value} `{device.name}`"
            for device, _ in view.inventory.devices
            if not device.kind.is_supported
        ],
    )
    for question in QUESTIONS[Symptom.MISSING_MESSAGES]:
        if question.id not in answers.given:
            check = _with(check, f"not known: {question.unknown}", "wacoex", now)
    found = []
    if answers.says("on_phone", False):
        check = _with(
            check, "they are not on the primary phone, so they were not sent", PERSON, now
        )
    if answers.says("from_unsupported"):
        said = "they were sent from WhatsApp for Windows or a watch with Wear OS"
        found.append(_answered("WX301", view, said, now))
    if answers.says("partner_listed", False):
        said = "WhatsApp Manager does not list the partner as active"
        listed = _answered("WX202", view, said, now, step=check.remedy[-1])
        if view.is_partner_seen and view.facts.seen:
            # What a person says and what Meta shows differ: nothing is to be deleted on that.
            at, partner = view.facts.seen.observed_at, view.partner.expected.label
            listed = _answered("WX202", view, said, now, case="contradicted", partner=partner)
            listed = _with(listed, f"the app of {partner} gets the webhooks", META, at)
        found.append(listed)
    if answers.says("partner_listed") and view.is_partner_missing:
        said, partner = "WhatsApp Manager lists the partner as active", view.partner.expected.label
        found.append(_answered("WX202", view, said, now, case="listed", partner=partner))
    if answers.says("app_was_closed"):
        said = "the app on the phone was not opened for more than 14 days"
        found.append(_answered("WX103", view, said, now))
    if answers.says("other_responder"):
        said = "another partner was connected, or Meta Business Agent switched on"
        found.append(_answered("WX211", view, said, now))
    return [*found, check]


def _unsupported(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    """Each cause as far as the messages at hand point to it, and what a person says beside that.

    What a person rules out, and nothing else speaks for, is left out.
    """
    causes = rank_causes(view.unsupported, view.name, from_text(now), is_reported=True)
    questions = dict(zip(_UNSUPPORTED, QUESTIONS[Symptom.UNSUPPORTED_MESSAGES], strict=True))
    confirmed: list[Finding] = []
    others: list[Finding] = []
    for cause in causes:
        question = questions.get(cause.id)
        if question is None:
            others.append(cause)
        elif answers.says(question.id):
            confirmed.append(_with(cause, _UNSUPPORTED[cause.id], PERSON, now))
        elif question.id not in answers.given:
            others.append(_with(cause, f"not known: {question.unknown}", "wacoex", now))
    return [*confirmed, *others]


def _with(finding: Finding, text: str, source: str, now: str) -> Finding:
    return finding.replace(evidence=(*finding.evidence, Evidence(text, source, now)))


def _unlinked(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    causes = {
        "was_connected": ("WX303", "the number was connected, disconnected or registered lately"),
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
        known = Evidence(f"{last.because} unlinked all companions", "wacoex", last.at)
        reported = [fact for cause in found if cause.id == "WX303" for fact in cause.evidence]
        first = _answered("WX303", view, "", now).replace(evidence=(known, *reported))
        return [first, *(cause for cause in found if cause.id != "WX303")]
    return found


def _cannot_send(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    return _of_codes(answers.text("error"), view, now)


def _of_codes(text: str, view: ChannelView, now: str) -> list[Finding]:
    """What the codes mean that an error's text names, by number or by title."""
    found: dict[str, Finding] = {}
    for meant in errors_in(text):
        finding_id = meant.finding or ("WX701" if meant.is_credential else "WX206")
        code = str(meant.code)
        values = {"code": code, "meaning": meant.meaning, "hint": meant.hint}
        said = (
            f"code {code} is shown" if code in text else f"`{_short(text)}` is shown: code {code}"
        )
        if meant.subcode:
            said = f"{said}, subcode {meant.subcode}"
        finding = _answered(finding_id, view, said, now, case="code", **values)
        known = found.get(finding_id)
        found[finding_id] = _joined(known, finding, now) if known else finding
    return list(found.values())


def _joined(cause: Finding, code: Finding, now: str) -> Finding:
    """A cause with what a code means that has the same id: two things to do, not one."""
    means = Evidence(code.title, "wacoex", now)
    return cause.replace(
        severity=worst((cause.severity, code.severity)),
        evidence=dict.fromkeys((*cause.evidence, *code.evidence, means)),
        remedy=dict.fromkeys((*cause.remedy, *code.remedy)),
    )


def _short(text: str) -> str:
    return textwrap.shorten(text, _LONGEST_QUOTE, placeholder=" ...")


def _cannot_connect(answers: Answers, view: ChannelView, now: str) -> list[Finding]:
    given = answers.given
    steps: dict[str, Mapping[str, object]] = {
        "eligibility": {
            "phone": view.channel.phone,
            "app_version": answers.text("app_version"),
            "in_real_use": given.get("in_real_use"),
        },
        "business-suite": {"linked": given.get("linked")},
        "other-partner": {"other_partner": given.get("other_partner")},
    }
    records = {
        step: Record(step, StepState.SETTLED, now, PERSON, answer) for step, answer in steps.items()
    }
    found = check_records(records, view.name, now)
    if text := answers.text("error"):
        reported = signup_reported(WindowFailed(text), view.name, now, PERSON)
        of_codes = [it for it in _of_codes(text, view, now) if it.id in _ALSO_WHEN_CONNECTING]
        shown = of_codes or [reported]
        found = [*shown, *(it for it in found if it.id not in {each.id for each in shown})]
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
    evidence = Evidence(said, PERSON, now)
    return Finding(finding_id, severity, view.name, evidence, case=case, **values)


def rank(
    symptom: Symptom, answers: Answers, snapshot: Snapshot, found: Sequence[Finding]
) -> list[Finding]:
    """The likely causes of what somebody sees on the first channel, the likeliest first.

    `found` is what the checks found. What they and the answers agree on comes first, worst first;
    the last finding names what is not known, if anything is left open.
    """
    view, now = snapshot.channels[0], to_text(snapshot.now)
    order = _CAUSES[symptom]
    answered = FROM_ANSWERS[symptom](answers, view, now)
    reported = {cause.id: cause for cause in answered if cause.id in order}
    places = [*reported, *order]
    causes = []
    for cause in found:
        if cause.id not in order:
            continue
        # What a person says about a cause that a check found is more evidence for it.
        if other := reported.pop(cause.id, None):
            if symptom is Symptom.CANNOT_SEND:
                causes.append(_joined(cause, other, now))
                continue
            evidence = dict.fromkeys((*cause.evidence, *other.evidence))
            severity = worst((cause.severity, other.severity))
            # Where the two differ, nothing is deleted before somebody has looked again.
            differs = cause.id == "WX202" and answers.says("partner_listed")
            cause = (other if differs else cause).replace(severity=severity, evidence=evidence)
        causes.append(cause)
    causes += reported.values()
    causes.sort(key=lambda cause: (by_severity(cause.severity), places.index(cause.id)))
    unknown = [item.unknown for item in QUESTIONS[symptom] if item.id not in answers.given]
    if symptom not in _OPEN_IN or (causes and not unknown):
        return causes
    left_open = _left_open(symptom, unknown, view.name, now)
    if left_open.id not in {cause.id for cause in causes}:
        return [*causes, left_open]
    return [
        cause.replace(evidence=(*cause.evidence, *left_open.evidence))
        if cause.id == left_open.id
        else cause
        for cause in causes
    ]


def _left_open(symptom: Symptom, unknown: Sequence[str], channel: str, now: str) -> Finding:
    command = f"wacoex doctor {channel} --symptom {symptom.value}"
    said = (
        f"not known: {'; '.join(unknown)}" if unknown else "nothing that wacoex knows explains it"
    )
    return Finding(
        _OPEN_IN[symptom],
        Severity.UNKNOWN,
        channel,
        Evidence(said, "wacoex", now),
        case="left_open",
        outcome="wacoex does not know everything" if unknown else "no cause was found",
        command=command,
    )
