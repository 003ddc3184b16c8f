"""Who is calling, and what the token may see and do."""

from __future__ import annotations

import hashlib
import hmac

from wacoex_cli.sandbox.nodes import Node
from wacoex_cli.sandbox.refusals import Refusal, unknown_object
from wacoex_cli.sandbox.wire import Call
from wacoex_cli.sandbox.world import Token, World


def token_of(world: World, call: Call) -> Token:
    """The token of a request; raises Refusal 0 without one, 190 when it is no good.

    Subcodes of 190: 463 expired, 467 invalid (Meta: error handling).
    """
    scheme, _, value = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not value:
        raise Refusal(0, message="An access token is required to request this resource.")
    token = world.tokens.get(value)
    if token is None:
        raise Refusal(190)
    if token.revoked:
        raise _invalid_token(467, "the session has been invalidated")
    if token.expired(world.now()):
        raise _invalid_token(463, "Session has expired")
    _check_proof(world, call, value)
    return token


def _invalid_token(subcode: int, reason: str) -> Refusal:
    message = f"Error validating access token: {reason}."
    return Refusal(190, subcode=subcode, message=message)


def _check_proof(world: World, call: Call, token: str) -> None:
    """HMAC-SHA256 of the token, keyed by the app secret (Meta: secure requests)."""
    secret = world.settings.app_secret
    if secret is None:
        return
    given = call.query.get("appsecret_proof")
    if given is None:
        message = "API calls from the server require an appsecret_proof argument"
        raise Refusal(100, message=message, error_type="GraphMethodException")
    expected = hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(given.encode(), expected.encode()):
        message = "Invalid appsecret_proof provided in the API argument"
        raise Refusal(100, message=message, error_type="GraphMethodException")


def visible_node(world: World, token: Token, call: Call, node_id: str, scope: str) -> Node:
    """The node, if the token may use it.

    Raises Refusal 100 with subcode 33 when it is unknown or somebody else's, 200 when it is in
    the token's portfolio but not assigned to it, and 10 when the token lacks the scope.
    """
    node = world.nodes.get(node_id)
    if node is None or node.id in world.hidden:
        raise unknown_object(call.method, node_id)
    if node.waba_id not in token.waba_ids:
        waba = world.nodes[node.waba_id]
        if waba.values.get("owner_business") != token.business_id:
            raise unknown_object(call.method, node_id)
        raise Refusal(200, message="(#200) You do not have the necessary permissions")
    if scope not in token.scopes:
        raise Refusal(10, message=f"(#10) This call requires the {scope} permission")
    return node


def examine(world: World, value: str) -> dict[str, object]:
    """What `debug_token` says of a token (Meta: debug_token)."""
    token = world.tokens.get(value)
    if token is None:
        error = {"code": 190, "message": "Invalid OAuth access token."}
        return {"error": error, "is_valid": False, "scopes": []}
    granular = [
        {"scope": scope, "target_ids": sorted(token.waba_ids)} for scope in sorted(token.scopes)
    ]
    return {
        "app_id": token.app_id,
        "type": token.type,
        "application": "wacoex sandbox",
        "is_valid": not token.revoked and not token.expired(world.now()),
        "expires_at": int(token.expires_at),
        "data_access_expires_at": int(token.data_access_expires_at),
        "scopes": sorted(token.scopes),
        "granular_scopes": granular,
    }
