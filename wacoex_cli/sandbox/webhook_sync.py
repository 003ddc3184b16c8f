"""The values of webhooks that copy the app's contacts and history (Meta: onboarding app users)."""

from __future__ import annotations

import random

from wacoex_cli.sandbox.webhook_messages import PERSON, Scene, Update, Value

_PHASES = 3
_DAY = 86_400
# Days ago of the messages of each phase (Meta: history).
_PHASE_BEGINS_DAYS_AGO = (0, 1, 90)
_DECLINED = 2593109


def contact_sync(
    scene: Scene,
    *,
    contact: str = PERSON,
    contacts: list[str] | None = None,
    action: str = "add",
) -> list[Update]:
    """Contacts of the app's phone book that were added, changed or removed."""
    rows = []
    for one in contacts or [contact]:
        person = {"phone_number": one.removeprefix("+")}
        if action != "remove":
            person |= {"full_name": "Ana Lim", "first_name": "Ana"}
        rows.append(
            {
                "type": "contact",
                "contact": person,
                "action": action,
                "metadata": {"timestamp": str(scene.at)},
            }
        )
    return [_update(scene, "smb_app_state_sync", {"state_sync": rows})]


def history(
    scene: Scene,
    *,
    contact: str = PERSON,
    chunks: int = 3,
    messages: int = 2,
    shuffled: bool = False,
    seed: int = 0,
    declined: bool = False,
    media: bool = False,
) -> list[Update]:
    """The chats of the app in `chunks` webhooks of `messages` each, out of order if `shuffled`.

    `declined` says that the business shared none, `media` adds a file that comes later.
    """
    if declined:
        text = "History sharing is turned off by the business."
        error = {"code": _DECLINED, "title": text, "message": text}
        row = {"errors": [{**error, "error_data": {"details": text}}]}
        return [_update(scene, "history", {"history": [row]})]
    told = [_chunk(scene, contact, number, chunks, messages) for number in range(1, chunks + 1)]
    if shuffled:
        random.Random(seed).shuffle(told)
    if media:
        picture = {"id": "1100000000000002", "mime_type": "image/jpeg"}
        message = _message(scene, contact, 0, {"type": "image", "image": picture})
        told.append(_update(scene, "history", {"messages": [message]}))
    return told


def _chunk(scene: Scene, contact: str, number: int, chunks: int, messages: int) -> Update:
    phase = min(_PHASES - 1, (number - 1) * _PHASES // chunks)
    metadata = {"phase": phase, "chunk_order": number, "progress": number * 100 // chunks}
    days_ago = _PHASE_BEGINS_DAYS_AGO[phase]
    rows = []
    for each in range(messages):
        text = {"type": "text", "text": {"body": f"an old message, {each + 1}"}}
        rows.append(
            {
                **_message(scene, contact, days_ago * _DAY + each + 1, text),
                "history_context": {"status": "READ"},
            }
        )
    threads = [{"id": contact.removeprefix("+"), "messages": rows}]
    return _update(scene, "history", {"history": [{"metadata": metadata, "threads": threads}]})


def _message(scene: Scene, contact: str, seconds_ago: int, content: Value) -> Value:
    return {
        "from": scene.digits,
        "to": contact.removeprefix("+"),
        "id": scene.new_message_id(contact),
        "timestamp": str(scene.at - seconds_ago),
        **content,
    }


def _update(scene: Scene, field: str, parts: Value) -> Update:
    value = {"messaging_product": "whatsapp", "metadata": scene.metadata}
    return Update(field, {**value, **parts})
