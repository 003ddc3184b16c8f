"""A server that answers a send in bad faith: the row is open, and memory stays small."""

from __future__ import annotations

import gzip
import json
import os
import socket
import time
import zlib
from functools import cache, partial
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.attacks.hostile import answering

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator

    from tests.attacks.conftest import Attack
    from tests.attacks.hostile import Answer

MOST_MEGABYTES = 300
PATIENCE_SECONDS = 300.0
TAKEN = b'{"messages": [{"id": "wamid.HBgA"}], "x": '
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LIKE_A_MEGABYTE = b"x" * 1024**2


@cache
def bomb(megabytes: int) -> bytes:
    """This many megabytes of blanks after what a message that was taken looks like."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(TAKEN) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush nothing depends on what came before: the same bytes may come again.
    megabyte = packer.compress(b" " * 1024**2) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + megabyte * megabytes + packer.flush()


def packed(coding: str, body: bytes) -> list[bytes]:
    return [
        OK + f"Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode(),
        body,
    ]


def whole(body: bytes) -> list[bytes]:
    return [OK + f"Content-Length: {len(body)}\r\n\r\n".encode(), body]


def endless(head: bytes, piece: bytes) -> Iterator[bytes]:
    yield head
    yield from repeat(piece)


def trickle() -> Iterator[bytes]:
    yield OK + b"Content-Length: 1000000\r\n\r\n"
    while True:
        yield b"{"
        time.sleep(0.5)


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ANSWERS: dict[str, Callable[[], Iterable[bytes]]] = {
    "gzip bomb": lambda: packed("gzip", bomb(1_500)),
    "endless body": partial(endless, OK + b"\r\n", LIKE_A_MEGABYTE),
    "a bomb in a bomb": lambda: packed("gzip, gzip", gzip.compress(bomb(1_500))),
    "endless chunks": partial(endless, CHUNKED, b"100000\r\n" + LIKE_A_MEGABYTE + b"\r\n"),
    "headers without end": partial(endless, b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n" * 10_000),
    "one endless header": partial(endless, b"HTTP/1.1 200 OK\r\nX: ", LIKE_A_MEGABYTE),
    "100 continue without end": partial(endless, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
    "brotli": lambda: packed("br", b"\x1b\x00\x00" * 9_999),
    "zstd": lambda: packed("zstd", b"\x28\xb5\x2f\xfd" * 9_999),
    "8 MB of objects": lambda: whole(TAKEN + b"[" + b'{"":1},' * 1_100_000 + b"1]}"),
    "nested deep": lambda: whole(TAKEN + b"[" * 3_000_000 + b"]" * 3_000_000 + b"}"),
    "a number of 7 MB": lambda: whole(TAKEN + b"9" * 7_000_000 + b"}"),
    "not a number": lambda: whole(TAKEN + b"NaN}"),
    "another charset": lambda: whole(b'{"messages": [{"id": "\xe4\xf6\xfc"}]}'),
    "half a character": lambda: whole(b'{"messages": [{"id": "\\ud800\\u0000"}]}'),
    "an id of 7 MB": lambda: whole(b'{"messages": [{"id": "' + b"x" * 7_000_000 + b'"}]}'),
    "two lengths": lambda: [OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}"],
    "a redirect to nowhere": lambda: [b"HTTP/1.1 302 F\r\nLocation: http://[\r\n\r\n"],
    "odd numbers": lambda: whole(b'{"error": {"code": ' + b"9" * 4_000 + b"}}"),
}
SHORT = ("gzip bomb", "endless body")
EACH = [pytest.param((kind,), id=kind, marks=pytest.mark.slow) for kind in ANSWERS]


class Spent(NamedTuple):
    """How a command ended, what it wrote, and the most memory it had at once, in MB."""

    code: int
    out: str
    megabytes: float


def sent_to(attack: Attack, url: str, people: int, first: int = 0) -> Spent:
    """Plan a broadcast and send it to its end, measured, with this server as Meta."""
    attack.home.environ["WACOEX_META_BASE_URL"] = url
    number = attack.home.plan(people, first=first)
    return measured(attack, "broadcast", "send", number, "--yes")


def measured(attack: Attack, *arguments: str) -> Spent:
    """Run a command to its end; one that does not end is killed."""
    name = attack.home.directory / "said"
    with name.open("w", encoding="utf-8") as said:
        process = attack.home.start(*arguments, stdout=said, stderr=said)
        code, kilobytes = waited_for(process)
    return Spent(code, name.read_text(encoding="utf-8"), kilobytes / 1024)


def waited_for(process: subprocess.Popen[str]) -> tuple[int, int]:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage.ru_maxrss
        if time.monotonic() > give_up_at:
            process.kill()
        time.sleep(0.05)


def only_sends(attack: Attack, hostile: Callable[[], Iterable[bytes]]) -> Answer:
    """Reads are answered by the pretend Meta, messages in bad faith."""
    port = urlsplit(attack.sandbox.base_url).port or 0

    def answer(head: bytes) -> Iterable[bytes]:
        if head.startswith(b"POST "):
            return hostile()
        first, _, rest = head.partition(b"\r\n")
        lines = [line for line in rest.split(b"\r\n") if not line.lower().startswith(b"connection")]
        with socket.create_connection(("127.0.0.1", port)) as meta:
            meta.sendall(b"\r\n".join([first, b"Connection: close", *lines]))
            pieces = list(iter(lambda: meta.recv(65_536), b""))
        return [b"".join(pieces)]

    return answer


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kinds", [pytest.param(SHORT, id="short"), *EACH])
def test_a_hostile_answer_leaves_the_row_open_and_memory_small(
    attack: Attack, kinds: tuple[str, ...]
) -> None:
    for place, kind in enumerate(kinds):
        with answering(only_sends(attack, ANSWERS[kind])) as url:
            ended = sent_to(attack, url, 3, first=10 * place)
        print(f"{kind}: {ended.megabytes:.0f} MB, exit {ended.code}")
        assert ended.megabytes < MOST_MEGABYTES, kind
        counts = json.loads(ended.out.strip().splitlines()[-1])["data"]["counts"]
        assert (ended.code, counts["ambiguous"], counts["accepted"]) == (7, 3, 0), (kind, ended.out)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["gzip bomb", "endless body", "trickle"])
def test_sixty_hostile_answers_at_once_need_no_more_memory(attack: Attack, kind: str) -> None:
    hostile = trickle if kind == "trickle" else ANSWERS[kind]
    with answering(only_sends(attack, hostile)) as url:
        ended = sent_to(attack, url, 60)

    assert ended.megabytes < MOST_MEGABYTES


def answer_with(kind: str, head: bytes) -> Iterable[bytes]:
    return ANSWERS[kind]()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kinds", [pytest.param(SHORT[:1], id="short"), *EACH])
def test_a_hostile_answer_to_a_read_is_a_clear_error(
    attack: Attack, kinds: tuple[str, ...]
) -> None:
    for kind in kinds:
        with answering(partial(answer_with, kind)) as url:
            attack.home.environ["WACOEX_META_BASE_URL"] = url
            for command in (("template", "list", "-c", "first"), ("auth", "status")):
                ended = measured(attack, *command)
                print(f"{kind}: {ended.megabytes:.0f} MB, exit {ended.code}")
                assert ended.megabytes < MOST_MEGABYTES, kind
                assert ended.code in (5, 6), (kind, ended.out)
                assert "may have gone out" not in ended.out
                assert "Traceback" not in ended.out
