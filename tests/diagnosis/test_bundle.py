"""`doctor --bundle`: all that support needs, and nothing that is nobody else's business."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

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


def test_numbers_and_message_ids_are_masked_in_whatever_text(
    clinic, masked_texts: dict[str, str]
) -> None:
    clinic.run("channel", "edit", "shop", "--owner", " | ".join(masked_texts))

    clinic.doctor("--bundle", "support.json")

    assert " | ".join(masked_texts.values()) in Path("support.json").read_text()
