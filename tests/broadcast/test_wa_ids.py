"""A list out of WhatsApp's own ids (`wa_id`) is not read in the country of `--country`."""

from __future__ import annotations


def test_whatsapp_ids_are_not_read_as_american_numbers(shop):
    ids = ("6591234567", "553188888888", "5215512345678", "4915123456789")
    people = shop.file("ids.csv", [(each,) for each in ids], ("wa_id",))

    planned = shop.planned(people, country="US")

    assert [row["phone"] for row in shop.rows(planned).values()] == [
        *("+6591234567", "+5531988888888", "+525512345678", "+4915123456789")
    ]
