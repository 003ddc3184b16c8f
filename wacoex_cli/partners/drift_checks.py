"""WX207: what is stored about a channel is not what respond.io and Meta have. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels.connection import ConnectionState
from wacoex_cli.channels.model import Provider
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.partners.model import DriftKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wacoex_cli.channels.connection import Connection
    from wacoex_cli.partners.model import Drift, Listed


def check_drift(
    listed: Listed | None, drifts: Sequence[Drift], connection: Connection, channel: str
) -> list[Finding]:
    """WX207: respond.io, or Meta, does not have the channel under the ids that are stored.

    Critical when it is gone, a warning when another one is there, unknown when respond.io gave
    no usable list. `listed` is None where respond.io was not asked.
    """
    found = [one for one in drifts if one.kind is not DriftKind.FORMER]
    if found:
        is_gone = any(one.kind is DriftKind.GONE for one in found)
        return [
            Finding(
                id="WX207",
                severity=Severity.CRITICAL if is_gone else Severity.WARNING,
                channel=channel,
                title=_drift_title(found),
                evidence=tuple(Evidence(one.text, one.source, one.observed_at) for one in drifts),
                remedy=tuple(_ways_to_channel(found, connection, channel)),
                verify=f"wacoex partner check {channel}",
            )
        ]
    if listed is None or listed.error is None:
        return []
    return [
        Finding(
            id="WX207",
            severity=Severity.UNKNOWN,
            channel=channel,
            title="it is unclear whether respond.io has the channel",
            evidence=(
                Evidence(listed.why or "respond.io gave no list", "respondio", listed.observed_at),
            ),
            remedy=(listed.error.hint or "try again in a minute", "see `wacoex auth status`"),
            verify=f"wacoex partner check {channel}",
        )
    ]


def _drift_title(found: Sequence[Drift]) -> str:
    first = found[0]
    where = Provider(first.source).known_as
    if first.kind is DriftKind.GONE:
        return f"{where} does not have the channel any more"
    return f"{where} has another channel than the one that is stored"


def _ways_to_channel(found: Sequence[Drift], connection: Connection, channel: str) -> Iterator[str]:
    if connection.is_lost:
        cause = "WX204" if connection.state is ConnectionState.RECONNECTING else "WX203"
        yield f"first do what {cause} says"
        return
    for one in found:
        option = f"--{one.name.replace('_', '-')}"
        if one.use:
            yield (
                f"if that is this number, tell wacoex:"
                f" `wacoex channel edit {channel} {option} {one.use}`"
            )
        elif one.source == "respondio":
            yield "see whether the respond.io token is of the right workspace: `wacoex auth status`"
            yield (
                "open respond.io, Settings, Channels; if the channel was connected again, tell"
                f" wacoex: `wacoex channel edit {channel} {option} N`"
            )
        elif one.name == "phone":
            yield (
                "open WhatsApp Manager, Phone numbers: which id has the number?"
                f" `wacoex channel edit {channel} --phone-number-id ID`"
            )
        else:
            yield (
                "find the number in WhatsApp Manager, Phone numbers; in another account? tell"
                f" wacoex: `wacoex channel edit {channel} --waba-id ID --phone-number-id ID`"
            )
