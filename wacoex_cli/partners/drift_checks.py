"""WX207: what is stored about a channel is not what respond.io and Meta have. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels.model import Provider
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.partners.model import DriftKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.channels.connection import Connection
    from wacoex_cli.partners.model import Drift, Listed


def check_drift(
    listed: Listed | None, drifts: Sequence[Drift], connection: Connection, channel: str
) -> list[Finding]:
    """WX207: respond.io, or Meta, does not have the channel under the ids that are stored.

    Critical when it is gone, a warning when another one is there, unknown when respond.io gave
    no usable list. `listed` is None where respond.io was not asked.
    """
    found = [drift for drift in drifts if drift.kind is not DriftKind.FORMER]
    if found:
        is_gone = any(drift.kind is DriftKind.GONE for drift in found)
        # What a lost connection needs comes first, and may settle the rest.
        ways = [] if connection.is_lost else found
        named = [drift for drift in ways if drift.use]
        unnamed = [drift for drift in ways if not drift.use]
        return [
            Finding(
                "WX207",
                Severity.CRITICAL if is_gone else Severity.WARNING,
                channel,
                [Evidence(drift.text, drift.source, drift.observed_at) for drift in drifts],
                case="gone" if found[0].kind is DriftKind.GONE else "another",
                provider=Provider(found[0].source).known_as,
                cause=connection.loss_finding,
                options=[f"--{drift.name.replace('_', '-')}" for drift in named],
                uses=[drift.use for drift in named],
                at_respondio=any(drift.source == "respondio" for drift in unnamed),
                of_phone=any(drift.name == "phone" for drift in unnamed),
                of_id=any(drift.name == "phone_number_id" for drift in unnamed),
            )
        ]
    if listed is None or listed.error is None:
        return []
    said = Evidence(listed.why or "respond.io gave no list", "respondio", listed.observed_at)
    hint = listed.error.hint or "try again in a minute"
    return [Finding("WX207", Severity.UNKNOWN, channel, said, hint=hint)]
