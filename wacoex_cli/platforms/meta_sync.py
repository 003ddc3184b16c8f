"""Asking Meta to copy the app's contacts and history, which works once after connecting."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.foundation.answer import NotSentError, UnansweredError
from wacoex_cli.platforms.replies import NotSent, Refused, Unclear

if TYPE_CHECKING:
    from wacoex_cli.platforms.meta import Meta

TOO_OFTEN, TOO_LATE, NOT_SHARED = 2593107, 2593108, 2593109
"""Asked for more than once; more than 24 hours after connecting; not shared on the phone."""


class SyncType(StrEnum):
    """What can be copied, as Meta spells it."""

    CONTACTS = "smb_app_state_sync"
    HISTORY = "history"


@dataclass(frozen=True)
class Requested:
    """Meta has accepted to copy; the data comes by webhook. The id is for Meta's support."""

    request_id: str


async def request_sync(
    meta: Meta, phone_number_id: str, sync_type: SyncType
) -> Requested | Refused | Unclear | NotSent:
    """Ask for one kind of data in one single try; never raises for what the network or Meta does.

    Works once per onboarding, within 24 hours of it. Source: "Meta: onboarding business app
    users", `smb_app_data`.
    """
    body = {"messaging_product": "whatsapp", "sync_type": sync_type.value}
    try:
        answer = await meta.post_once(f"{phone_number_id}/smb_app_data", body)
    except NotSentError as error:
        return NotSent(error.reason)
    except UnansweredError as error:
        return Unclear(error.reason)
    refused = meta.refusal(answer)
    if refused is not None:
        return refused
    told = answer.json if isinstance(answer.json, dict) else {}
    request_id = told.get("request_id")
    if not 200 <= answer.status < 300 or not isinstance(request_id, str | int):
        return Unclear(f"HTTP {answer.status} without a request id and without an error code")
    return Requested(str(request_id))
