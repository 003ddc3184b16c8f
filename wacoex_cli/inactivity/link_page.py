"""The small page behind a confirmation link: it names the channel and asks for one click.

Showing it changes nothing: mail scanners and previews follow links.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from wacoex_cli.channels.store import Channels
from wacoex_cli.events.consumers import PageAnswer, PageRequest, WebPage
from wacoex_cli.foundation.time_zones import local_text
from wacoex_cli.inactivity import links
from wacoex_cli.inactivity.links import Link, Validity
from wacoex_cli.inactivity.reading import standings, zone_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.foundation.workspace import Workspace

_OK, _NOT_FOUND, _GONE = 200, 404, 410

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1.125rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 32rem;
  padding: 1.5rem 1rem; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.5rem; line-height: 1.25; }}
button {{ font: inherit; font-weight: 600; width: 100%; min-height: 3.25rem; border: 0;
  border-radius: .5rem; color: #fff; background: #0b5f46; cursor: pointer; }}
button:focus-visible {{ outline: 3px solid #1a73e8; outline-offset: 3px; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{content}
</main>
</body>
</html>
"""


def pages(workspace: Workspace) -> Sequence[WebPage]:
    """What `events listen` serves for this room."""

    def handle(request: PageRequest) -> PageAnswer:
        if request.method == "POST":
            return _confirmed(workspace, request.token)
        return _asked(workspace, request.token)

    return (WebPage("/confirm/{token}", ("GET", "POST"), handle),)


def _asked(workspace: Workspace, token: str) -> PageAnswer:
    link = links.look_up(workspace.state, token, workspace.clock.now())
    if link.validity is not Validity.VALID:
        return _refusal(link)
    content = (
        f"<p>Channel <strong>{escape(link.channel)}</strong>, {escape(link.phone)}.<br>\n"
        f"{escape(_deadline(workspace, link))}</p>\n"
        "<ol>\n<li>Open the WhatsApp Business app on the primary phone.</li>\n"
        "<li>Keep it online for a minute.</li>\n<li>Then press the button.</li>\n</ol>\n"
        # Without an action it posts to its own address, whatever prefix a proxy put before it.
        '<form method="post">\n<button type="submit">The app is open on the phone</button>\n'
        "</form>"
    )
    return PageAnswer(_OK, _PAGE.format(title="Is the phone open?", content=content))


def _confirmed(workspace: Workspace, token: str) -> PageAnswer:
    link = links.confirm(workspace.state, token, workspace.clock.now())
    if link.validity is not Validity.VALID:
        return _refusal(link)
    content = (
        f"<p>Channel <strong>{escape(link.channel)}</strong> is confirmed.<br>\n"
        f"{escape(_deadline(workspace, link))}</p>\n<p>You can close this page.</p>"
    )
    return PageAnswer(_OK, _PAGE.format(title="Thank you", content=content))


def _refusal(link: Link) -> PageAnswer:
    if link.validity is Validity.UNKNOWN:
        content = "<p>There is no such link. Look whether it was copied whole.</p>"
        return PageAnswer(_NOT_FOUND, _PAGE.format(title="Unknown link", content=content))
    content = "<p>It was used before or has expired. The next notice brings a new one.</p>"
    return PageAnswer(_GONE, _PAGE.format(title="This link no longer works", content=content))


def _deadline(workspace: Workspace, link: Link) -> str:
    channel = Channels(workspace.state).find(link.channel)
    if channel is None:
        return ""
    known = standings(workspace, [channel], workspace.clock.now())[channel.channel_id]
    if known.deadline_at is None:
        return "Nobody knows when the app was last opened."
    return f"Deadline: {local_text(known.deadline_at, zone_of(workspace, channel))}"
