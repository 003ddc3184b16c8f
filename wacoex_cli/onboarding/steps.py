"""The steps of connecting, in their order. Pure."""

from __future__ import annotations

from wacoex_cli.onboarding.model import Nature, Route, Step

CONNECT_STEPS = (
    Step("number", "The number", Nature.CHECKED),
    Step("eligibility", "Can it be connected", Nature.ASKED),
    Step("business-suite", "Linked in Meta Business Suite", Nature.ASKED),
    Step("other-partner", "No other partner, no credit line of one", Nature.ASKED),
    Step("changes", "What changes in the app", Nature.ASKED),
    Step("signup", "Signup", Nature.DONE),
    Step("proof", "Meta shows it in Coexistence", Nature.CHECKED),
    Step("partner", "The partner gets its messages", Nature.CHECKED),
    Step("echo-proof", "A message from the phone comes through", Nature.CHECKED),
    Step("sync", "Contacts and history", Nature.DONE, frozenset({Route.SIGNUP})),
    Step("after-care", "What has to be done from now on", Nature.DONE),
)
"""Connecting a channel; each settled step is kept under its id."""

CHECKED_BEFORE = CONNECT_STEPS[:4]
"""The steps of `connect --check`: questions and checks that change nothing."""
