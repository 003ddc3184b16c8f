"""The few kinds of failure wacoex has, each with its exit status and a stable code."""

from collections.abc import Mapping


class WacoexError(Exception):
    """A failure shown to the user as `error: message`, then `hint: what to do`.

    `code` is stable and appears in JSON; `details` holds further JSON values
    (a Meta error code, a trace id) and never a secret.
    """

    exit_status = 1
    default_code = "failed"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code
        self.details = dict(details or {})


class DeclinedError(WacoexError):
    """A person was asked and said no; nothing changed."""

    default_code = "declined"


class UsageError(WacoexError):
    """An option, a value, a configuration entry or an input file is not valid."""

    exit_status = 2
    default_code = "usage"


class CredentialError(WacoexError):
    """A credential is missing, expired, refused, or lacks a permission."""

    exit_status = 4
    default_code = "credentials"


class RefusedError(WacoexError):
    """The remote side, or one of our safety checks, refused; trying again will not help."""

    exit_status = 5
    default_code = "refused"


class TemporaryError(WacoexError):
    """Network, time-out, throttling or a lock; safe to try again."""

    exit_status = 6
    default_code = "temporary"


class HeldElsewhereError(TemporaryError):
    """Another process does this just now: it holds the lock."""

    default_code = "locked"


class StateError(WacoexError):
    """The state file is damaged, read-only, on a full disk, or newer than this program."""

    exit_status = 8
    default_code = "state"


def counted(number: int, noun: str) -> str:
    """A number with its noun in the singular or plural: `1 person`, `2 people`, `0 rows`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-6]}people" if noun.endswith("person") else f"{noun}s"
    return f"{number:,} {plural}"
