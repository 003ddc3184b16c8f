"""`broadcast send --dry-run`: the requests as they would leave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast.model import Claim, RowState
from wacoex_cli.broadcast.providers import provider_for
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import Row
    from wacoex_cli.foundation.workspace import Workspace

_SHOWN_REQUESTS = 3


def show_requests(
    workspace: Workspace, channel: Channel, broadcast: Broadcast, rows: Sequence[Row] | None
) -> Result:
    """The exact requests of the first three rows, with the token hidden. Nothing is sent."""
    state, broadcast_id = workspace.state, broadcast.broadcast_id
    if rows is None:
        rows = [
            *Rows(state, broadcast_id).first(RowState.RETRY, _SHOWN_REQUESTS),
            *Rows(state, broadcast_id).first(RowState.PENDING, _SHOWN_REQUESTS),
        ][:_SHOWN_REQUESTS]
    mailer = provider_for(workspace, channel).mailer(broadcast, Broadcasts(state).state_id)
    requests: list[dict[str, Any]] = []
    for row in rows:
        url, body = mailer.request(_next_claim(row, workspace.clock.now()))
        headers = {"Authorization": "Bearer ****", "Content-Type": "application/json"}
        request = {"method": "POST", "url": url, "headers": headers, "body": body}
        requests.append({"line": row["line"], **request})
    text = [f"would send to {broadcast.recipients} people; the first {len(requests)} requests:"]
    for request in requests:
        text += [
            f"line {request['line']}: POST {request['url']}",
            json.dumps(request["body"], ensure_ascii=False, indent=2),
        ]
    data = {"dry_run": True, "recipients": broadcast.recipients, "requests": requests}
    return Result(data, tuple(text))


def _next_claim(row: Row, now: datetime) -> Claim:
    return Claim(row["row"], row["phone"], row["parameters"], row["attempts"] + 1, 1, now)
