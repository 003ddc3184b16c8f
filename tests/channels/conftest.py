"""What tests of looks at Meta share: a workspace with a token, and nothing else."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from wacoex_cli.foundation.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def workspace_with(token: str) -> Iterator[Workspace]:
    """A workspace that has this token for a Meta on this machine."""
    with open_workspace(
        environ={
            "WACOEX_META_TOKEN": token,
            "WACOEX_KEYRING": "off",
            "WACOEX_META_BASE_URL": "http://127.0.0.1",
        },
        warn=print,
        log=lambda text: None,
        announce=lambda settings: None,
    ) as opened:
        yield opened
