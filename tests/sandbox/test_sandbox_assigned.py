"""The users of a WABA, and the channels of the workspace, in the pretend world."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from wacoex_cli.sandbox.world import BUSINESS_ID, PHONE_NUMBER_ID, WABA_ID

Call = Callable[..., httpx.Response]
USERS = f"/v26.0/{WABA_ID}/assigned_users"


def test_users_are_listed_for_the_portfolio_that_owns_the_account(call: Call) -> None:
    params = {"business": BUSINESS_ID, "fields": "id,name,tasks"}

    [user] = call("GET", USERS, params=params).json()["data"]

    assert user == {"id": "122000000000001", "name": "wacoex", "tasks": ["MANAGE", "DEVELOP"]}
    assert call("GET", USERS, params={"business": "1"}).json()["data"] == []


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (USERS, {}),
        (USERS, {"business": BUSINESS_ID, "fields": "email"}),
        (f"/v26.0/{PHONE_NUMBER_ID}/assigned_users", {"business": BUSINESS_ID}),
    ],
)
def test_what_meta_would_refuse_is_refused(call: Call, path: str, params: dict[str, str]) -> None:
    answer = call("GET", path, params=params)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 100)


def test_users_and_respondio_channels_can_be_set(call: Call) -> None:
    users = [{"id": "1", "name": "Ana", "tasks": ["VIEW_COST"]}]
    call("POST", "/_sandbox/world", json={"assigned_users": {WABA_ID: users}})
    call("POST", "/_sandbox/respondio", json={"channels": [{"id": 5, "name": "New"}]})

    shown = call("GET", USERS, params={"business": BUSINESS_ID}).json()["data"]
    listed = call("GET", "/respondio/v2/space/channel", token="sandbox-respondio-token").json()

    assert shown == [{"id": "1", "name": "Ana"}]
    assert [one["id"] for one in listed["items"]] == [5]
    assert call("POST", "/_sandbox/respondio", json={"channels": [{}]}).status_code == 400
