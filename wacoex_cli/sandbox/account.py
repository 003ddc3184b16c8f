"""What happens to a connected number: signed up, opened, lost, got back, and time that passes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files

from wacoex_cli.sandbox.webhooks import (
    META_KINDS,
    RESPONDIO_KINDS,
    Emitted,
    Scene,
    emit,
    post,
)
from wacoex_cli.sandbox.wire import DAY_SECONDS, Call, Reply, json_reply
from wacoex_cli.sandbox.world import (
    APP_ID,
    PARTNER_APP_ID,
    PARTNER_APP_NAME,
    PHONE_NUMBER,
    PHONE_NUMBER_ID,
    WABA,
    Node,
    World,
    app_of,
    meta_time,
    moment_of,
    subscribed_app,
)

# Meta does not say what the Graph shows after a loss; each of these has been seen.
AFTERMATHS = ("not_on_biz_app", "hidden", "green")
_CONNECTED = {"is_on_biz_app": True, "platform_type": "CLOUD_API", "status": "CONNECTED"}
_LOST = {"is_on_biz_app": False, "platform_type": "NOT_APPLICABLE", "status": "DISCONNECTED"}
# Meta: account_update, disconnection reason PRIMARY_INACTIVITY, "about 14 days".
INACTIVITY_SECONDS = 14 * DAY_SECONDS

SDK_PATH = "/sdk.js"
WINDOW_PREFIX = "/dialog/"
CONFIG_ID = "103000000000001"
_FILES: Mapping[str, tuple[str, str]] = {
    SDK_PATH: ("sdk.js", "text/javascript"),
    "/dialog/window.js": ("window.js", "text/javascript"),
    "/dialog/window.css": ("window.css", "text/css"),
}
# Meta: onboarding app users, embedded signup. What the window must be opened with.
_WANTED: Mapping[str, str] = {
    "client_id": APP_ID,
    "config_id": CONFIG_ID,
    "response_type": "code",
    "override_default_response_type": "true",
}
_EXTRAS = {"featureType": "whatsapp_business_app_onboarding", "sessionInfoVersion": "3"}


def remove_partner(
    world: World,
    *,
    reason: str | None = None,
    initiated_by: str | None = None,
    phone_number_id: str = PHONE_NUMBER_ID,
    shape: str = "onboarding",
    leaves: str = "not_on_biz_app",
    at: float | None = None,
) -> Emitted:
    """PARTNER_REMOVED; the number sends no more, and the Graph shows what `leaves` says.

    Raises ValueError for no number of this world, or an aftermath that is not known.
    """
    node = world.phone_number(phone_number_id)
    if leaves not in AFTERMATHS:
        raise ValueError(f"`leaves` must be one of {', '.join(AFTERMATHS)}")
    world.suspended.add(node.id)
    if leaves == "hidden":
        world.hidden.add(node.id)
    if leaves == "not_on_biz_app":
        node.patch(_LOST)
    if not any(each.waba_id == node.waba_id for each in _connected(world)):
        apps = world.subscribed_apps.get(node.waba_id, [])
        apps[:] = [row for row in apps if app_of(row) != PARTNER_APP_ID]
    said = {"shape": shape, "reason": reason, "initiated_by": initiated_by}
    return _update(world, node, "PARTNER_REMOVED", world.now() if at is None else at, **said)


def leave(world: World, *, phone_number_id: str = PHONE_NUMBER_ID) -> Emitted:
    """The number leaves the API and no webhook says so: from now on it is 100 with subcode 33."""
    node = world.phone_number(phone_number_id)
    world.suspended.add(node.id)
    world.hidden.add(node.id)
    return Emitted(())


def come_back(world: World, *, phone_number_id: str = PHONE_NUMBER_ID) -> Emitted:
    """A number that left is there again, as it was, and no webhook says so."""
    node = world.phone_number(phone_number_id)
    world.suspended.discard(node.id)
    world.hidden.discard(node.id)
    return Emitted(())


def move(
    world: World, *, waba_id: str = "", phone_number_id: str = PHONE_NUMBER_ID, new_id: str = ""
) -> Emitted:
    """The number is in another account now, under a new id where one is given.

    Raises ValueError for no number or account of this world.
    """
    node = world.phone_number(phone_number_id)
    account = world.nodes.get(waba_id)
    if account is None or account.kind is not WABA:
        raise ValueError(f"`{waba_id}` is not an account of this world")
    moved = replace(node, id=new_id or node.id, waba_id=waba_id)
    del world.nodes[node.id]
    world.nodes[moved.id] = moved
    return Emitted(())


def offboard(world: World, *, phone_number_id: str = PHONE_NUMBER_ID) -> Emitted:
    """ACCOUNT_OFFBOARDED: sending is suspended, everything else remains (Meta: reconnecting)."""
    node = world.phone_number(phone_number_id)
    world.suspended.add(node.id)
    return _update(world, node, "ACCOUNT_OFFBOARDED", world.now())


def reconnect(world: World, *, phone_number_id: str = PHONE_NUMBER_ID) -> Emitted:
    """ACCOUNT_RECONNECTED: the same partner is back, minutes after the offboarding."""
    node = world.phone_number(phone_number_id)
    _restore(world, node)
    return _update(world, node, "ACCOUNT_RECONNECTED", world.now())


def add_partner(
    world: World,
    *,
    phone_number_id: str = PHONE_NUMBER_ID,
    shape: str = "onboarding",
    with_partner_app: bool = True,
) -> Emitted:
    """PARTNER_ADDED: the number was connected again, and its onboarding begins again.

    Without the partner's app it was connected through the signup of an app of our own.
    """
    node = world.phone_number(phone_number_id)
    _restore(world, node, with_partner_app=with_partner_app)
    node.patch({"last_onboarded_time": meta_time(world.now())})
    return _update(world, node, "PARTNER_ADDED", world.now(), shape=shape)


def _update(world: World, node: Node, event: str, at: float, **values: str | None) -> Emitted:
    scene = Scene(world, node, at)
    return post(scene, META_KINDS["account_update"].payloads(scene, event=event, **values))


def _restore(world: World, node: Node, *, with_partner_app: bool = True) -> None:
    world.suspended.discard(node.id)
    world.hidden.discard(node.id)
    world.opened_at[node.id] = world.now()
    node.patch(_CONNECTED)
    apps = world.subscribed_apps.setdefault(node.waba_id, [])
    if with_partner_app and PARTNER_APP_ID not in map(app_of, apps):
        apps.insert(0, subscribed_app(PARTNER_APP_ID, PARTNER_APP_NAME))


def pass_days(world: World, *, days: float = 0.0, dates_back: bool = False) -> list[str]:
    """Let days pass; gives the phone numbers whose partner was removed meanwhile.

    With `dates_back` the present stays, and the past moves back (`World.date_back`).

    Raises ValueError for a time that does not pass forward.
    """
    if not 0 < days <= 3650:
        raise ValueError("`days` must be more than 0, and at most 3650")
    (world.date_back if dates_back else world.travel)(days * DAY_SECONDS)
    overdue = [
        node
        for node in _connected(world)
        if world.subscribed_apps.get(node.waba_id)
        and world.now() - _opened_at(world, node) >= INACTIVITY_SECONDS
    ]
    for node in overdue:
        remove_partner(
            world,
            reason="PRIMARY_INACTIVITY",
            initiated_by="SYSTEM",
            phone_number_id=node.id,
            at=_opened_at(world, node) + INACTIVITY_SECONDS,
        )
    return [node.id for node in overdue]


def open_phone(
    world: World, *, phone_number_id: str = PHONE_NUMBER_ID, days_ago: float = 0.0
) -> Emitted:
    """The Business app was opened on the primary phone, and something was typed there."""
    node = world.phone_number(phone_number_id)
    at = world.now() - days_ago * DAY_SECONDS
    world.opened_at[node.id] = max(at, _opened_at(world, node))
    return companion_echo(world, phone_number_id=phone_number_id, days_ago=days_ago)


def companion_echo(
    world: World, *, phone_number_id: str = PHONE_NUMBER_ID, days_ago: float = 0.0
) -> Emitted:
    """Something was typed on a companion: reported like the other, but nobody opened the phone.

    Meta reports it; respond.io lists it, and reports it too if it has a callback.
    """
    emitted = emit(world, "echo", phone_number_id=phone_number_id, days_ago=days_ago)
    if phone_number_id != PHONE_NUMBER_ID:
        return emitted
    if world.callbacks.respondio_url is not None:
        emit(world, "echo", source="respondio", days_ago=days_ago)
    else:
        node, at = world.phone_number(phone_number_id), world.now() - days_ago * DAY_SECONDS
        RESPONDIO_KINDS["echo"].payloads(Scene(world, node, at))
    return emitted


def _connected(world: World) -> list[Node]:
    numbers = [node for node in world.nodes.values() if node.kind is PHONE_NUMBER]
    on_app = [node for node in numbers if node.values["is_on_biz_app"]]
    return [node for node in on_app if node.id not in world.suspended]


def _opened_at(world: World, node: Node) -> float:
    """When the app was last opened: at the latest when the number was connected."""
    return world.opened_at.get(node.id, moment_of(node.values["last_onboarded_time"]))


def signup_window(world: World, call: Call) -> Reply:
    """Meta's side of the browser: a stand-in for its SDK, and a pretend Facebook window.

    The window is strict about how it is opened, posts what Meta's own posts (Meta: embedded signup
    implementation), and asks for a code when the customer has finished.
    """
    if call.method == "GET" and call.path in _FILES:
        return _file(*_FILES[call.path])
    if (call.method, call.path) == ("GET", "/dialog/oauth"):
        wrong = [name for name, text in _WANTED.items() if call.query.get(name) != text]
        if not _is_app_onboarding(call.query.get("extras", "")):
            wrong.append("extras")
        if not re.fullmatch(r"v\d+\.\d", call.query.get("version", "")):
            wrong.append("version")
        if not wrong:
            return _file("window.html", "text/html")
        problem = f"The parameter {wrong[0]} is missing or wrong."
        body = f"<!doctype html><title>Pretend Facebook</title><p id=refusal>{problem}</p>"
        return Reply(400, body.encode(), {"Content-Type": "text/html; charset=utf-8"})
    if (call.method, call.path) == ("POST", "/dialog/finish"):
        return _finished(world, call)
    return json_reply({"error": f"`{call.method} {call.path}` is nothing here"}, status=404)


def _file(name: str, media_type: str) -> Reply:
    body = (files(__package__) / "facebook" / name).read_bytes()
    return Reply(200, body, {"Content-Type": f"{media_type}; charset=utf-8"})


def _is_app_onboarding(text: str) -> bool:
    try:
        extras = json.loads(text)
    except ValueError:
        return False
    return isinstance(extras, dict) and _EXTRAS.items() <= extras.items()


def _finished(world: World, call: Call) -> Reply:
    """The number is connected from now on; answers with the code and the id of its WABA."""
    values = call.json()
    phone = str(values.get("phone", "")) if isinstance(values, dict) else ""
    digits = re.sub(r"\D", "", phone)
    numbers = (node for node in world.nodes.values() if node.kind is PHONE_NUMBER)
    node = next((node for node in numbers if node.phone == f"+{digits}"), None)
    if node is None:
        said = f"{digits or 'that'} is not a number of this world"
        return json_reply({"error": said}, status=400)
    add_partner(world, phone_number_id=node.id, with_partner_app=False)
    code = world.codes.issue(node.waba_id, world.now())
    return json_reply({"code": code, "waba_id": node.waba_id})
