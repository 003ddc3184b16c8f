"""Somebody at the browser: the signup page's HTTP side, and Meta's window behind it."""

from __future__ import annotations

import re
from html import unescape

_FINISHED = "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING"


def sign_up(page_url: str, meta_url: str, phone: str) -> None:
    """Open the page, go through the pretend Facebook window for a number, and report its end.

    The page works once, and hears only whoever it was shown to.
    """
    import httpx

    origin, _, path = page_url.rpartition("/")
    with httpx.Client(trust_env=False, timeout=30.0) as browser:
        page = browser.get(f"{origin}/{path}")
        data = {
            name: unescape(value)
            for name, value in re.findall(r'data-([a-z-]+)="([^"]*)"', page.text)
        }
        window = browser.post(f"{meta_url}/dialog/finish", json={"phone": phone}).json()
        report = {"state": data["state"], "kind": "finished", "event": _FINISHED, **window}
        browser.post(f"{origin}{data['report-path']}", json=report, headers={"Origin": origin})
