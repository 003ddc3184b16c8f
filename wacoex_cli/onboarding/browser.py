"""Opening a page in the browser of the person, once they say so."""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wacoex_cli.onboarding.journey import Context


def offer_to_open(context: Context, name: str, url: str) -> bool:
    """Show the address, and open it when the person wants that; returns whether it was opened.

    Only shows it where no window can come up: over SSH, say, a browser in the terminal would
    take the screen away from the questions.
    """
    context.dialogue.note(f"{name}: {url}")
    if not context.wishes.open_browser or not has_windows():
        return False
    if not context.dialogue.confirm(f"open {name} in the browser?", flag="--yes"):
        return False
    return webbrowser.open(url)


def has_windows() -> bool:
    """Whether a browser could show a page here; over SSH, say, it could not."""
    if sys.platform == "darwin":
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"))
