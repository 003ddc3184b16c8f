"""Two spellings of one WhatsApp number in SQL; `phone_numbers.spellings` says the same."""

from __future__ import annotations


def other_spelling(phone: str) -> str:
    """SQL for the other spelling of one WhatsApp number, NULL where there is none.

    `phone` is the SQL of an E.164 number. Argentina's mobile numbers have a 9 after +54 that local
    writing leaves out, Mexico's had a 1 after +52 that WhatsApp's ids kept, and Brazil's got a
    ninth digit that older lists and ids lack. Brazil's landlines begin with 2 to 5 and have one.
    """
    ten = "_" * 10
    return (
        f"CASE WHEN {phone} LIKE '+549{ten}' THEN '+54' || substr({phone}, 5)"
        f" WHEN {phone} LIKE '+54{ten}' THEN '+549' || substr({phone}, 4)"
        f" WHEN {phone} LIKE '+521{ten}' THEN '+52' || substr({phone}, 5)"
        f" WHEN {phone} LIKE '+52{ten}' THEN '+521' || substr({phone}, 4)"
        f" WHEN {phone} LIKE '+55__9________' AND substr({phone}, 7, 1) IN ('6', '7', '8', '9')"
        f" THEN substr({phone}, 1, 5) || substr({phone}, 7)"
        f" WHEN {phone} LIKE '+55{ten}' AND substr({phone}, 6, 1) IN ('6', '7', '8', '9')"
        f" THEN substr({phone}, 1, 5) || '9' || substr({phone}, 6) END"
    )


def shorter_spelling(phone: str) -> str:
    """SQL for the shorter spelling of a number, as `one_spelling`; of anything else as it is."""
    other = other_spelling(phone)
    return f"CASE WHEN length({other}) < length({phone}) THEN {other} ELSE {phone} END"


EITHER_SPELLING = (
    f"(?, (SELECT {other_spelling('given.phone')} FROM (SELECT CAST(? AS TEXT) AS phone) given))"
)
"""SQL for `phone IN`: a number, given twice, and its other spelling."""
