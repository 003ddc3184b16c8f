"""Somebody else answers in Meta's place: nothing is claimed, and the reason is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.attacks.hostile import always, answering, certificates, page

if TYPE_CHECKING:
    from pathlib import Path

    from tests.attacks.conftest import Attack, Ended

HTML = b"<!doctype html><title>Welcome</title><form>Accept our terms</form>"
PORTALS = {
    "a page": (page("200 OK", HTML, "Content-Type: text/html"), "unusable answer"),
    "a page that says it is JSON": (
        page("200 OK", HTML, "Content-Type: application/json"),
        "unusable answer",
    ),
    "an empty object": (page("200 OK", b"{}"), "unusable answer"),
    "a redirect": (
        page("302 Found", b"", "Location: https://portal.example/login"),
        "redirects to portal.example",
    ),
    "network authentication": (page("511 Network Authentication Required", HTML), "unusable"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n", "gives no answer"),
}
READS = (("auth", "status"), ("template", "list", "-c", "first"), ("status",), ("doctor",))
CERTIFICATES = {
    "self-signed": "self-signed certificate",
    "expired": "certificate has expired",
    "another host": "certificate is not valid for 'localhost'",
}


def everything(ended: Ended) -> str:
    return f"{ended.out}\n{ended.err}"


def ask(attack: Attack, command: tuple[str, ...], url: str, **environ: str) -> Ended:
    return attack.run(*command, environ={"WACOEX_META_BASE_URL": url, **environ})


def test_auth_status_fails_behind_a_captive_portal(attack: Attack) -> None:
    for portal, (answer, why) in PORTALS.items():
        with answering(always(answer)) as url:
            ended = ask(attack, ("auth", "status"), url)
        assert ended.code == 6, portal
        assert why in everything(ended), portal
        assert "may have gone out" not in everything(ended), portal


@pytest.mark.parametrize(
    "portals", [["a redirect"], pytest.param(list(PORTALS), marks=pytest.mark.slow)]
)
def test_behind_a_captive_portal_no_read_succeeds_or_claims_a_sent_message(
    attack: Attack, portals: list[str]
) -> None:
    for portal in portals:
        with answering(always(PORTALS[portal][0])) as url:
            for command in READS:
                ended = ask(attack, command, url)
                assert ended.code not in (0, 1), (command, portal)
                assert "may have gone out" not in everything(ended), (command, portal)


def test_a_certificate_that_is_not_trusted_is_named(attack: Attack, tmp_path: Path) -> None:
    authority, contexts = certificates(tmp_path)
    for what, why in CERTIFICATES.items():
        with answering(always(PORTALS["a page"][0]), contexts[what]) as url:
            ended = ask(attack, ("auth", "status"), url, SSL_CERT_FILE=str(authority))
        assert ended.code == 6, what
        assert set(ended.codes) == {"certificate_refused"}, what
        assert why in everything(ended).lower(), what
    with answering(always(page("400 Bad Request", b"")), whatever_comes=True) as url:
        ended = ask(attack, ("auth", "status"), url.replace("http:", "https:"))
    assert ended.code == 6
    assert "the two sides cannot agree on TLS" in everything(ended)
    body = b'{"data": {"is_valid": true, "expires_at": 0, "scopes": []}}'
    with answering(always(page("200 OK", body)), contexts["good"]) as url:
        assert ask(attack, ("auth", "status"), url, SSL_CERT_FILE=str(authority)).code == 0
