"""docs/architecture.md names the files that a row and a webhook really pass through."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

import wacoex_cli
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID

CHECKOUT = Path(wacoex_cli.__file__).parents[1]
PAGE = CHECKOUT / "docs" / "architecture.md"
ROW_PACKAGES = (
    "audience",
    "contacts",
    "templates",
    "ledger",
    "pressure",
    "sending",
    "broadcast",
    "platforms",
)
WEBHOOK_PACKAGES = ("events", "platforms", "channels", "diagnosis")
APP_SECRET = "app-secret-0123456789"


def named_on_the_page(heading: str, packages: tuple[str, ...]) -> set[str]:
    """The files of these packages that a section of the page names."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"`([a-z_]+/[a-z_]+\.py)`", section)
    return {name for name in found if name.split("/")[0] in packages}


class Traced:
    """The program in processes of its own, with the files whose functions they called."""

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        self._files = directory / "files.txt"
        self._environ = {**os.environ, **environ, "PYTHONPATH": str(CHECKOUT)}

    def start(self, *arguments: str, traced: bool = True) -> subprocess.Popen[str]:
        program = ["-m", "wacoex_cli"]
        if traced:
            program = ["-m", "tests.support.trace", str(self._files)]
        return subprocess.Popen(
            [sys.executable, *program, *arguments],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, traced: bool = True) -> str:
        process = self.start(*arguments, traced=traced)
        out, err = process.communicate(timeout=60)
        assert process.returncode in (0, 1, 2, 3), err
        return out

    def files(self, packages: tuple[str, ...]) -> set[str]:
        found = self._files.read_text(encoding="utf-8").split()
        return {name for name in found if name.split("/")[0] in packages}


@pytest.fixture
def traced(tmp_path: Path) -> Any:
    with running(default_world()) as base_url:
        program = Traced(
            tmp_path,
            {
                "WACOEX_META_BASE_URL": base_url,
                "WACOEX_META_TOKEN": DEFAULT_TOKEN,
                "WACOEX_META_APP_SECRET": APP_SECRET,
                "WACOEX_WEBHOOK_VERIFY_TOKEN": "verify-0123456789",
            },
        )
        ids = ("--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID)
        program.run("channel", "add", "shop", "--phone", PHONE, *ids, traced=False)
        yield program


def test_a_row_from_the_plan_to_the_report(traced: Traced, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("phone,name\n+6591234567,Ana\n")
    template = ("--template", "order_ready", "--lang", "en_US")
    values = ("--param", "1=name", "--text", "2=A1")
    traced.run("broadcast", "plan", str(people), *template, *values, "--per-day", "250")
    traced.run("broadcast", "send", "--yes")
    assert "+6591234567" in traced.run("broadcast", "report", "1", "--csv", "-")

    files = traced.files(ROW_PACKAGES)
    assert files == named_on_the_page("A broadcast row", ROW_PACKAGES)
    assert len(files) <= 48


def test_a_webhook_until_status(traced: Traced) -> None:
    listener = traced.start("events", "listen", "--port", "0", "--json")
    assert listener.stdout is not None
    url = json.loads(listener.stdout.readline())["url"]
    message = {"from": "6591234567", "id": "wamid.1", "timestamp": "1790000000", "type": "text"}
    metadata = {"display_phone_number": PHONE, "phone_number_id": PHONE_NUMBER_ID}
    value = {"metadata": metadata, "messages": [{**message, "text": {"body": "hello"}}]}
    entry = {"id": WABA_ID, "changes": [{"field": "messages", "value": value}]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    digest = hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={digest}"}
    answer = httpx.post(f"{url}/webhooks/meta", content=body, headers=headers, trust_env=False)
    assert answer.status_code == 200
    listener.send_signal(signal.SIGTERM)
    listener.communicate(timeout=60)
    assert "shop" in traced.run("status", "--offline")

    files = traced.files(WEBHOOK_PACKAGES)
    assert files == named_on_the_page("A webhook", WEBHOOK_PACKAGES)
    assert len(files) <= 20


def test_every_file_that_the_page_names_exists() -> None:
    names = re.findall(r"`([a-z_]+(?:/[A-Za-z0-9_]+)+\.(?:py|toml|md))`", PAGE.read_text())
    assert len(names) > 30
    for name in names:
        assert (CHECKOUT / "wacoex_cli" / name).exists() or (CHECKOUT / name).exists(), name
