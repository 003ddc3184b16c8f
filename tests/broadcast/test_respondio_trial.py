"""`broadcast plan --test` through respond.io, which tells statuses only to those who ask."""

from __future__ import annotations

import pytest

from wacoex_cli.channels.model import Provider
from wacoex_cli.sandbox.faults import Fault

ME = "+6581234567"
PLAN = ("broadcast", "plan", "people.csv", "--template", "spring_sale", "--lang", "en_US")


@pytest.fixture
def provider() -> Provider:
    return Provider.RESPONDIO


@pytest.fixture
def plan(shop, cli, monkeypatch):
    """Plan for two contacts and send the test to ME; gives the answer."""
    shop.befriend(2)
    shop.file("people.csv", [(shop.phone(1), "Ana"), (shop.phone(2), "Bo")], ("phone", "name"))
    monkeypatch.chdir(shop.directory)

    def run_it():
        return cli(*PLAN, "--param", "first_name=name", "--test", ME, "--yes", "--json")

    return run_it


def sent_to(shop) -> list[str | None]:
    return [one.recipient for one in shop.world.log.arrivals]


def test_a_test_waits_for_what_respondio_says_of_it(shop, plan):
    shop.world.respondio.add_contact(ME, "Me")

    planned = plan()

    assert planned.code == 0
    assert planned.data["test"]["state"] in {"delivered", "read"}
    assert sent_to(shop) == [ME]


def test_a_test_that_failed_is_told_with_its_code(shop, plan):
    shop.world.respondio.add_contact(ME, "Me")
    shop.faults(Fault("status_failed", code=131026))

    planned = plan()

    assert planned.code == 5
    assert (planned.data["test"]["state"], planned.data["test"]["code"]) == ("failed", 131026)


def test_a_test_to_somebody_who_is_no_contact_says_so(shop, plan):
    planned = plan()

    assert planned.code == 5
    assert "is no contact at respond.io" in planned.err + planned.out
    assert shop.world.log.accepted() == []
