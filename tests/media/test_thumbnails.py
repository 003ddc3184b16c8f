"""Small copies of pictures for a page: nothing but points, small, and only of the same file."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.support.pictures import picture, video
from wacoex_cli.foundation.state import State
from wacoex_cli.media.files import look_at
from wacoex_cli.media.store import MediaStore
from wacoex_cli.media.thumbnails import (
    MOST_BYTES,
    MOST_THUMBNAILS,
    Album,
    thumbnail,
    type_text,
)

SECRET = b"SECRET"
GPS_IFD, ORIENTATION, MAKER = 0x8825, 0x0112, 0x010F


def opened(url: str | None) -> Image.Image:
    assert url is not None
    form, _, text = url.partition(",")
    assert form == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(text)))


def noise(form: str, size: tuple[int, int]) -> bytes:
    """A picture that hardly gets smaller."""
    written = io.BytesIO()
    Image.frombytes("RGB", size, os.urandom(size[0] * size[1] * 3)).save(written, form)
    return written.getvalue()


def test_a_thumbnail_holds_no_word_of_the_original() -> None:
    exif = Image.Exif()
    exif[MAKER] = SECRET.decode()
    exif.get_ifd(GPS_IFD)[1] = "N"
    whole = io.BytesIO()
    Image.new("RGB", (900, 600), "red").save(
        whole, "JPEG", exif=exif, comment=SECRET, xmp=SECRET, icc_profile=SECRET
    )
    assert whole.getvalue().count(SECRET) >= 4

    made = opened(thumbnail(whole.getvalue()))

    assert made.size == (640, 427)
    assert dict(made.getexif()) == {}
    assert made.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_the_text_of_a_png_is_left_out_too() -> None:
    words, whole = PngInfo(), io.BytesIO()
    words.add_text("Author", SECRET.decode())
    Image.new("RGBA", (20, 10), (255, 0, 0, 0)).save(whole, "PNG", pnginfo=words)

    made = opened(thumbnail(whole.getvalue()))

    assert made.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert made.getpixel((5, 5)) == (255, 255, 255), "what is not there is white"


def test_a_picture_of_a_phone_is_shown_upright() -> None:
    exif, whole = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = 6
    Image.new("RGB", (900, 600), "red").save(whole, "JPEG", exif=exif)

    assert opened(thumbnail(whole.getvalue())).size == (533, 800)


@pytest.mark.parametrize(("form", "size"), [("JPEG", (1600, 1200)), ("PNG", (700, 500))])
def test_a_thumbnail_is_small_however_rich_the_picture_is(form: str, size: tuple[int, int]) -> None:
    made = thumbnail(noise(form, size))

    assert made is not None
    assert 5_000 < len(made) <= MOST_BYTES


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA"])
def test_a_picture_of_any_kind_of_colours_has_a_thumbnail(mode: str) -> None:
    assert opened(thumbnail(picture("PNG", mode))).mode == "RGB"


def test_a_damaged_picture_has_none() -> None:
    assert thumbnail(picture()[:300]) is None
    assert thumbnail(b"GIF89a" + bytes(50)) is None


def test_a_picture_of_too_many_points_has_none() -> None:
    whole = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(whole, "PNG")

    assert thumbnail(whole.getvalue()) is None


@pytest.fixture
def kept(state: State, tmp_path: Path, clock):
    """Write a file, and let wacoex look at it; gives its path and its reference."""

    def keep(name: str, content: bytes) -> tuple[Path, str]:
        path = tmp_path / name
        path.write_bytes(content)
        file = look_at(path)
        with state.transaction():
            MediaStore(state).keep(file, clock.now())
        return path, file.reference

    return keep


def test_the_file_of_a_message_is_shown_while_it_is_the_same(state, kept) -> None:
    path, reference = kept("menu.jpg", picture(colour="red"))
    there = Album(state).look(reference)
    path.write_bytes(picture(colour="blue"))
    changed = Album(state).look(reference)
    path.unlink()
    gone = Album(state).look(reference, "Our menu")
    path.mkdir()
    folder = Album(state).look(reference)

    assert (there.name, there.facts, there.why) == ("menu.jpg", ("JPEG", "1 kB"), "")
    assert there.picture is not None
    assert (changed.picture, gone.picture, folder.picture) == (None, None, None)
    assert changed.why == gone.why == folder.why
    assert "not there any more, or has changed" in gone.why
    assert gone.name == "Our menu"


def test_a_page_has_few_pictures_and_each_of_them_once(state, kept) -> None:
    album = Album(state)
    references = [
        kept(f"{number}.jpg", picture(colour=(number * 20, 0, 0)))[1]
        for number in range(MOST_THUMBNAILS + 1)
    ]

    shown = [album.look(reference) for reference in (references[0], *references)]

    assert [bool(glimpse.picture) for glimpse in shown] == [True] * 11 + [False]
    assert shown[-1].why == "this page shows 10 pictures at most"


def test_other_files_have_a_name_a_type_and_a_size(state, kept, clock) -> None:
    _, film = kept("bread.mp4", video())
    _, prices = kept("prices.pdf", b"%PDF-1.4 " + bytes(3000))
    known = hashlib.sha256(b"x").hexdigest()
    with state.transaction():
        MediaStore(state).keep_known(known, "image/png", 2048, clock.now())
    album = Album(state)

    assert album.look(film)[:3] == ("bread.mp4", ("MP4", "1 kB"), None)
    assert album.look(prices, "Prices.pdf")[:3] == ("Prices.pdf", ("PDF", "3 kB"), None)
    assert album.look(f"file:{known}").why == "Meta has the file"
    assert album.look("id:123")[:2] == ("file 123", ())
    assert album.look("https://a.example/1.jpg").why == "people see the file at this link"
    assert album.look("menu.jpg").picture is None


def test_a_type_is_named_in_the_words_of_its_program() -> None:
    office = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

    assert (type_text("text/plain"), type_text(office), type_text("a/b")) == (
        "Text",
        "Excel",
        "a/b",
    )
