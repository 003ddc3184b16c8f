"""Meta's side of the Embedded Signup: the code of its window becomes a token."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from wacoex_cli.errors import CredentialError, TemporaryError
from wacoex_cli.foundation.answer import NotSentError, UnansweredError
from wacoex_cli.foundation.secrets import Secret, why_unfit
from wacoex_cli.platforms.graph import error_of
from wacoex_cli.platforms.replies import Refused, refusal_in

if TYPE_CHECKING:
    from wacoex_cli.foundation.answer import Answer
    from wacoex_cli.foundation.http import Http

CODE_SECONDS = 30
"""How long a code can be exchanged (Meta: embedded signup implementation)."""

CODE_EXPIRED, CODE_USED = 36007, 36009
"""Subcodes of code 100 for a code that came too late, or for the second time."""

_NO_CONNECTION_TRIES = 5
_PAUSE_SECONDS = 2.0
_WRONG_APP = 101
_BEGIN_AGAIN = "the code of the window is lost; run the command again and sign up once more"


@dataclasses.dataclass(frozen=True)
class SignupApp:
    """The own Meta app, and where its Graph API is."""

    app_id: str
    secret: Secret
    base_url: str
    api_version: str


async def exchange_code(http: Http, app: SignupApp, code: str) -> Secret:
    """The token for a code, bound to the customer who signed up; asked for in one single try.

    Only a request that never left is made again, as long as the code lives. Neither code,
    secret nor token stands in an error. Source: "Meta: onboarding customers as a tech provider".

    Raises:
        CredentialError: the app id and the app secret do not belong together.
        RefusedError: Meta refuses the code; `details["subcode"]` says whether it came too late.
        TemporaryError: no usable answer; a code is good for one request, so it is lost.
    """
    answer = await _asked(http, app, code)
    refused = refusal_in(answer, http.clock.now())
    if refused is not None:
        raise _error(_without(refused, (code, app.secret.reveal())))
    told = answer.json if isinstance(answer.json, dict) else {}
    value = told.get("access_token")
    if answer.status != 200 or not isinstance(value, str) or why_unfit(value) is not None:
        raise _lost(f"HTTP {answer.status} without a token")
    return Secret(value, "the signup")


async def _asked(http: Http, app: SignupApp, code: str) -> Answer:
    params = {"client_id": app.app_id, "client_secret": app.secret.reveal(), "code": code}
    url = f"{app.base_url}/{app.api_version}/oauth/access_token"
    for left in reversed(range(_NO_CONNECTION_TRIES)):
        try:
            return await http.send(url, method="GET", headers={}, params=params, json=None)
        except NotSentError as error:
            reason = error.reason
        except UnansweredError as error:
            reason = error.reason
            break
        if left:
            await http.clock.sleep(_PAUSE_SECONDS)
    raise _lost(reason)


def _without(refused: Refused, secrets: tuple[str, ...]) -> Refused:
    def clean(text: str) -> str:
        for one in secrets:
            text = text.replace(one, "****")
        return text

    return dataclasses.replace(
        refused, message=clean(refused.message), details=clean(refused.details)
    )


def _error(refused: Refused) -> Exception:
    if refused.code == _WRONG_APP or "client secret" in refused.message.lower():
        return CredentialError(
            "Meta does not know this app id with this app secret",
            hint="compare both in the App Dashboard, App settings, Basic; then run"
            " `wacoex auth login meta-app-secret`",
            code="app_secret_wrong",
        )
    return error_of(refused)


def _lost(why: str) -> TemporaryError:
    return TemporaryError(f"Meta gave no token: {why}", hint=_BEGIN_AGAIN, code="code_lost")
