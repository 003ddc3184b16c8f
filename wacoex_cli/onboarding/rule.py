"""What Meta asks of a number and of the app. Pure."""

from __future__ import annotations

import re

OLDEST_APP = (2, 24, 17)
"""The oldest version of the WhatsApp Business app (Meta: onboarding business app users)."""

OPENED_ON = "15 April 2026"
"""The day on which Meta took the last countries off its list (Meta: changelog)."""

_LATELY_OPENED = {"+234": "Nigeria", "+27": "South Africa"}
_VERSION = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,6}))?(?:\.[0-9]{1,6})*")


def version_in(text: str) -> tuple[int, int, int] | None:
    """The first three parts of a version such as `2.24.17.80`; None for anything else."""
    found = _VERSION.fullmatch(text.strip().lower())
    if found is None:
        return None
    return int(found[1]), int(found[2]), int(found[3] or 0)


def lately_opened(phone: str) -> str | None:
    """The country of an E.164 number, when lists from before April 2026 exclude it."""
    return next((name for code, name in _LATELY_OPENED.items() if phone.startswith(code)), None)
