"""Asking Meta what became of our own messages, where it offers that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.errors import CredentialError, RefusedError
from wacoex_cli.events.model import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wacoex_cli.errors import WacoexError
    from wacoex_cli.events.pull import Log
    from wacoex_cli.platforms.meta import Meta

# Without these permissions there is no history either, but nothing else is wrong.
_PERMISSIONS = frozenset({3, 10, *range(200, 300)})


@dataclass(frozen=True)
class History:
    """Whether this number has a message history (None: never asked), and how many were asked."""

    available: bool | None = None
    checked: int = 0
    why_not: str | None = None

    def to_json(self) -> dict[str, object]:
        """The `history` of the JSON output."""
        return {"available": self.available, "checked": self.checked, "why_not": self.why_not}


async def read_statuses(
    meta: Meta,
    phone_number_id: str,
    messages: Mapping[str, str],
    log: Log,
    on_progress: Callable[[int], None],
) -> History:
    """Store the statuses of messages of ours, each given with the attempt id it was sent under.

    The edge is documented and not offered everywhere, so the first refusal ends it quietly.
    Raises CredentialError for a dead token, TemporaryError when Meta cannot be reached.
    Source: "Meta: message history API".
    """
    checked = 0
    for message_id, attempt_id in messages.items():
        try:
            entries = await meta.message_history(phone_number_id, message_id)
        except (RefusedError, CredentialError) as error:
            if not _is_not_offered(error):
                raise
            if not checked:
                return History(False, 0, error.message)
            entries = []
        checked += 1
        if entries:
            body = {
                "object": "message_history",
                "phone_number_id": phone_number_id,
                "message_id": message_id,
                "biz_opaque_callback_data": attempt_id,
                "data": entries,
            }
            log.keep(Source.META, [body])
        on_progress(checked)
    return History(True if checked else None, checked)


def _is_not_offered(error: WacoexError) -> bool:
    return isinstance(error, RefusedError) or error.details.get("code") in _PERMISSIONS
