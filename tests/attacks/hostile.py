"""Servers that answer in bad faith: raw sockets of the test process, one thread a connection."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Answer = Callable[[bytes], Iterable[bytes]]

_DAY = datetime.timedelta(days=1)


@contextlib.contextmanager
def answering(
    answer: Answer, tls: ssl.SSLContext | None = None, *, whatever_comes: bool = False
) -> Iterator[str]:
    """A server whose every request is answered with these bytes; gives its base URL.

    `answer` is given the head of the request, or with `whatever_comes` the first bytes: servers
    without TLS refuse its greeting like that. The connection is closed when its bytes end.
    """
    end = b"" if whatever_comes else b"\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        threading.Thread(target=_accept, args=(listener, answer, tls, end), daemon=True).start()
        host, port = ("localhost", "https") if tls else ("127.0.0.1", "http")
        yield f"{port}://{host}:{listener.getsockname()[1]}"
        # Wakes the thread that waits for the next connection.
        listener.shutdown(socket.SHUT_RDWR)


def _accept(
    listener: socket.socket, answer: Answer, tls: ssl.SSLContext | None, end: bytes
) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            arguments = (connection, answer, tls, end)
            threading.Thread(target=_serve, args=arguments, daemon=True).start()


def _serve(
    connection: socket.socket, answer: Answer, tls: ssl.SSLContext | None, end: bytes
) -> None:
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        opened.enter_context(connection)
        if tls:
            connection = opened.enter_context(tls.wrap_socket(connection, server_side=True))
        connection.settimeout(90)
        head = b""
        while not head or end not in head:
            piece = connection.recv(65_536)
            if not piece:
                return
            head += piece
        for part in answer(head):
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass


def always(*parts: bytes) -> Answer:
    """The same answer to every request."""
    return lambda head: parts


def page(status: str, body: bytes, *headers: str) -> bytes:
    """A whole answer that is not Meta's."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Certificates(NamedTuple):
    """The file of an authority to trust, and contexts of servers by what is wrong with them."""

    authority: Path
    contexts: dict[str, ssl.SSLContext]


def certificates(directory: Path) -> Certificates:
    """Certificates of servers: `good`, `self-signed`, `expired` and for `another host`."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("an authority", root_key, None, is_authority=True)
    authority = directory / "authority.pem"
    authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    made = {}
    for what in ("good", "self-signed", "expired", "another host"):
        key = ec.generate_private_key(ec.SECP256R1())
        signer = None if what == "self-signed" else (root, root_key)
        host = "portal.example" if what == "another host" else "localhost"
        days = -1 if what == "expired" else 30
        certificate = _certificate(host, key, signer, days=days)
        path = directory / f"{what}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        made[what] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made[what].load_cert_chain(path)
    return Certificates(authority, made)


def _certificate(
    host: str,
    key: ec.EllipticCurvePrivateKey,
    signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    *,
    days: int = 30,
    is_authority: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    names: list[x509.GeneralName] = [x509.DNSName(host.replace(" ", "-"))]
    if host == "localhost":
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    signing = signer[1] if signer else key
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(signer[0].subject if signer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 60 * _DAY)
        .not_valid_after(now + days * _DAY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(issuer_key, critical=False)
    )
    return built.sign(signing, hashes.SHA256())
