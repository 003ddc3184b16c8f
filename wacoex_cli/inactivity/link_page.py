"""The small page behind a confirmation link: it names the channel and asks for one click.

Showing it changes nothing: mail scanners and previews follow links.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from wacoex_cli.channels import ledger
from wacoex_cli.events.consumers import Page, PageAnswer, PageRequest
from wacoex_cli.foundation.html import rendered
from wacoex_cli.foundation.time_zones import local_text
from wacoex_cli.inactivity import links
from wacoex_cli.inactivity.links import Validity
from wacoex_cli.inactivity.reading import standings, zone_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.links import Link


def pages(workspace: Workspace) -> Sequence[Page]:
    """What `events listen` serves for the confirmation links."""
    return (Page("/confirm/{token}", ("GET", "POST"), functools.partial(_answer, workspace)),)


def _answer(workspace: Workspace, request: PageRequest) -> PageAnswer:
    is_post = request.method == "POST"
    check = links.confirm if is_post else links.look_up
    link = check(workspace.state, request.token, workspace.clock.now())
    if link.validity is Validity.UNKNOWN:
        return _page(404, "Unknown link", shows="unknown")
    if link.validity is not Validity.VALID:
        return _page(410, "This link no longer works", shows="expired")
    return _page(
        200,
        "Thank you" if is_post else "Is the phone open?",
        shows="thanks" if is_post else "question",
        channel=link.channel,
        phone=link.phone,
        deadline=_deadline(workspace, link),
    )


def _page(status: int, title: str, **values: str) -> PageAnswer:
    return PageAnswer(status, rendered(__package__, "confirm.html.jinja", title=title, **values))


def _deadline(workspace: Workspace, link: Link) -> str:
    channel = ledger.find(workspace.state, link.channel)
    if channel is None:
        return ""
    known = standings(workspace, [channel], workspace.clock.now())[channel.channel_id]
    if known.deadline_at is None:
        return "Nobody knows when the app was last opened."
    return f"Deadline: {local_text(known.deadline_at, zone_of(workspace, channel))}"
