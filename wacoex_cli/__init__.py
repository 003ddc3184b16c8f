"""Operations tool for WhatsApp Coexistence channels."""

__version__ = "0.1.0"
RELEASED_ON = "2026-11-28"
"""The day of this release. What the pages rest on was read at most nine months before it."""
