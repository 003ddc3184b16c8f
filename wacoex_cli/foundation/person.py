"""Who runs this program."""

from __future__ import annotations

import getpass


def known_login_name() -> str | None:
    """The login name, or None where the system does not tell."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None


def login_name() -> str:
    """The login name, for the record of who decided or confirmed something; else `unknown`."""
    return known_login_name() or "unknown"
