"""Templates are created, edited, deleted and archived, checked, and reviewed a moment later.

Sources: "Meta: template management", "Meta: template components", "Meta: template archival".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from wacoex_cli.sandbox.faults import GraphError, nonexisting_field, unknown_object, wrong_parameter
from wacoex_cli.sandbox.wire import DAY_SECONDS, Call
from wacoex_cli.sandbox.world import TEMPLATE, WABA, Node, World

Part = Mapping[str, Any]

_NAME = re.compile(r"[a-z0-9_]{1,512}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Za-z]{2,4})?")
_PLACE = re.compile(r"\{\{(.*?)\}\}")
_NAMED_PLACE = re.compile(r"[a-z][a-z0-9_]*")
_CATEGORIES = ("AUTHENTICATION", "MARKETING", "UTILITY")
_FORMATS = ("TEXT", "IMAGE", "VIDEO", "GIF", "DOCUMENT", "LOCATION", "PRODUCT")
_LONGEST = {"HEADER": 60, "BODY": 1024, "FOOTER": 60}
_LONGEST_BUTTON, _LONGEST_URL, _LONGEST_PHONE = 25, 2000, 20
_MOST_BUTTONS = 10
_MOST_OF_A_KIND = {
    **dict.fromkeys(("PHONE_NUMBER", "COPY_CODE", "CATALOG", "MPM", "FLOW", "VOICE_CALL"), 1),
    "URL": 2,
    "QUICK_REPLY": 10,
    "OTP": 1,
    "SPM": 1,
}
_PARTS = frozenset(
    {"HEADER", "BODY", "FOOTER", "BUTTONS", "CAROUSEL", "LIMITED_TIME_OFFER"}
    | {"CALL_PERMISSION_REQUEST"}
)
# Meta does not say how many words it wants; this is our choice.
_WORDS_FOR_A_PLACE = 2
_KEYS = frozenset(
    {"name", "language", "category", "components", "parameter_format"}
    | {"allow_category_change", "message_send_ttl_seconds"}
)
_TEXT_KEYS = frozenset(
    {"type", "format", "text", "example", "add_security_recommendation", "code_expiration_minutes"}
)
_EDITABLE_KEYS = frozenset({"category", "components", "message_send_ttl_seconds"})

_HOUR_SECONDS = 3600.0
# Meta: template management.
_MOST_CREATED_IN_AN_HOUR = 100
_MOST_EDITED_IN_30_DAYS = 10
_NAME_BLOCKED_SECONDS = 30 * DAY_SECONDS
_MOST_ARCHIVED_AT_ONCE = 100
_EDITABLE = ("APPROVED", "REJECTED", "PAUSED")
_ARCHIVABLE = ("APPROVED", "REJECTED")


def change_templates(
    world: World, call: Call, node: Node, edge: str | None, verb: str | None
) -> dict[str, object]:
    """Create, delete, archive (an account), or edit (a template).

    Raises GraphError 100 for what Meta does not take, and 80008 above 100 new ones an hour.
    """
    if edge is None and node.kind is TEMPLATE and call.method == "POST":
        return _edit(world, node, call.json())
    if edge is None:
        raise unknown_object(call.method, node.id)
    if node.kind is not WABA:
        raise nonexisting_field(edge, node.kind.name)
    if call.method == "DELETE" and verb is None:
        return _delete(world, node, call.query.get("name"), call.query.get("hsm_id"))
    if call.method == "POST" and verb is None:
        return _create(world, node, call.json())
    if call.method == "POST" and verb in ("archive", "unarchive"):
        return _archive(world, node, call.json(), takes_back=verb == "unarchive")
    raise unknown_object(call.method, node.id)


def settle_reviews(world: World) -> list[Node]:
    """Review what has waited long enough; the templates that have a new status."""
    review, reviewed = world.review, []
    for template_id, since in list(review.waiting.items()):
        if review.holds or world.now() - since < review.seconds:
            continue
        del review.waiting[template_id]
        if (node := world.nodes.get(template_id)) is not None:
            world.patch_node(node, {"status": review.status, "rejected_reason": review.reason})
            reviewed.append(node)
    return reviewed


def _create(world: World, account: Node, body: object) -> dict[str, object]:
    values, review, now = check_new(body), world.review, world.now()
    name, language = str(values["name"]), str(values["language"])
    if sum(now - at < _HOUR_SECONDS for at in review.created) >= _MOST_CREATED_IN_AN_HOUR:
        raise GraphError(80008)
    if world.template(account.id, name, language) is not None:
        text = f"Content for {language} already exists for this template name."
        raise _refused(2388024, "Content in This Language Already Exists", text)
    deleted = [at for (known, _), at in review.deleted.items() if known == name]
    if any(now - at < _NAME_BLOCKED_SECONDS for at in deleted):
        text = "The name of a deleted template cannot be used again for 30 days."
        raise _refused(2388023, "Message Template Language Is Being Deleted", text)
    _check_handles(world, values["components"])
    values["components"] = _as_read(values["components"])
    given: dict[str, Any] = {
        "category": review.category or values["category"],
        "status": "PENDING",
        "rejected_reason": "NONE",
        **{
            key: values[key]
            for key in ("components", "parameter_format", "message_send_ttl_seconds")
            if key in values
        },
    }
    node = world.change_template(account.id, name, language, given)
    review.created.append(now)
    review.waiting[node.id] = now
    review.writes.append(("create", name, language))
    return {"id": node.id, "status": "PENDING", "category": node.values["category"]}


def _edit(world: World, node: Node, body: object) -> dict[str, object]:
    values, review, now = (
        check_edit(body, node.values["parameter_format"]),
        world.review,
        world.now(),
    )
    if "components" in values:
        _check_handles(world, values["components"])
        values["components"] = _as_read(values["components"])
    status = node.values["status"]
    if status not in _EDITABLE:
        text = f"A template with the status {status} cannot be edited."
        raise _refused(None, "Template Cannot Be Edited", text)
    if status == "APPROVED":
        if values.get("category", node.values["category"]) != node.values["category"]:
            text = "The category of an approved template cannot be edited."
            raise _refused(None, "Category Cannot Be Changed", text)
        edits = [now - at for at in review.edited.get(node.id, [])]
        is_over_day = any(age < DAY_SECONDS for age in edits)
        if is_over_day or sum(age < 30 * DAY_SECONDS for age in edits) >= _MOST_EDITED_IN_30_DAYS:
            text = "An approved template can be edited once in 24 hours and 10 times in 30 days."
            raise _refused(None, "Edit Limit Reached", text)
        review.edited.setdefault(node.id, []).append(now)
    world.patch_node(node, {**values, "status": "PENDING", "rejected_reason": "NONE"})
    review.waiting[node.id] = now
    review.writes.append(("edit", node.values["name"], node.values["language"]))
    return {"success": True}


def _delete(
    world: World, account: Node, name: str | None, template_id: str | None
) -> dict[str, object]:
    if not name:
        raise wrong_parameter("The parameter name is required.")
    found = [
        node
        for node in world.templates(account.id)
        if node.values["name"] == name and template_id in (None, node.id)
    ]
    if not found:
        raise _refused(None, "Message Template Not Found", f"There is no template {name}.")
    if any(node.values["status"] == "DISABLED" for node in found):
        raise _refused(None, "Template Is Disabled", "A disabled template cannot be deleted.")
    for node in found:
        language = node.values["language"]
        if node.values["status"] == "APPROVED":
            world.review.deleted[(name, language)] = world.now()
        world.delete_template(account.id, name, language)
        world.review.writes.append(("delete", name, language))
    return {"success": True}


def _archive(world: World, account: Node, body: Any, *, takes_back: bool) -> dict[str, object]:
    ids = body.get("hsm_ids") if isinstance(body, dict) else None
    if not isinstance(ids, list) or not 1 <= len(ids) <= _MOST_ARCHIVED_AT_ONCE:
        raise wrong_parameter("hsm_ids must hold from 1 to 100 ids")
    known = {node.id: node for node in world.templates(account.id)}
    done: list[str] = []
    failed: dict[str, str] = {}
    before = world.review.before_archive
    for each in ids:
        node = known.get(str(each))
        status = node.values["status"] if node else None
        if node is None:
            failed[str(each)] = "Template not found"
        elif takes_back and status != "ARCHIVED":
            failed[node.id] = "Template is not archived"
        elif not takes_back and status not in _ARCHIVABLE:
            failed[node.id] = "Only approved or rejected templates can be archived"
        else:
            if not takes_back:
                before[node.id] = str(status)
            now = before.pop(node.id, "APPROVED") if takes_back else "ARCHIVED"
            world.patch_node(node, {"status": now})
            done.append(node.id)
    key = "unarchived_templates" if takes_back else "archived_templates"
    return {key: done, "failed_templates": failed}


def check_new(body: object) -> dict[str, Any]:
    """The values of a new template; raises GraphError 100 for what Meta does not take."""
    values = _object(body, _KEYS)
    for key in ("name", "language", "category", "components"):
        if not values.get(key):
            raise wrong_parameter(f"The parameter {key} is required.")
    if not isinstance(values["name"], str) or not _NAME.fullmatch(values["name"]):
        raise wrong_parameter("Param name must be lower-case letters, digits and underscores")
    if not isinstance(values["language"], str) or not _LANGUAGE.fullmatch(values["language"]):
        raise wrong_parameter("Param language must be a supported language code")
    written = str(values.get("parameter_format", "POSITIONAL")).upper()
    if written not in ("NAMED", "POSITIONAL"):
        raise wrong_parameter("Param parameter_format must be one of {NAMED, POSITIONAL}")
    values = {**values, "category": _category(values["category"]), "parameter_format": written}
    _check_components(values["components"], written)
    return values


def check_edit(body: object, parameter_format: str) -> dict[str, Any]:
    """The values of an edit; raises GraphError 100 for what cannot be edited."""
    values = _object(body, _EDITABLE_KEYS)
    if not values:
        raise wrong_parameter("An edit needs category, components or message_send_ttl_seconds")
    if "category" in values:
        values["category"] = _category(values["category"])
    if "components" in values:
        _check_components(values["components"], parameter_format)
    return values


def _object(body: object, known: frozenset[str]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise wrong_parameter("The body must be a JSON object")
    if unknown := sorted(body.keys() - known):
        raise wrong_parameter(f"Unexpected parameter {unknown[0]}")
    return dict(body)


def _category(value: object) -> str:
    if str(value).upper() not in _CATEGORIES:
        raise wrong_parameter(f"Param category must be one of {{{', '.join(_CATEGORIES)}}}")
    return str(value).upper()


def _check_handles(world: World, parts: object) -> None:
    """Raise GraphError 100 for a handle that no upload gave."""
    for value in _handles(parts):
        if value not in world.handles:
            raise wrong_parameter(f"Invalid handle: {value}")


def _handles(value: Any) -> list[str]:
    if isinstance(value, list):
        return [each for part in value for each in _handles(part)]
    if not isinstance(value, dict):
        return []
    rest = [
        each for key, part in value.items() if key != "header_handle" for each in _handles(part)
    ]
    return [*map(str, value.get("header_handle", ())), *rest]


def _as_read(value: Any) -> Any:
    """Components as Meta gives them back: with links of its own in place of handles."""
    if isinstance(value, list):
        return [_as_read(each) for each in value]
    if not isinstance(value, dict):
        return value
    link = "https://scontent.whatsapp.example/v/t61.29466-34/"
    return {
        key: [f"{link}{hashlib.sha256(str(each).encode()).hexdigest()[:12]}_n.jpg" for each in part]
        if key == "header_handle"
        else _as_read(part)
        for key, part in value.items()
    }


def _check_components(parts: object, written: str) -> None:
    if not isinstance(parts, list) or not parts:
        raise wrong_parameter("Param components must be a non-empty array")
    kinds = []
    for part in parts:
        kind = str(part.get("type", "")).upper() if isinstance(part, dict) else ""
        if kind not in _PARTS:
            raise wrong_parameter(f"Param components has an unknown type: {kind or part}")
        kinds.append(kind)
        if kind == "BUTTONS":
            _check_buttons(part.get("buttons"))
        elif kind == "CAROUSEL":
            _check_cards(part.get("cards"), written)
        elif kind in _LONGEST:
            _check_text_part(part, kind, written)
    if "BODY" not in kinds:
        raise _refused(2388043, "Missing Body", "A template needs a component of type BODY.")
    if len(kinds) != len(set(kinds)):
        raise wrong_parameter("Param components has a type twice")


def _check_cards(cards: object, written: str) -> None:
    if not isinstance(cards, list) or not 2 <= len(cards) <= 10:
        raise wrong_parameter("A carousel has from 2 to 10 cards")
    for card in cards:
        parts = card.get("components") if isinstance(card, dict) else None
        if not isinstance(parts, list) or not parts:
            raise wrong_parameter("A card needs components")
        for part in parts:
            kind = str(part.get("type", "")).upper()
            if kind == "BUTTONS":
                _check_buttons(part.get("buttons"))
            elif kind in ("HEADER", "BODY"):
                _check_text_part(part, kind, written)
            else:
                raise wrong_parameter(f"A card has no component of type {kind}")


def _check_text_part(part: Part, kind: str, written: str) -> None:
    form = str(part.get("format", "TEXT")).upper()
    if unknown := sorted(part.keys() - _TEXT_KEYS):
        raise wrong_parameter(f"Unexpected key {unknown[0]} on param components")
    if kind == "HEADER":
        if form not in _FORMATS:
            raise _refused(
                2388047, "Header Format Incorrect", f"{form} is not a format of a header."
            )
        if form in ("IMAGE", "VIDEO", "GIF", "DOCUMENT"):
            handles = (part.get("example") or {}).get("header_handle")
            if not isinstance(handles, list) or not handles or not all(map(_is_handle, handles)):
                why = "A header with media needs an example: a handle of an uploaded file."
                raise _refused(None, "Missing Sample", why)
        if form != "TEXT":
            return
    text = part.get("text")
    if not isinstance(text, str) or not text:
        raise _refused(2388043, "Missing Text", f"The {kind} needs text.")
    if len(text) > _LONGEST[kind]:
        limit = f"The {kind} has {len(text)} characters; {_LONGEST[kind]} are allowed."
        raise _refused(2388040, "Character Limit Exceeded", limit)
    places = [name.strip() for name in _PLACE.findall(text)]
    _check_places(part, kind, text, places, written)


def _check_places(part: Part, kind: str, text: str, places: Sequence[str], written: str) -> None:
    if kind == "FOOTER" and places:
        raise _refused(2388073, "Footer Format Incorrect", "A footer takes no variables.")
    if kind == "HEADER" and len(places) > 1:
        raise _refused(2388047, "Header Format Incorrect", "A header takes one variable.")
    names = list(dict.fromkeys(places))
    if written == "POSITIONAL" and names != [str(place + 1) for place in range(len(names))]:
        raise _refused(
            2388072, "Body Format Incorrect", "Variables must be {{1}}, {{2}}, in order."
        )
    if written == "NAMED" and not all(_NAMED_PLACE.fullmatch(name) for name in names):
        raise _refused(2388072, "Body Format Incorrect", "A variable has a name of a-z, 0-9 and _.")
    if not names:
        return
    _check_examples(part, kind, names, written)
    if kind == "BODY":
        bare = text.strip()
        if bare.startswith("{{") or bare.rstrip(".!?,;: ").endswith("}}"):
            raise _refused(
                2388299,
                "Leading or Trailing Params Not Allowed",
                "Variables can't be at the start or end of the template.",
            )
        words = len(_PLACE.sub(" ", text).split())
        if words < _WORDS_FOR_A_PLACE * len(places):
            raise _refused(
                2388293,
                "Params Words Ratio Exceeds Limit",
                "This template has too many variables for its length.",
            )


def _check_examples(part: Part, kind: str, names: Sequence[str], written: str) -> None:
    example = part.get("example") or {}
    key = f"{kind.lower()}_text"
    if written == "NAMED":
        rows = example.get(f"{key}_named_params") or []
        given = [str(row.get("param_name")) for row in rows if row.get("example")]
        fits = sorted(given) == sorted(names)
    else:
        rows = example.get(key) or []
        values = rows[0] if rows and isinstance(rows[0], list) else rows
        fits = len(values) == len(names) and all(values)
    if not fits:
        text = f"The {kind} needs an example for each of its {len(names)} variables."
        raise _refused(2388043, "Missing Sample", text)


def _check_buttons(buttons: object) -> None:
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= _MOST_BUTTONS:
        raise wrong_parameter(f"BUTTONS needs from 1 to {_MOST_BUTTONS} buttons")
    kinds = [str(button.get("type", "")).upper() for button in buttons]
    for kind in kinds:
        if kind not in _MOST_OF_A_KIND:
            raise wrong_parameter(f"{kind} is not a type of a button")
        if kinds.count(kind) > _MOST_OF_A_KIND[kind]:
            raise _refused(None, "Too Many Buttons", f"Too many buttons of type {kind}.")
    replies = [kind == "QUICK_REPLY" for kind in kinds]
    if sum(a != b for a, b in pairwise(replies)) > 1:
        text = "Quick replies must follow one another, before or after the other buttons."
        raise _refused(None, "Invalid Button Combination", text)
    for kind, button in zip(kinds, buttons, strict=True):
        _check_button(kind, button)


def _check_button(kind: str, button: Part) -> None:
    text = button.get("text")
    if kind not in ("COPY_CODE", "OTP", "CATALOG", "MPM", "SPM") and not text:
        raise wrong_parameter(f"A button of type {kind} needs text")
    if isinstance(text, str) and len(text) > _LONGEST_BUTTON:
        raise _refused(2388040, "Character Limit Exceeded", "A button has 25 characters at most.")
    if kind == "PHONE_NUMBER":
        phone = str(button.get("phone_number", ""))
        if not phone.lstrip("+").isdigit() or len(phone) > _LONGEST_PHONE:
            raise wrong_parameter("phone_number must be a number of 20 characters at most")
    if kind == "COPY_CODE" and not button.get("example"):
        raise _refused(2388043, "Missing Sample", "A copy code button needs an example.")
    if kind == "URL":
        url = str(button.get("url", ""))
        places = _PLACE.findall(url)
        if not url.startswith(("http://", "https://")) or len(url) > _LONGEST_URL:
            raise wrong_parameter("url must be an address of 2000 characters at most")
        if "//wa.me/" in url or "//chat.whatsapp.com/" in url:
            text = "Direct links to WhatsApp aren't allowed for buttons."
            raise _refused(2388081, "Invalid Button Link", text)
        if len(places) > 1 or (places and not url.endswith("}}")):
            raise wrong_parameter("url takes one variable, at its end")
        if places and not button.get("example"):
            raise _refused(2388043, "Missing Sample", "A URL with a variable needs an example.")


def _is_handle(value: object) -> bool:
    # What Meta gives back is a link, which it does not take as a handle.
    return isinstance(value, str) and bool(value) and not value.startswith("http")


def _refused(subcode: int | None, title: str, text: str) -> GraphError:
    return GraphError(100, subcode=subcode, message="Invalid parameter", user_text=(title, text))
