"""`wacoex device probe`."""

from typing import TYPE_CHECKING

from wacoex_cli.devices.commands import app
from wacoex_cli.errors import UsageError
from wacoex_cli.terminal.options import DryRunOption, Invocation, command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.model import Device
    from wacoex_cli.devices.probe import Prober
    from wacoex_cli.devices.rule import Probe, ProbeWord, WordOutcome
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result

__all__ = ["app"]

_SETTING = "events.probe_contact"


@command(
    app,
    "probe",
    path=("device", "probe"),
    examples=(
        "wacoex device probe",
        "wacoex device probe -c shop --json",
        "wacoex device probe --dry-run",
    ),
)
def probe(invocation: Invocation, dry_run: DryRunOption = False) -> "Result":
    """Try out which devices the partner hears.

    Each linked companion and the phone get a short word, to be sent to a test contact: the probe
    contact of config.toml, or one that is asked for. The echo that comes back, through
    `wacoex events listen` in another terminal or read at respond.io, shows that the device is
    visible. Waits 5 minutes; Enter ends it earlier, and after Ctrl-C the same command goes on.
    """
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.devices import registry
    from wacoex_cli.devices.commands import take_in_events
    from wacoex_cli.devices.model import DeviceState
    from wacoex_cli.devices.probe import Prober
    from wacoex_cli.devices.view import (
        PROBE_FINDINGS,
        not_probed,
        probe_data,
        probe_text,
    )
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        take_in_events(workspace)
        before = registry.inventory(workspace.state, channel, workspace.clock.now())
        devices = [one for one, state in before.devices if state is DeviceState.LINKED]
        for line in not_probed(before):
            dialogue.note(line)
        if dry_run:
            return _planned(channel, devices)
        prober = Prober(workspace, channel, devices)
        contact = _contact(workspace, prober, dialogue)
        ended = _go_through(workspace, prober, prober.begin(contact), devices, dialogue)
        now = workspace.clock.now()
        after = registry.inventory(workspace.state, channel, now)
    findings = [one for one in after.findings if one.id in PROBE_FINDINGS]
    return Result(
        probe_data(ended, after, channel.name, findings),
        list(probe_text(ended, after, findings, now)),
    )


def _contact(workspace: "Workspace", prober: "Prober", dialogue: "TerminalDialogue") -> str:
    """Whom the words are sent to: as the interrupted probe says, the settings, or the person."""
    from wacoex_cli.foundation.phone_numbers import normalise

    unfinished = prober.unfinished()
    if unfinished is not None:
        dialogue.note(f"going on with the probe that began at {unfinished.began_at}")
        return unfinished.contact
    if told := workspace.settings.events.probe_contact:
        return told
    if not dialogue.can_ask():
        raise UsageError(
            "it is not known to whom the words are to be sent",
            hint=f"set `{_SETTING}` in config.toml to a test number, such as `+6591234567`",
            code="needs_answer",
        )
    text = dialogue.ask("to which number, not of a customer, will the words go", flag=_SETTING)
    phone = normalise(text)
    if phone is None:
        raise UsageError(
            f"`{text}` is not a phone number",
            hint="write it with `+` and the country code, such as `+6591234567`",
            code="bad_contact",
        )
    return phone


def _go_through(
    workspace: "Workspace",
    prober: "Prober",
    begun: "Probe",
    devices: "Sequence[Device]",
    dialogue: "TerminalDialogue",
) -> "Probe":
    from wacoex_cli.devices.view import instructions

    known = {one.device_id: one for one in devices}

    def tell(word: "ProbeWord") -> None:
        dialogue.banner(f"{word.word} came back: {_name(known, word)} is visible")

    begun = prober.look(begun)
    for line in instructions(begun, devices):
        dialogue.banner(line)
    reader = prober.reader(begun)
    if reader is None and not prober.is_told():
        dialogue.warn(
            "nothing has come in for a day, and there is no respondio-token to read with; start"
            " `wacoex events listen` in another terminal"
        )
    dialogue.note(f"{_WAITING}{_ENTER if dialogue.can_ask() else ''}")
    try:
        waited = workspace.run(
            prober.wait(begun, reader, on_seen=tell, is_over=dialogue.is_enter_pressed)
        )
    except KeyboardInterrupt:
        dialogue.note("what came back is kept; the same command goes on from there")
        raise
    return prober.finish(waited, _asked(waited, known, dialogue))


def _asked(
    probe: "Probe", known: "Mapping[int, Device]", dialogue: "TerminalDialogue"
) -> "dict[int, WordOutcome]":
    """What a person says about the words that have not come back; nobody asked, nothing said."""
    from wacoex_cli.devices.rule import WordOutcome

    if not dialogue.can_ask():
        return {}
    said = {}
    for word in probe.waiting:
        question = f"{word.word}: did you send it from {_name(known, word)}?"
        is_sent = dialogue.confirm(question, flag="--no-input")
        said[word.device_id] = WordOutcome.NOT_SEEN if is_sent else WordOutcome.NOT_SENT
    return said


def _name(known: "Mapping[int, Device]", word: "ProbeWord") -> str:
    from wacoex_cli.devices.view import name_of

    return name_of(known.get(word.device_id))


def _planned(channel: "Channel", devices: "Sequence[Device]") -> "Result":
    from wacoex_cli.devices.view import name_of
    from wacoex_cli.terminal.render import Result

    names = [name_of(None), *map(name_of, devices)]
    data = {
        "channel": channel.name,
        "devices": [{"id": one.device_id, "kind": one.kind.value} for one in devices],
        "dry_run": True,
    }
    return Result(data, [f"{name} of channel {channel.name} would get a word" for name in names])


_WAITING = "waiting up to 5 minutes for them to come back"
_ENTER = "; press Enter when all are sent and you want to wait no longer"
