"""`wacoex device probe`: a word is sent from each device, and comes back or does not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Channel, Details
from wacoex_cli.devices.inventory import add_device, inventory, relink_device
from wacoex_cli.devices.model import (
    THE_PHONE,
    Device,
    DeviceKind,
    Probe,
    ProbeWord,
    WordOutcome,
    new_word,
)
from wacoex_cli.devices.probe import WAITS_SECONDS, Prober
from wacoex_cli.devices.store import Devices
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.workspace import Workspace, open_workspace
from wacoex_cli.platforms.events import Source, Via
from wacoex_cli.platforms.payloads import payload_of
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.webhooks import emit
from wacoex_cli.sandbox.world import PHONE, PHONE_NUMBER_ID, WABA_ID, World

TESTER = "+6591234567"


@dataclass
class Shop:
    """A channel with a browser and a Windows computer, in a pretend world."""

    world: World
    clock: Any
    workspace: Workspace
    channel: Channel
    devices: list[Device]
    seen: list[ProbeWord] = field(default_factory=list)

    def prober(self) -> Prober:
        return Prober(self.workspace, self.channel, self.devices)

    def send(self, text: str) -> None:
        """Somebody sends that in the app, and `events listen` takes in what Meta tells."""
        emit(self.world, "echo", text=text, contact=TESTER)
        payloads = [
            payload_of(
                Source.META,
                body,
                len(json.dumps(body)),
                key=self.workspace.secrets.local_key(),
                received_at=self.clock.now(),
            )
            for body in self.world.outbox.emitted(self.world.monotonic())
        ]
        with self.workspace.state.transaction():
            EventLog(self.workspace.state).store(payloads, Via.LISTEN, self.clock.now())

    def wait(
        self, probe: Probe, *, is_over: Callable[[], bool] = lambda: False, pulls: bool = False
    ) -> Probe:
        prober = self.prober()
        reader = prober.reader(probe) if pulls else None
        return self.workspace.run(
            prober.wait(probe, reader, on_seen=self.seen.append, is_over=is_over)
        )

    def finish(self, probe: Probe, **outcomes: WordOutcome) -> Probe:
        said = {int(name[1:]): outcome for name, outcome in outcomes.items()}
        return self.prober().finish(probe, said)

    def visible(self) -> list[bool | None]:
        return [entry.visible for entry in Devices(self.workspace.state).listed(1)]

    def findings(self) -> list[Any]:
        now = self.clock.now()
        return [
            finding
            for finding in inventory(self.workspace.state, self.channel, now).findings
            if finding.id == "WX304"
        ]


@pytest.fixture
def shop(tmp_path: Path, clock: Any) -> Iterator[Shop]:
    world = default_world(
        monotonic=clock.monotonic, now=lambda: clock.now().timestamp(), onboarded_days_ago=30
    )

    def silent(_: object) -> None:
        return None

    with running(world) as url:
        environ = {
            **os.environ,
            "WACOEX_STATE": str(tmp_path / "wacoex.db"),
            "WACOEX_RESPONDIO_BASE_URL": f"{url}/respondio/v2",
            "WACOEX_RESPONDIO_TOKEN": DEFAULT_RESPONDIO_TOKEN,
        }
        with open_workspace(
            environ=environ, clock=clock, warn=silent, log=silent, announce=silent
        ) as workspace:
            ids = Details(
                PHONE,
                phone_number_id=PHONE_NUMBER_ID,
                waba_id=WABA_ID,
                respondio_channel_id=RESPONDIO_CHANNEL_ID,
            )
            now = clock.now()
            registry.add_channel(workspace.state, "shop", ids, now)
            channel = registry.known(workspace.state, "shop")
            devices = [
                add_device(workspace.state, channel, kind, None, now, now)
                for kind in (DeviceKind.WEB, DeviceKind.DESKTOP_WINDOWS)
            ]
            clock.advance(3600)
            yield Shop(world, clock, workspace, channel, devices)


def words(probe: Probe) -> dict[int, str]:
    return {word.device_id: word.word for word in probe.words}


def outcomes(probe: Probe) -> dict[int, str | None]:
    return {word.device_id: word.outcome for word in probe.words}


def test_each_device_and_the_phone_get_a_word_of_their_own(shop: Shop) -> None:
    begun = shop.prober().begin(TESTER)

    assert [entry.device_id for entry in begun.words] == [THE_PHONE, 1, 2]
    assert len(set(words(begun).values())) == 3
    assert all(
        word.isalpha() and word.islower() and len(word) == 8 for word in words(begun).values()
    )


def test_a_word_that_was_used_is_not_used_again() -> None:
    letters = iter("bababababababado")

    assert new_word({"babababa"}, lambda _: next(letters)) == "bababado"


def test_the_words_that_come_back_are_visible_and_that_is_remembered(shop: Shop) -> None:
    begun = shop.prober().begin(TESTER)
    shop.clock.advance(40)
    shop.send(words(begun)[THE_PHONE])
    shop.send(f" {words(begun)[1].upper()} ")

    ended = shop.finish(shop.wait(begun))

    assert outcomes(ended) == {THE_PHONE: "seen", 1: "seen", 2: "not_seen"}
    assert ended.heard is True
    assert shop.visible() == [True, False]
    web, _ = Devices(shop.workspace.state).listed(1)
    assert web.last_used_at == "2026-11-07T13:00:40.000Z"
    assert [entry.device_id for entry in shop.seen] == [THE_PHONE, 1]
    assert shop.findings() == []  # WX304 is silent about Windows: WX301 says it


def test_the_wait_ends_at_once_when_all_have_come_back(shop: Shop) -> None:
    begun = shop.prober().begin(TESTER)
    for word in words(begun).values():
        shop.send(word)

    waited = shop.wait(begun)

    assert waited.waiting == ()
    assert shop.clock.slept == []


def test_the_probe_ends_after_five_minutes_or_on_request(shop: Shop) -> None:
    begun = shop.prober().begin(TESTER)

    shop.wait(begun, is_over=lambda: len(shop.clock.slept) == 7)
    assert sum(shop.clock.slept) == 7
    shop.wait(begun)
    assert sum(shop.clock.slept) == 7 + WAITS_SECONDS == 307


def test_a_word_that_never_comes_back_is_wx304(shop: Shop) -> None:
    begun = shop.prober().begin(TESTER)
    shop.send(words(begun)[THE_PHONE])
    shop.finish(shop.wait(begun))

    [found] = shop.findings()

    assert shop.visible() == [False, False]
    assert found.severity == "warning"
    assert found.verify == "wacoex device probe -c shop"
    assert [entry.text for entry in found.evidence] == [
        f"`{words(begun)[1]}`, sent from 1 web `web`, never came back; other echoes did"
    ]
    assert "partner check" not in " ".join(found.remedy)
    assert "log 1 web `web` out on the phone" in found.remedy[1]


def test_when_nothing_is_heard_at_all_the_way_in_is_looked_at_first(shop: Shop) -> None:
    shop.finish(shop.wait(shop.prober().begin(TESTER)))

    [found] = shop.findings()

    assert shop.visible() == [None, None]  # nothing is learnt about any device
    assert found.title == "no probe word came back, and no other echo"
    assert "wacoex partner check" in found.remedy[0]
    assert "wacoex events subscribe --check" in found.remedy[1]
    assert len(found.evidence) == 2  # the phone and the browser


def test_a_word_that_was_not_sent_proves_nothing(shop: Shop) -> None:
    begun = shop.prober().begin(TESTER)
    shop.send(words(begun)[THE_PHONE])
    not_sent = WordOutcome.NOT_SENT

    ended = shop.finish(shop.wait(begun), d1=not_sent, d2=not_sent)

    assert outcomes(ended) == {THE_PHONE: "seen", 1: "not_sent", 2: "not_sent"}
    assert shop.visible() == [None, None]
    assert shop.findings() == []


def test_a_later_probe_or_a_new_link_settles_it(shop: Shop) -> None:
    begun = shop.prober().begin(TESTER)
    shop.send(words(begun)[THE_PHONE])
    shop.finish(shop.wait(begun))
    assert shop.findings()

    shop.clock.advance(60)
    relink_device(shop.workspace.state, shop.channel, shop.devices[0], shop.clock.now())
    assert shop.findings() == []

    again = shop.prober().begin(TESTER)
    shop.finish(shop.wait(again))
    assert shop.findings()
    third = shop.prober().begin(TESTER)
    for device_id in (THE_PHONE, 1):
        shop.send(words(third)[device_id])
    shop.finish(shop.wait(third))
    assert shop.findings() == []
    assert shop.visible() == [True, False]


def test_an_interrupted_probe_goes_on_with_the_same_words(shop: Shop) -> None:
    begun = shop.prober().begin(TESTER)
    shop.send(words(begun)[1])
    shop.prober().look(begun)
    added = add_device(
        *(shop.workspace.state, shop.channel, DeviceKind.IPAD, None),
        *(shop.clock.now(), shop.clock.now()),
    )
    shop.devices = [*shop.devices, added]

    resumed = shop.prober().begin("+6590000009")

    assert resumed.contact == TESTER
    assert {entry: words(resumed)[entry] for entry in (0, 1, 2)} == words(begun)
    assert outcomes(resumed) == {THE_PHONE: None, 1: "seen", 2: None, 3: None}
    shop.clock.advance(25 * 3600)
    assert shop.prober().unfinished() is None
    assert not set(words(shop.prober().begin(TESTER)).values()) & set(words(resumed).values())


def test_a_word_of_another_probe_is_ignored(shop: Shop) -> None:
    begun = shop.prober().begin(TESTER)
    shop.send("We open at nine.")
    shop.send(f"{words(begun)[1]} is the word")

    ended = shop.finish(shop.wait(begun))

    assert ended.heard is True
    assert set(outcomes(ended).values()) == {"not_seen"}


def test_without_a_listener_the_words_are_read_at_respondio(shop: Shop) -> None:
    begun = shop.prober().begin(TESTER)
    for word in words(begun).values():
        emit(shop.world, "echo", source="respondio", contact=TESTER, text=word)

    waited = shop.wait(begun, pulls=True)

    assert set(outcomes(waited).values()) == {"seen"}
    assert shop.clock.slept == []


@pytest.mark.parametrize("token", [DEFAULT_RESPONDIO_TOKEN, "another"])
def test_a_respondio_that_refuses_or_knows_nobody_does_not_end_the_wait(
    shop: Shop, token: str
) -> None:
    shop.world.respondio.token = token
    begun = shop.prober().begin(TESTER)

    def sent() -> bool:
        if len(shop.clock.slept) == 2:
            for word in words(begun).values():
                shop.send(word)
        return False

    assert shop.wait(begun, is_over=sent, pulls=True).waiting == ()
