"""The codes that a finished signup window hands out (Meta: embedded signup implementation)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from wacoex_cli.sandbox.refusals import Refusal

LIFETIME_SECONDS = 30.0


@dataclass(slots=True)
class Code:
    """One code; `at` is Unix seconds, `tries` counts how often it was shown for a token."""

    waba_id: str
    at: float
    tries: int = 0


class Codes:
    """Every code handed out since the reset, by its value."""

    def __init__(self) -> None:
        self.issued: dict[str, Code] = {}

    def issue(self, waba_id: str, now: float) -> str:
        """A new code for that WABA."""
        value = f"AQsandbox{secrets.token_hex(16)}"
        self.issued[value] = Code(waba_id, now)
        return value

    def take(self, value: str, now: float) -> str:
        """The WABA of a code that is shown for the first time, within 30 seconds.

        Raises Refusal 100 with subcode 36009 for one that was used, 36007 for one that expired.
        """
        code = self.issued.get(value)
        if code is None:
            raise Refusal(100, message="Invalid verification code format.")
        code.tries += 1
        if code.tries > 1:
            raise Refusal(100, subcode=36009, message="This authorization code has been used.")
        if now - code.at > LIFETIME_SECONDS:
            raise Refusal(100, subcode=36007, message="This authorization code has expired.")
        return code.waba_id
