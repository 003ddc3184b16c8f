"""Meta's side of the browser: a stand-in for its SDK, and a pretend Facebook window.

The window is strict about how it is opened, and posts what Meta's own posts (Meta: embedded
signup implementation).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from wacoex_cli.sandbox.nodes import PHONE_NUMBER, Node
from wacoex_cli.sandbox.partner import add_partner
from wacoex_cli.sandbox.wire import Call, Reply, json_reply
from wacoex_cli.sandbox.world import APP_ID

if TYPE_CHECKING:
    from wacoex_cli.sandbox.world import World

SDK_PATH = "/sdk.js"
WINDOW_PREFIX = "/dialog/"
CONFIG_ID = "103000000000001"

_FILES: Mapping[str, tuple[str, str]] = {
    SDK_PATH: ("sdk.js", "text/javascript"),
    "/dialog/window.js": ("window.js", "text/javascript"),
    "/dialog/window.css": ("window.css", "text/css"),
}
_WINDOW = "/dialog/oauth"
_FINISH = "/dialog/finish"
# Meta: onboarding app users. What the window must be opened with.
_EXTRAS = {"featureType": "whatsapp_business_app_onboarding", "sessionInfoVersion": "3"}


def is_for_browser(path: str) -> bool:
    """Whether a path belongs to this face of the world."""
    return path == SDK_PATH or path.startswith(WINDOW_PREFIX)


def answer(world: World, call: Call) -> Reply:
    """The script, the window, or what the window asks for when the customer has finished."""
    if call.method == "GET" and call.path in _FILES:
        return _file(*_FILES[call.path])
    if call.method == "GET" and call.path == _WINDOW:
        problem = _why_refused(call.query)
        return _file("window.html", "text/html") if problem is None else _refused(problem)
    if call.method == "POST" and call.path == _FINISH:
        return _finished(world, call)
    return json_reply({"error": f"`{call.method} {call.path}` is nothing here"}, status=404)


def _file(name: str, media_type: str) -> Reply:
    body = (files(__package__) / "facebook" / name).read_bytes()
    return Reply(200, body, {"Content-Type": f"{media_type}; charset=utf-8"})


def _refused(problem: str) -> Reply:
    body = f"<!doctype html><title>Pretend Facebook</title><p id=refusal>{problem}</p>"
    return Reply(400, body.encode(), {"Content-Type": "text/html; charset=utf-8"})


def _why_refused(query: Mapping[str, str]) -> str | None:
    """What is wrong with how the window was opened; None when nothing is."""
    wanted: tuple[tuple[str, Callable[[str], bool]], ...] = (
        ("client_id", lambda given: given == APP_ID),
        ("config_id", lambda given: given == CONFIG_ID),
        ("response_type", lambda given: given == "code"),
        ("override_default_response_type", lambda given: given == "true"),
        ("extras", _is_app_onboarding),
        ("version", lambda given: re.fullmatch(r"v\d+\.\d", given) is not None),
    )
    wrong = [name for name, is_right in wanted if not is_right(query.get(name, ""))]
    return f"The parameter {wrong[0]} is missing or wrong." if wrong else None


def _is_app_onboarding(text: str) -> bool:
    try:
        extras = json.loads(text)
    except ValueError:
        return False
    return isinstance(extras, dict) and all(extras.get(key) == _EXTRAS[key] for key in _EXTRAS)


def _finished(world: World, call: Call) -> Reply:
    """The number is connected from now on; answers with the code and the id of its WABA."""
    values = call.json()
    digits = re.sub(r"\D", "", str((values if isinstance(values, dict) else {}).get("phone", "")))
    node = next((one for one in world.nodes.values() if _digits(one) == digits), None)
    if node is None:
        return json_reply({"error": f"{digits or 'that'} is no number of this world"}, status=400)
    add_partner(world, phone_number_id=node.id, with_partner_app=False)
    code = world.codes.issue(node.waba_id, world.now())
    return json_reply({"code": code, "waba_id": node.waba_id})


def _digits(node: Node) -> str | None:
    if node.kind is not PHONE_NUMBER:
        return None
    return re.sub(r"\D", "", str(node.values["display_phone_number"]))
