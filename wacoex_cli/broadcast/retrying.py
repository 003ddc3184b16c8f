"""What `broadcast send --retry-failed` does around the operation: check, plan, say who is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.broadcast.preflight import check_same_api
from wacoex_cli.broadcast.providers import provider_for
from wacoex_cli.broadcast.retry import plan_retry
from wacoex_cli.errors import UsageError
from wacoex_cli.terminal.dialogue import TerminalDialogue

if TYPE_CHECKING:
    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.broadcast.retry import Retry
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.options import Invocation


def check_retry(
    invocation: Invocation, broadcast_id: int | None, to: str | None, *, may_ask: bool
) -> None:
    """Refuse before anything is planned.

    Raises:
        UsageError: no broadcast is named, or a list too, or nobody could be asked.
    """
    if broadcast_id is None or to is not None:
        raise UsageError(
            "`--retry-failed` needs the id of the broadcast whose rows failed, and no `--to`",
            hint="for example: wacoex broadcast send 7 --retry-failed all",
            code="needs_id",
        )
    if may_ask:
        TerminalDialogue(invocation).demand_person("--yes")


def plan_again(
    workspace: Workspace,
    invocation: Invocation,
    channel: Channel,
    source: Broadcast,
    word: str,
    *,
    dry_run: bool,
) -> Retry:
    """Plan the failed rows of a broadcast anew, and say how many are sent to and left out.

    Raises:
        WacoexError: nothing was planned.
    """
    provider = provider_for(workspace, channel)
    check_same_api(provider, channel, source)
    state, clock = workspace.state, workspace.clock
    retry = workspace.run(plan_retry(state, provider, source, word, clock=clock, dry_run=dry_run))
    skipped = "".join(f"; skipped: {n} {reason}" for reason, n in retry.skipped.items())
    TerminalDialogue(invocation).note(
        f"failed rows of broadcast {source.broadcast_id} to be sent again:"
        f" {retry.broadcast.recipients}{skipped}"
    )
    return retry
