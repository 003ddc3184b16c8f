"""Files that a pretend Meta has already."""

from __future__ import annotations

from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, Medium, World

TYPES = {"1": "image/jpeg", "2": "application/pdf", "42": "image/jpeg"}
TYPES |= dict.fromkeys(map(str, range(10, 20)), "image/jpeg")
TYPES |= {"43": "video/mp4", "44": "application/pdf"}


def put_files(world: World) -> None:
    """Let the number have a file of each of `TYPES`, by its id, without a known content."""
    for media_id, media_type in TYPES.items():
        world.media[media_id] = Medium(media_id, PHONE_NUMBER_ID, media_type, "", 100, world.now())
