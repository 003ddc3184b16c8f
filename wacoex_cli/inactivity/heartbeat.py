"""A sign of life of each run to a URL that somebody watches: silence is then what alarms."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from wacoex_cli.errors import WacoexError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.workspace import Workspace

PING_SECONDS = 5.0
_SUCCESS = range(200, 300)


def ping(workspace: Workspace, exit_status: int, log: Callable[[str], None]) -> None:
    """Call `URL/<exit status>` if a heartbeat URL is set: one try of at most 5 seconds.

    Never raises and never quotes the URL, which whoever knows it could call. A URL that cannot
    be used is warned about; that nobody answered goes to `log`, because whoever watches the
    heartbeat learns it anyway.
    """
    try:
        secret = workspace.secrets.find("heartbeat-url")
        if secret is None:
            return
        parts = _parts(secret.reveal())
        if parts is None:
            workspace.warn(f"{secret.source} is no http or https URL, so no heartbeat is sent")
            return
        problem = workspace.run(_call(*parts, exit_status, workspace.clock))
    except WacoexError as error:
        workspace.warn(f"no heartbeat is sent: {error.message}")
        return
    if problem is not None:
        log(f"the heartbeat was not taken: {problem}")


def _parts(url: str) -> tuple[str, dict[str, str]] | None:
    try:
        parts = urlsplit(url)
        is_fit = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    if not is_fit:
        return None
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")), query


async def _call(url: str, query: dict[str, str], exit_status: int, clock: Clock) -> str | None:
    from wacoex_cli.foundation.http import Http

    # A client of its own, which logs nothing: the path of the URL is the secret.
    http = Http(clock, log=lambda text: None, exchange_seconds=PING_SECONDS)
    try:
        answer = await asyncio.wait_for(
            http.read(
                "GET",
                f"{url}/{exit_status}",
                headers={},
                params=query,
                is_final=lambda answer: True,
                patience_seconds=0,
            ),
            PING_SECONDS,
        )
    except TimeoutError:
        return f"no answer within {PING_SECONDS:.0f} seconds"
    except WacoexError as error:
        return error.code
    finally:
        await http.aclose()
    return None if answer.status in _SUCCESS else f"answer {answer.status}"
