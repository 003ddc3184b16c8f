"""`doctor`: one snapshot, then every check over it, and the causes of a symptom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.channels.access import warn_about_unknown_tables
from wacoex_cli.diagnosis.checks import newer_schema, run_checks
from wacoex_cli.diagnosis.snapshot import STATE, SourceSeen, take_snapshot
from wacoex_cli.diagnosis.symptoms import QUESTIONS, Answers, Question, Symptom, rank
from wacoex_cli.errors import StateError, UsageError
from wacoex_cli.findings.model import Finding, Severity, worst

if TYPE_CHECKING:
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.diagnosis.snapshot import Snapshot
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.dialogue import Dialogue

_NEEDS_PERSON = "needs_answer"
_YES = frozenset({"y", "yes"})
_NO = frozenset({"n", "no"})


@dataclass(frozen=True)
class Symptomatic:
    """A symptom, what was answered about it, and its likely causes, the likeliest first."""

    symptom: Symptom
    answers: Answers
    causes: tuple[Finding, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What was found, worst first. `snapshot` is None when the state file cannot be read.

    `symptomatic` is about the symptom that was named; its causes are among the findings.
    """

    snapshot: Snapshot | None
    findings: tuple[Finding, ...]
    symptomatic: Symptomatic | None = None

    @property
    def verdict(self) -> Severity:
        """The worst that was found."""
        return worst(one.severity for one in self.findings)

    @property
    def sources(self) -> tuple[SourceSeen, ...]:
        """Who was asked, and whether they answered."""
        if self.snapshot is None:
            return (SourceSeen(STATE, False, self.findings[0].evidence[0].text),)
        return self.snapshot.sources


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
    answers = ask(dialogue, symptom) if symptom and dialogue else Answers()
    snapshot = take_snapshot(workspace, channels, is_offline=is_offline)
    found = tuple(run_checks(snapshot))
    if symptom is None:
        return Diagnosis(snapshot, found)
    causes = tuple(rank(symptom, answers, snapshot, found))
    named = {(one.id, one.channel) for one in causes}
    others = [one for one in found if (one.id, one.channel) not in named]
    return Diagnosis(snapshot, (*causes, *others), Symptomatic(symptom, answers, causes))


def ask(dialogue: Dialogue, symptom: Symptom) -> Answers:
    """Ask what only a person can answer; nothing where nobody can be asked."""
    given: dict[str, bool | str] = {}
    try:
        for question in QUESTIONS[symptom]:
            answer = _answer(dialogue, question)
            if answer is not None:
                given[question.id] = answer
    except UsageError as error:
        if error.code != _NEEDS_PERSON:
            raise
    return Answers(given)


def _answer(dialogue: Dialogue, question: Question) -> bool | str | None:
    how = "Enter if you do not know" if question.is_text else "yes, no, or Enter if not known"
    while True:
        said = dialogue.ask(f"{question.text} [{how}]", flag="--no-input")
        if not said:
            return None
        if question.is_text:
            return said
        if said.lower() in _YES | _NO:
            return said.lower() in _YES


def _channels(workspace: Workspace, name: str | None, symptom: Symptom | None) -> list[Channel]:
    state = workspace.state
    name = name or (workspace.settings.channel if symptom else None)
    channels = [registry.active(state, name)] if name else registry.all_active(state)
    warn_about_unknown_tables(workspace)
    in_use = [one for one in channels if one.is_in_use]
    if symptom is None or len(channels) == 1:
        return channels
    if in_use:
        return in_use
    raise UsageError(
        f"which channel shows `{symptom.value}`?",
        hint=f"name one: {', '.join(f'`{one.name}`' for one in channels)}",
        code="channel_open",
    )
