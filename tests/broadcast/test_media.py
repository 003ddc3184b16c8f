"""Pictures of messages: uploaded once, renewed when they end, and never at the cost of a row."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.pictures import picture, video
from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import UsageError
from wacoex_cli.ledger.model import RepeatPolicy
from wacoex_cli.media.sources import given_media
from wacoex_cli.media.store import MediaStore
from wacoex_cli.media.upload import MediaDesk
from wacoex_cli.platforms.answers import Refused
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.templates.values import given_by

DRIVER = Path(__file__).parents[1] / "support/sender_process.py"
COLOURS = ("red", "green", "blue", "black", "white")
PLAN = ("broadcast", "plan", "people.csv", "--template", "new_menu", "--lang", "en_US")
DAY = 86_400.0


@pytest.fixture(autouse=True)
def here(shop, monkeypatch):
    monkeypatch.chdir(shop.directory)


@pytest.fixture
def pictures(shop):
    for colour in COLOURS:
        (shop.directory / f"{colour}.jpg").write_bytes(picture(colour=colour))


@pytest.fixture
def planned(shop, pictures):
    """A broadcast to this many people, with the pictures in turn, or one for all."""

    def plan(people: int, media: str = "header=column:picture"):
        rows = [(shop.phone(row), "Ana", f"{COLOURS[row % 5]}.jpg") for row in range(1, people + 1)]
        sources = [*given_by({"1": "name"}, {}), *given_media([media])]
        path = shop.file("people.csv", rows, ("phone", "name", "picture"))
        return shop.planned(path, template="new_menu", sources=sources)

    return plan


def uploads(shop):
    """How often each picture was uploaded."""
    return Counter({sha256: n for (sha256, _), n in shop.world.uploads.items()})


def test_200_people_and_5_pictures_are_5_uploads(shop, planned):
    broadcast = planned(200)

    shop.send(broadcast)

    assert shop.counts(broadcast) == {"accepted": 200}
    assert sorted(uploads(shop).values()) == [1] * 5
    assert shop.taken_twice() == []


def test_the_next_broadcast_uploads_nothing_again(shop, planned):
    shop.send(planned(5))
    again = planned(10)

    shop.send(again, repeats=RepeatPolicy.SKIPPED)

    assert sorted(uploads(shop).values()) == [1] * 5


def test_one_picture_for_all_is_one_upload(shop, planned):
    broadcast = planned(20, "header=red.jpg")

    shop.send(broadcast)

    assert shop.counts(broadcast) == {"accepted": 20}
    assert list(uploads(shop).values()) == [1]


def test_the_preview_names_the_picture_of_each_person(shop, pictures, cli):
    rows = [(shop.phone(1), "Ana", "red.jpg"), (shop.phone(2), "Ben", "blue.jpg")]
    shop.file("people.csv", rows, ("phone", "name", "picture"))
    options = ("--param", "1=name", "--media", "header=column:picture", "--dry-run", "--json")

    preview = cli(*PLAN, *options, "--preview", 2).data["preview"]

    read = [row["text"].splitlines()[0] for row in preview]
    assert read == ["(IMAGE red.jpg)", "(IMAGE blue.jpg)"]


def test_killed_in_the_middle_and_resumed_it_uploads_nothing_again(shop, planned, eventually):
    broadcast = planned(200)
    sender = shop.start(DRIVER, shop.base_url, broadcast.broadcast_id, 60.0, 60.0)

    asyncio.run(eventually(lambda: len(shop.world.log) >= 20))
    sender.kill()
    sender.communicate()
    shop.resume(broadcast)

    assert sum(uploads(shop).values()) == 5
    assert all_went_out(shop, broadcast, 200)


@pytest.mark.parametrize("stage", range(5))
def test_killed_while_an_upload_is_open_it_costs_one_more(shop, planned, eventually, stage):
    broadcast = planned(200)
    # The sandbox has the file, and its answer comes late.
    shop.faults(
        Fault("latency", on="reads", path="/media", arrivals=frozenset({stage + 1}), seconds=30.0)
    )
    sender = shop.start(DRIVER, shop.base_url, broadcast.broadcast_id, 400.0, 60.0)

    asyncio.run(eventually(lambda: len(shop.world.uploads) == stage + 1))
    sender.kill()
    sender.communicate()
    shop.faults()
    shop.resume(broadcast)

    assert sum(uploads(shop).values()) == 6
    assert all_went_out(shop, broadcast, 200)


@pytest.mark.parametrize("messages", [0, 1, 60])
def test_a_kill_at_any_moment_makes_5_or_6_uploads(shop, planned, eventually, messages):
    broadcast = planned(200)
    shop.faults(Fault("latency", on="all", seconds=0.01, seconds_max=0.1))
    sender = shop.start(DRIVER, shop.base_url, broadcast.broadcast_id, 100.0, 60.0)

    asyncio.run(eventually(lambda: len(shop.world.log) >= messages and shop.world.uploads))
    sender.kill()
    sender.communicate()
    shop.resume(broadcast)

    assert sum(uploads(shop).values()) in (5, 6)
    assert all_went_out(shop, broadcast, 200)


def all_went_out(shop, broadcast, people):
    """Whether everybody has the message once; a row that was open at a kill may be ambiguous."""
    counts = shop.counts(broadcast)
    assert shop.taken_twice() == []
    assert counts.keys() <= {"accepted", "ambiguous"}, counts
    assert counts.get("ambiguous", 0) <= 64
    return sum(counts.values()) == people


def test_an_id_that_ends_in_the_middle_of_a_run_is_renewed(shop, planned, eventually):
    broadcast = planned(200)

    async def end_them():
        await eventually(lambda: len(shop.world.log.accepted()) >= 50)
        for media_id in list(shop.world.media):
            shop.world.end_medium(media_id)

    shop.send(broadcast, rate=100, during=end_them)

    assert shop.counts(broadcast) == {"accepted": 200}
    assert shop.taken_twice() == []
    assert sorted(uploads(shop).values()) == [2] * 5


def test_an_id_is_renewed_before_its_30_days_are_over(shop, planned):
    shop.send(planned(5))
    shop.clock.leap(29.5 * DAY)
    later = planned(10)

    shop.send(later)

    assert sorted(uploads(shop).values()) == [2] * 5
    assert shop.counts(later)["accepted"] >= 5


def test_a_file_that_meta_refuses_again_and_again_causes_no_endless_loop(shop, planned):
    broadcast = planned(1)
    shop.faults(Fault("refuse", code=131053))

    shop.send(broadcast)

    assert shop.counts(broadcast) == {"rejected": 1}
    assert sum(uploads(shop).values()) <= 4


def test_two_senders_at_once_upload_a_picture_once(shop, planned):
    first, second = planned(3, "header=red.jpg"), planned(3, "header=red.jpg")
    shop.faults(Fault("latency", on="reads", path="/media", seconds=0.5))

    senders = [
        shop.start(DRIVER, shop.base_url, each.broadcast_id, 400.0, 60.0)
        for each in (first, second)
    ]
    for sender in senders:
        sender.communicate()

    assert list(uploads(shop).values()) == [1]


def test_a_failed_upload_is_tried_again(shop, planned):
    broadcast = planned(5, "header=red.jpg")
    shop.faults(Fault("server_error", on="reads", path="/media", count=1))

    shop.send(broadcast)

    assert shop.counts(broadcast) == {"accepted": 5}


def test_without_its_picture_a_broadcast_pauses_before_the_first_row(shop, planned):
    broadcast = planned(5)
    shop.faults(Fault("refuse", on="reads", path="/media", code=100, details="no"))

    sent = shop.send(broadcast)

    assert shop.counts(broadcast) == {"pending": 5}
    assert "Meta does not take" in sent.stop.reason
    assert len(shop.world.log) == 0


def test_the_same_picture_under_another_name_is_the_same_message(shop, cli, planned):
    shop.send(planned(3, "header=red.jpg"))
    (shop.directory / "menu.jpg").write_bytes(picture(colour="red"))
    (shop.directory / "other.jpg").write_bytes(picture(colour="green"))

    again = cli(*PLAN, "--param", "1=name", "--media", "header=menu.jpg", "--json")
    other = cli(*PLAN, "--param", "1=name", "--media", "header=other.jpg", "--json")

    assert "already have this message" in again.out
    assert "already have this message" not in other.out


def test_an_id_of_meta_counts_as_the_picture_it_stands_for(shop, cli, planned):
    shop.send(planned(3, "header=red.jpg"))
    media_id = next(iter(shop.world.media))

    again = cli(*PLAN, "--param", "1=name", "--media", f"header=id:{media_id}", "--json")

    assert "already have this message" in again.out


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("menu.webp", picture("WEBP"), "WebP"),
        ("menu.jpg", picture("JPEG") + bytes(5 * 1024**2), "5 MB at most"),
        ("menu.jpg", picture("JPEG", "CMYK"), "CMYK"),
        ("menu.mp4", video(), "video/mp4"),
        ("menu.jpg", None, "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_when_the_broadcast_is_planned(shop, cli, name, content, why):
    shop.file("people.csv", [(shop.phone(1), "Ana")], ("phone", "name"))
    if content is not None:
        (shop.directory / name).write_bytes(content)

    refused = cli(*PLAN, "--param", "1=name", "--media", f"header={name}")

    assert refused.code == 2
    assert why in refused.err
    assert shop.state.rows("SELECT * FROM broadcasts") == []


def test_a_wrong_file_in_a_list_leaves_that_person_out_with_the_reason(shop, cli, pictures):
    (shop.directory / "menu.webp").write_bytes(picture("WEBP"))
    rows = [(shop.phone(1), "Ana", "red.jpg"), (shop.phone(2), "Eva", "menu.webp")]
    rows += [(shop.phone(3), "Tom", "../../etc/hosts"), (shop.phone(4), "Lim", "/etc/hosts")]
    shop.file("people.csv", rows, ("phone", "name", "picture"))

    planned = cli(*PLAN, "--param", "1=name", "--media", "header=column:picture", "--json")

    assert planned.code == 0, planned.err
    assert planned.data["recipients"] == 1
    assert "WebP" in planned.out
    assert "outside of the folder" in planned.out


def test_a_file_that_changed_since_the_plan_is_refused_before_the_first_row(shop, cli, planned):
    broadcast = planned(3, "header=red.jpg")
    (shop.directory / "red.jpg").write_bytes(picture(colour="pink"))

    refused = cli("broadcast", "send", broadcast.broadcast_id, "--yes")

    assert refused.code == 5
    assert "WX514" in refused.err
    assert "red.jpg is another file now" in refused.err
    assert len(shop.world.log) == 0


def test_a_file_whose_id_lives_need_not_be_there(shop, cli, planned):
    shop.send(planned(3, "header=red.jpg"))
    (shop.directory / "red.jpg").unlink()
    known = MediaStore(shop.state).ids()[0].media_id

    plan = (*PLAN, "--param", "1=name", "--media", f"header=id:{known}", "--json")
    broadcast = cli(*plan).data["broadcast_id"]
    sent = cli("broadcast", "send", broadcast, "--yes", "--again")

    assert sent.code == 0, sent.err


def test_an_unknown_id_is_refused(shop, cli):
    shop.file("people.csv", [(shop.phone(1), "Ana")], ("phone", "name"))

    refused = cli(*PLAN, "--param", "1=name", "--media", "header=id:42")

    assert refused.code == 2
    assert "Meta has no file 42 for this number" in refused.err


class _Site(BaseHTTPRequestHandler):
    """Serves a picture, and what goes wrong with links."""

    def do_GET(self) -> None:
        pages = {
            "/menu.jpg": (200, "image/jpeg", picture()),
            "/page.jpg": (200, "text/html", b"<!DOCTYPE html><html>log in</html>"),
            "/bytes.jpg": (200, "application/octet-stream", picture()),
            "/big.jpg": (200, "image/jpeg", picture() + bytes(5 * 1024**2)),
            "/closed.jpg": (403, "text/plain", b"no"),
            "/moved.jpg": (302, "text/plain", b""),
            "/loop.jpg": (302, "text/plain", b""),
            "/inside.jpg": (302, "text/plain", b""),
        }
        status, media_type, body = pages.get(self.path, (404, "text/plain", b"no"))
        targets = {"/moved.jpg": "/menu.jpg", "/loop.jpg": "/loop.jpg"}
        targets["/inside.jpg"] = "http://10.0.0.1/menu.jpg"
        self.send_response(status)
        if self.path in targets:
            self.send_header("Location", targets[self.path])
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_link_that_works_is_sent_as_it_is(shop, cli, site):
    shop.file("people.csv", [(shop.phone(1), "Ana")], ("phone", "name"))

    for name in ("menu.jpg", "moved.jpg"):
        media = f"header={site}/{name}"
        planned = cli(*PLAN, "--param", "1=name", "--media", media, "--json")
        sent = cli("broadcast", "send", planned.data["broadcast_id"], "--yes")

        assert sent.code == 0, sent.err
    assert shop.world.uploads == {}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gone.jpg", "has no such file (404)"),
        ("closed.jpg", "forbids it (403)"),
        ("page.jpg", "a web page"),
        ("bytes.jpg", "application/octet-stream"),
        ("big.jpg", "5 MB at most"),
        ("loop.jpg", "redirects more than 5 times"),
        ("inside.jpg", "private network (10.0.0.1)"),
    ],
)
def test_a_link_that_meta_could_not_use_is_refused_before_the_first_row(shop, cli, site, name, why):
    shop.file("people.csv", [(shop.phone(1), "Ana")], ("phone", "name"))

    planned = cli(*PLAN, "--param", "1=name", "--media", f"header={site}/{name}", "--json")
    refused = cli("broadcast", "send", planned.data["broadcast_id"], "--yes")

    assert why in planned.out
    assert refused.code == 5
    assert why in refused.err
    assert len(shop.world.log) == 0


def test_all_links_of_a_list_are_looked_at_when_they_are_few(shop, cli, site):
    rows = [
        (shop.phone(1), "Ana", f"{site}/menu.jpg"),
        (shop.phone(2), "Eva", f"{site}/gone.jpg"),
    ]
    shop.file("people.csv", rows, ("phone", "name", "picture"))

    planned = cli(*PLAN, "--param", "1=name", "--media", "header=column:picture", "--json")

    found = [finding for finding in planned.data["findings"] if finding["id"] == "WX514"]
    assert len(found) == 1
    assert "gone.jpg" in str(found)
    assert "menu.jpg" not in str(found)


@pytest.mark.parametrize("provider", [Provider.RESPONDIO], ids=str)
def test_respondio_takes_only_links_and_other_media_are_refused_before_the_plan(shop, pictures):
    path = shop.file("people.csv", [(shop.phone(1), "Ana")], ("phone", "name"))

    for media in ("header=red.jpg", "header=id:42"):
        sources = [*given_by({"1": "name"}, {}), *given_media([media])]
        with pytest.raises(UsageError, match=r"respond\.io takes files by link only"):
            shop.plan(path, template="new_menu", sources=sources)


@pytest.mark.parametrize("given", ["header", "header=", "=menu.jpg", "header=column:"])
def test_media_has_one_form(given):
    with pytest.raises(UsageError, match="is not of the form"):
        given_media([given])


def test_a_dry_run_shows_the_request_and_uploads_nothing(shop, cli, planned):
    broadcast = planned(1, "header=red.jpg")

    shown = cli("broadcast", "send", broadcast.broadcast_id, "--dry-run", "--json")

    header = shown.data["requests"][0]["body"]["template"]["components"][0]
    assert header["parameters"][0]["image"] == {"id": "(given when it is uploaded)"}
    assert shop.world.uploads == {}


def test_list_upload_and_prune(shop, cli, planned):
    uploaded = cli("media", "upload", "red.jpg", "green.jpg", "--json")
    again = cli("media", "upload", "red.jpg", "--json")
    broadcast = planned(1, "header=red.jpg")
    listed = cli("media", "list", "--json")

    assert again.data["media"][0]["media_id"] == uploaded.data["media"][0]["media_id"]
    assert sorted(row["file"] for row in listed.data["media"]) == ["green.jpg", "red.jpg"]
    assert sum(uploads(shop).values()) == 2

    pruned = cli("media", "prune", "--yes", "--json")

    assert [row["file"] for row in pruned.data["media"]] == ["green.jpg"]
    assert len(shop.world.media) == 1
    shop.send(broadcast)
    assert shop.counts(broadcast) == {"accepted": 1}
    assert sum(uploads(shop).values()) == 2


def test_a_file_that_no_header_takes_is_not_uploaded(shop, cli):
    (shop.directory / "menu.webp").write_bytes(picture("WEBP"))

    refused = cli("media", "upload", "menu.webp")

    assert refused.code == 2
    assert "WebP" in refused.err


def test_ctrl_c_ends_an_upload(shop, planned, eventually):
    broadcast = planned(3, "header=red.jpg")
    shop.faults(Fault("hang", on="reads", path="/media"))
    command = ("-m", "wacoex_cli", "broadcast", "send", broadcast.broadcast_id, "--yes")
    sender: subprocess.Popen[str] = shop.start(*command)

    asyncio.run(eventually(lambda: shop.current(broadcast).status.value == "sending"))
    asyncio.run(asyncio.sleep(1.0))
    sender.terminate()
    _, err = sender.communicate(timeout=60)

    assert sender.returncode == 143, err
    assert shop.counts(broadcast) == {"pending": 3}


def test_the_event_loop_is_not_blocked_while_another_process_writes(shop, planned):
    shop.send(planned(5))
    sha256 = next(iter(uploads(shop)))
    nobody: Any = None
    desk = MediaDesk(shop.state, nobody, shop.channel.phone_number_id, shop.clock)
    refused = Refused(131053, message="Media upload error")

    async def beside_a_writer(work):
        began, may_end = threading.Event(), threading.Event()

        def write():
            with shop.state.transaction():
                began.set()
                return may_end.wait(10)

        writing = asyncio.create_task(asyncio.to_thread(write))
        await asyncio.to_thread(began.wait)
        asyncio.get_running_loop().call_later(0.05, may_end.set)
        await work
        assert await writing, "the loop stood still until the writer gave up"

    async def act():
        await beside_a_writer(desk.prepare({sha256}))
        used = desk.used_in([f"file:{sha256}"])
        assert used
        await beside_a_writer(desk.has_ended(used, refused))

    asyncio.run(act())
    assert desk.lacks([f"file:{sha256}"])
    assert MediaStore(shop.state).id_of(sha256, shop.channel.phone_number_id) is None
