"""`reminder confirm`: a named person says that the app was open on the phone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels.facts import FACTS, stored_facts
from wacoex_cli.channels.model import EvidenceKind, Sign, channel_address
from wacoex_cli.channels.store import CHANNELS, Signs
from wacoex_cli.errors import RefusedError, UsageError
from wacoex_cli.events.store import catch_up
from wacoex_cli.foundation.clock import from_text, local_text, to_text
from wacoex_cli.foundation.workspace import known_login_name
from wacoex_cli.inactivity import reading

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.channels.facts import Connection
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing

_LONGEST_NAME = 100


@dataclass(frozen=True)
class Confirmation:
    """What was kept, and where the channel stands now. `zone` is for showing times."""

    channel: Channel
    at: datetime
    said_by: str
    is_new: bool
    dry_run: bool
    standing: Standing
    connection: Connection
    zone: str


def confirm(
    workspace: Workspace,
    channel: Channel,
    at: datetime,
    said_by: str,
    *,
    force: bool = False,
    dry_run: bool = False,
) -> Confirmation:
    """Keep that somebody says the app was open at that moment; the same twice changes nothing.

    Raises:
        UsageError: the moment is still to come, or no name is given.
        RefusedError: there is a newer proof, and no `force`.
    """
    state, now = workspace.state, workspace.clock.now()
    zone = reading.zone_of(workspace, channel)
    name = _checked_name(said_by)
    catch_up(state, [CHANNELS], workspace.clock)
    if at > now:
        raise UsageError(
            f"{local_text(at, zone)} is still to come",
            hint="give the moment at which the app was open, or leave `--at` out for now",
            code="future",
        )
    if not force:
        _refuse_before_proof(state, channel, at, zone, now)
    sign = Sign(
        channel_address(channel.channel_id), EvidenceKind.CONFIRMED, to_text(at), "person", name
    )
    is_new = _is_new(state, sign)
    if is_new and not dry_run:
        with state.transaction():
            Signs(state).add([sign])
    # A dry run counts what would be kept, so that it shows the deadline that would follow.
    standing = reading.standings(workspace, [channel], now, {channel.channel_id: [sign]})
    facts = stored_facts(state, [channel], now, FACTS)
    return Confirmation(
        channel,
        from_text(sign.at),
        name,
        is_new,
        dry_run,
        standing[channel.channel_id],
        facts[channel.channel_id].connection,
        zone,
    )


def login_name() -> str:
    """Who runs this program; raises UsageError where the system does not tell."""
    name = known_login_name()
    if name is None:
        raise UsageError(
            "who says so? this system does not tell the name of its user",
            hint="give a name with `--by WHO`",
            code="no_name",
        )
    return name


def _checked_name(said_by: str) -> str:
    name = " ".join(said_by.split())
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"a name of 1 to {_LONGEST_NAME} characters is needed of whoever says so",
            hint="give it with `--by WHO`",
            code="bad_name",
        )
    return name


def _refuse_before_proof(
    state: State, channel: Channel, at: datetime, zone: str, now: datetime
) -> None:
    proof = reading.last_proof(state, channel, now)
    if proof and to_text(at) < proof.at:
        newest = local_text(from_text(proof.at), zone)
        told = f"by {proof.said_by}" if proof.kind is EvidenceKind.CONFIRMED else "when connected"
        raise RefusedError(
            f"there is a newer proof than {local_text(at, zone)}: {newest}, {told}",
            hint="nothing was changed; `--force` keeps the older one too, the newer one decides",
            code="older_than_proof",
        )


def _is_new(state: State, sign: Sign) -> bool:
    found = Signs(state).newest([sign.address], sign.kind, since=sign.at, until=sign.at)
    return found is None or found.said_by != sign.said_by
