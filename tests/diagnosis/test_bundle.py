"""`doctor --bundle`: all that support needs, and nothing that is nobody else's business."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from wacoex_cli.diagnosis.masking import masked, masked_text
from wacoex_cli.foundation.settings import SECRET_VARIABLES
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN
from wacoex_cli.sandbox.world import APP_SECRET, DEFAULT_TOKEN, PHONE

GIVEN = {"WACOEX_META_TOKEN", "WACOEX_META_APP_SECRET", "WACOEX_RESPONDIO_TOKEN"}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every secret there is, in the environment; some are lists."""
    for number, variable in enumerate(SECRET_VARIABLES.values()):
        if variable not in GIVEN:
            monkeypatch.setenv(variable, f"https://SECRET{number}a-0123,https://SECRET{number}b-01")
    return [DEFAULT_TOKEN, APP_SECRET, DEFAULT_RESPONDIO_TOKEN, "SECRET"]


def test_no_secret_and_no_whole_number_is_in_it(clinic, secrets: list[str]) -> None:
    clinic.run("channel", "edit", "shop", "--owner", f"Ana {PHONE}, token {DEFAULT_TOKEN}")
    clinic.message(type="unsupported", errors=[{"code": 131051, "title": "unknown"}])

    outcome = clinic.doctor("--bundle", "support.json")

    text = Path("support.json").read_text()
    assert outcome.data["bundle"] == "support.json"
    for variable in SECRET_VARIABLES.values():
        assert os.environ[variable] not in text
    for secret in secrets:
        assert secret not in text
    for number in (PHONE, PHONE[1:], "+65 6000 0001", "6591000001", "wamid.1"):
        assert number not in text


def test_it_holds_what_support_asks_for(clinic) -> None:
    clinic.patch(quality_rating="RED")
    clinic.run("device", "add", "wear-os")

    clinic.doctor("--bundle", "support.json")

    bundle = json.loads(Path("support.json").read_text())
    [channel] = bundle["details"]
    assert {"version", "python", "system", "settings", "secrets", "diagnosis"} <= bundle.keys()
    assert bundle["secrets"]["meta-token"] is True
    assert bundle["secrets"]["notify-urls"] is False
    assert [one["id"] for one in bundle["diagnosis"]["findings"]] == ["WX301", "WX501"]
    assert {one["name"] for one in channel["facts"]} >= {"status", "waba.currency"}
    assert channel["devices"] == [{"kind": "wear-os", "state": "linked", "visible": None}]


def test_only_its_owner_may_read_it_and_nothing_is_overwritten(clinic) -> None:
    clinic.doctor("--bundle", "support.json")
    again = clinic.doctor("--bundle", "support.json")

    assert stat.S_IMODE(Path("support.json").stat().st_mode) == 0o600
    assert (again.code, again.envelope["errors"][0]["code"]) == (3, "file_exists")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("call +6591000001 now", "call +65****0001 now"),
        ("Meta shows +65 9100 0001", "Meta shows +65****0001"),
        ("+1 (415) 555-0100", "+1******0100"),
        ("message wamid.HBgMNjU5MQ== failed", "message wamid.****MQ== failed"),
        ("2026-11-07T12:00:00.000Z and +08:00", "2026-11-07T12:00:00.000Z and +08:00"),
        ("phone_number_id 106000000000001", "phone_number_id 106000000000001"),
    ],
)
def test_what_is_masked_in_a_text(text: str, shown: str) -> None:
    assert masked_text(text) == shown


def test_parts_of_a_list_of_secrets_are_masked_too() -> None:
    assert masked({"a": ["mailto://one", 1, None]}, ["json://first, mailto://one"]) == {
        "a": ["****", 1, None]
    }
