"""`GET /oauth/access_token`: a code of the signup window becomes a token of that customer."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from wacoex_cli.sandbox.courier import app_secret
from wacoex_cli.sandbox.refusals import Refusal
from wacoex_cli.sandbox.world import APP_ID, Token

if TYPE_CHECKING:
    from wacoex_cli.sandbox.wire import Call
    from wacoex_cli.sandbox.world import World

TOKEN_SECONDS = 60 * 86_400.0
"""How long a token lives that comes of the stock configuration (Meta: embedded signup)."""

_NEEDED = ("client_id", "client_secret", "code")


def exchange(world: World, call: Call) -> dict[str, object]:
    """The token for a code; it sees the WABA of that signup and nothing else.

    Raises Refusal 101 for another app, 1 for a wrong secret, 100 for a code that is no good or
    a `redirect_uri`, which the window was not opened with.
    """
    for name in _NEEDED:
        if not call.query.get(name):
            raise Refusal(101, message=f"Missing {name} parameter.")
    if call.query["client_id"] != APP_ID:
        raise Refusal(101, message="Error validating application. Invalid application ID.")
    if not hmac.compare_digest(call.query["client_secret"].encode(), app_secret(world).encode()):
        raise Refusal(1, message="Error validating client secret.")
    if call.query.get("redirect_uri"):
        message = (
            "Error validating verification code. Please make sure your redirect_uri is the same"
        )
        raise Refusal(100, subcode=36008, message=message)
    waba_id = world.codes.take(call.query["code"], world.now())
    value = f"EAAsandboxsignup{world.next_number():010}"
    world.tokens[value] = Token(
        value,
        waba_ids=frozenset({waba_id}),
        business_id="",
        expires_at=world.now() + TOKEN_SECONDS,
    )
    return {"access_token": value, "token_type": "bearer"}
