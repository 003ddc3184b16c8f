"""Files are judged by what is in them, before anything leaves for Meta."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pictures import OLE, packed, picture, video
from wacoex_cli.errors import UsageError
from wacoex_cli.media.checks import why_header_refused, why_refused
from wacoex_cli.media.files import look_at, type_of
from wacoex_cli.media.model import DOC, DOCX, LARGEST, MEGABYTE, PPTX, XLS, XLSX, FileContent

TYPES_IN = "[Content_Types].xml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize(
    ("content", "mime"),
    [
        (picture("JPEG"), "image/jpeg"),
        (picture("PNG"), "image/png"),
        (picture("WEBP"), "image/webp"),
        (picture("GIF"), "image/gif"),
        (video(), "video/mp4"),
        (video(brand="mp42"), "video/mp4"),
        (video(brand="avc1"), "video/mp4"),
        (video(brand="3gp4"), "video/3gpp"),
        (video(brand="qt  "), "video/quicktime"),
        (video(brand="heic"), "image/heif"),
        (b"%PDF-1.7\n", "application/pdf"),
        (packed(TYPES_IN, "word/document.xml"), DOCX),
        (packed(TYPES_IN, "xl/workbook.xml"), XLSX),
        (packed(TYPES_IN, "ppt/presentation.xml"), PPTX),
        (packed("holiday.txt"), "application/zip"),
        (OLE + "WordDocument".encode("utf-16-le"), DOC),
        (OLE + "Workbook".encode("utf-16-le"), XLS),
        ("Opening hours: 9 to 5, also at Sébastien's".encode(), "text/plain"),
        (b"<!DOCTYPE html><html>", "text/html"),
        (b"\0\1\2\3" * 40, "application/octet-stream"),
    ],
)
def test_the_content_decides_the_type(file: Path, content: bytes, mime: str) -> None:
    file.write_bytes(content)

    assert look_at(file).content.mime == mime


@pytest.mark.parametrize(
    ("form", "content", "why"),
    [
        ("IMAGE", picture("WEBP"), "WebP"),
        ("IMAGE", picture("GIF"), "GIF"),
        ("IMAGE", picture("JPEG", "CMYK"), "CMYK"),
        ("IMAGE", picture("PNG", "I;16"), "8-bit RGB or RGBA"),
        ("IMAGE", picture("JPEG")[:20], "damaged"),
        ("IMAGE", b"<!DOCTYPE html><html>", "a web page"),
        ("IMAGE", b"", "empty"),
        ("VIDEO", video("hvc1"), "hvc1; Meta takes H.264"),
        ("VIDEO", video(sounds=["ac-3"]), "ac-3; Meta takes AAC"),
        ("VIDEO", video(sounds=["mp4a", "mp4a"]), "more than one sound track"),
        ("VIDEO", video(None), "no pictures"),
        ("VIDEO", video(brand="qt  "), "QuickTime"),
        ("VIDEO", b"\0\0\0\x18ftypisom", "damaged"),
        ("DOCUMENT", picture("JPEG"), "of type image/jpeg"),
        ("DOCUMENT", packed("holiday.txt"), "of type application/zip"),
        ("GIF", picture("GIF"), "GIF"),
    ],
)
def test_a_file_that_meta_does_not_take_is_refused_with_the_reason(
    file: Path, form: str, content: bytes, why: str
) -> None:
    file.write_bytes(content)

    found = why_refused(form, look_at(file).content)

    assert found is not None
    assert why in found


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("IMAGE", picture("JPEG")),
        ("IMAGE", picture("PNG", "RGBA")),
        ("VIDEO", video()),
        ("VIDEO", video(sounds=[])),
        ("GIF", video(sounds=[])),
        ("DOCUMENT", b"%PDF-1.7\n"),
        ("DOCUMENT", b"phone,name\n"),
    ],
)
def test_a_file_that_meta_takes_passes(file: Path, form: str, content: bytes) -> None:
    file.write_bytes(content)

    assert why_refused(form, look_at(file).content) is None


@pytest.mark.parametrize(
    ("form", "mime", "most"),
    [
        ("IMAGE", "image/jpeg", 5 * MEGABYTE),
        ("IMAGE", "image/png", 5 * MEGABYTE),
        ("VIDEO", "video/mp4", 16 * MEGABYTE),
        ("VIDEO", "video/3gpp", 16 * MEGABYTE),
        ("DOCUMENT", "application/pdf", 100 * MEGABYTE),
        ("GIF", "video/mp4", 3_670_016),
    ],
)
def test_each_type_has_its_largest_size(form: str, mime: str, most: int) -> None:
    assert why_refused(form, FileContent(mime, most)) is None
    assert "at most" in (why_refused(form, FileContent(mime, most + 1)) or "")


def test_a_picture_without_rgb_colours_passes_with_a_doubt(file: Path) -> None:
    file.write_bytes(picture("PNG", "P"))

    content = look_at(file).content

    assert why_refused("IMAGE", content) is None
    assert "send a test first" in (content.doubt or "")


def test_size_in_pixels_is_read_from_the_header(file: Path) -> None:
    file.write_bytes(picture(size=(64, 48)))

    content = look_at(file).content

    assert (content.width, content.height) == (64, 48)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"menu\.jpg cannot be read"):
        look_at(tmp_path / "menu.jpg")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        look_at(tmp_path)


def test_the_type_that_a_server_names_counts_too() -> None:
    assert why_header_refused("IMAGE", "image/jpeg; charset=binary") is None
    assert why_header_refused("IMAGE", "image/jpg") is None
    assert "octet-stream" in (why_header_refused("IMAGE", "application/octet-stream") or "")
    assert "nothing" in (why_header_refused("IMAGE", "") or "")


@given(st.binary(max_size=400))
def test_any_bytes_have_a_type(content: bytes) -> None:
    assert "/" in type_of(content)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_damaged_video_is_refused_and_breaks_nothing(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    whole = video()
    file = tmp_path_factory.getbasetemp() / "damaged.mp4"
    file.write_bytes(whole[:at] + noise + whole[at + len(noise) :])

    why_refused("VIDEO", look_at(file).content)


def a_pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def a_directory(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("make", [a_pipe, a_directory, lambda _: Path("/dev/zero")])
def test_a_pipe_directory_or_device_is_not_a_file(file: Path, make) -> None:
    with pytest.raises(UsageError, match=r"it is a (pipe or a device|directory)"):
        look_at(make(file))


def test_a_file_that_no_header_takes_is_not_read_to_its_end(file: Path) -> None:
    with file.open("wb") as hole:
        hole.truncate(LARGEST + 1)

    with pytest.raises(UsageError, match="Meta takes 100 MB at most"):
        look_at(file)
