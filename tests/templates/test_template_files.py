"""Templates as files: pulled, compared, pushed, archived and deleted against the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pictures import picture, video
from wacoex_cli.sandbox import world as pretend
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import World

NEW = """
name = "open_day"

[[languages]]
language = "en_US"
category = "MARKETING"

[[languages.components]]
type = "BODY"
text = "Hello {{1}}, our doors are open on Saturday."
example = { body_text = [["Ana"]] }
"""


@pytest.fixture
def world(run, monkeypatch) -> Iterator[World]:
    world = default_world(extra_templates=39)
    with running(world) as base_url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", base_url)
        monkeypatch.setenv("WACOEX_META_TOKEN", pretend.DEFAULT_TOKEN)
        ids = ("--phone-number-id", pretend.PHONE_NUMBER_ID, "--waba-id", pretend.WABA_ID)
        assert run("channel", "add", "practice", "--phone", pretend.PHONE, *ids).code == 0
        yield world


@pytest.fixture
def directory(run, world, tmp_path: Path) -> Path:
    pulled = run("template", "pull", str(tmp_path / "shelf"))
    assert pulled.code == 0, pulled.err
    return tmp_path / "shelf"


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def change(directory: Path, name: str, before: str, after: str) -> None:
    path = directory / f"{name}.toml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def write_of(done) -> dict[str, Any]:
    [write] = done.data["written"]
    assert isinstance(write, dict)
    return write


def test_pull_push_and_pull_of_sixty_templates_change_nothing(run, world, directory) -> None:
    before = contents(directory)
    assert len(before) == 60

    pushed = run("template", "push", str(directory), "--yes", "--json")
    again = run("template", "pull", str(directory), "--json")

    assert (pushed.code, pushed.data["same"], pushed.data["changes"]) == (0, 62, [])
    assert {row["state"] for row in again.data["files"]} == {"same"}
    assert contents(directory) == before
    assert world.review.writes == []


def test_a_template_that_changed_in_its_file_is_edited_once(run, world, directory) -> None:
    change(directory, "spring_sale", "our spring sale is on", "our summer sale is on")

    shown = run("template", "diff", str(directory))
    pushed = run("template", "push", str(directory), "--yes", "--json")
    after = run("template", "diff", str(directory), "--json")

    assert shown.code == 1
    lines = shown.out.splitlines()
    assert lines[0] == "spring_sale.toml (en_US): differs"
    [old] = [line for line in lines if line.startswith("-text")]
    [new] = [line for line in lines if line.startswith("+text")]
    assert old[1:].replace("spring sale", "summer sale") == new[1:]
    assert "spring_sale.toml (en_US): edit 1 of 10 in 30 days, and the only one today" in lines
    assert pushed.code == 0
    assert write_of(pushed)["outcome"] == "edited"
    assert world.review.writes == [("edit", "spring_sale", "en_US")]
    assert (after.code, after.data["changes"]) == (0, [])


def test_each_language_of_a_file_is_edited_for_itself(run, world, directory) -> None:
    change(directory, "opening_hours", "from 8 to 18", "from 9 to 18")

    assert run("template", "push", str(directory), "--yes").code == 0

    languages = [(kind, language) for kind, _, language in world.review.writes]
    assert languages == [("edit", "de"), ("edit", "en_US")]


def test_a_new_file_is_created_once_and_waits_for_its_review(run, world, directory) -> None:
    (directory / "open_day.toml").write_text(NEW)
    world.review.seconds = 0

    pushed = run("template", "push", str(directory), "--yes", "--json")

    assert write_of(pushed)["outcome"] == "created"
    assert run("template", "push", str(directory), "--yes").code == 0
    assert world.review.writes == [("create", "open_day", "en_US")]
    node = world.template(pretend.WABA_ID, "open_day", "en_US")
    assert node is not None
    assert node.values["status"] == "APPROVED"


def test_an_answer_that_is_lost_does_not_create_a_second_one(run, world, directory) -> None:
    # The template is made at Meta, and the answer never arrives: as when the push was killed.
    (directory / "open_day.toml").write_text(NEW)
    lost = Fault("reset_after", on="reads", path="/message_templates", arrivals=frozenset({3}))
    world.faults.replace([lost])

    pushed = run("template", "push", str(directory), "--yes", "--json")
    world.faults.replace([])
    again = run("template", "push", str(directory), "--yes", "--json")

    assert write_of(pushed)["outcome"] == "there", pushed.data
    assert again.data["changes"] == []
    assert world.review.writes == [("create", "open_day", "en_US")]


def test_without_a_yes_nothing_is_pushed(run, world, directory) -> None:
    (directory / "open_day.toml").write_text(NEW)

    pushed = run("template", "push", str(directory), stdin="n\n", tty=True)

    assert pushed.code == 1
    assert "create 1 template at Meta?" in pushed.err
    assert world.review.writes == []


def test_a_dry_run_shows_and_writes_nothing(run, world, directory) -> None:
    (directory / "open_day.toml").write_text(NEW)

    pushed = run("template", "push", str(directory), "--dry-run")

    assert (pushed.code, world.review.writes) == (0, [])
    assert "1 to create, 0 to edit" in pushed.out


def test_the_second_edit_of_a_day_is_refused_before_it_is_tried(run, world, directory) -> None:
    change(directory, "appointment", "we expect you", "we wait for you")
    assert run("template", "push", str(directory), "--yes").code == 0
    world.review.seconds = 0
    change(directory, "appointment", "we wait for you", "we look forward to you")

    pushed = run("template", "push", str(directory), "--yes")

    assert pushed.code == 7
    assert "Meta allows an edit a day and 10 in 30 days; the next at " in pushed.out
    assert world.review.writes == [("edit", "appointment", "en_US")]


def test_an_edit_made_elsewhere_is_refused_by_meta_and_shown_at_the_file(
    run, world, directory
) -> None:
    change(directory, "appointment", "we expect you", "we wait for you")
    node = world.template(pretend.WABA_ID, "appointment", "en_US")
    assert node is not None
    world.review.edited[node.id] = [world.now() - 3_600]

    pushed = run("template", "push", str(directory), "--yes", "--json")

    assert pushed.code == 7
    assert write_of(pushed)["outcome"] == "refused"
    assert write_of(pushed)["why"].startswith("Edit Limit Reached: An approved template")


def test_a_category_of_an_approved_template_stays_and_is_named(run, world, directory) -> None:
    change(directory, "appointment", '"UTILITY"', '"MARKETING"')

    shown = run("template", "diff", str(directory))

    assert "only the category differs, MARKETING here and UTILITY at Meta" in shown.out
    assert run("template", "push", str(directory), "--yes").code == 7
    assert world.review.writes == []


def test_a_category_that_meta_changes_is_named_in_the_result(run, world, directory) -> None:
    (directory / "open_day.toml").write_text(NEW.replace("MARKETING", "UTILITY"))
    world.review.category = "MARKETING"

    pushed = run("template", "push", str(directory), "--yes")

    assert "open_day.toml (en_US): created, PENDING, category MARKETING instead of UTILITY" in (
        pushed.err
    )


def test_a_rejection_is_shown_with_metas_reason_at_the_file(run, world, directory) -> None:
    (directory / "open_day.toml").write_text(NEW)
    world.review.status, world.review.reason = "REJECTED", "INVALID_FORMAT"
    world.review.seconds = 0

    pushed = run("template", "push", str(directory), "--wait", "--yes", "--json")

    assert pushed.code == 7
    assert write_of(pushed)["status"] == "REJECTED"
    assert write_of(pushed)["why"] == "INVALID_FORMAT"
    shown = run("template", "diff", str(directory)).out
    assert "open_day.toml (en_US): Meta rejected it: INVALID_FORMAT" in shown
    assert "free_money.toml (en_US): Meta rejected it: SCAM" in shown


def test_a_template_with_a_broken_rule_is_not_pushed_and_says_which(run, world, directory) -> None:
    (directory / "open_day.toml").write_text(NEW.replace("on Saturday.", "on {{1}}."))

    pushed = run("template", "push", str(directory), "--yes")

    assert pushed.code == 7
    assert "cannot be pushed: body: it ends with a variable" in pushed.out
    assert world.review.writes == []


def test_pull_asks_before_it_replaces_a_file_that_differs(run, world, directory) -> None:
    change(directory, "appointment", "we expect you", "we wait for you")
    mine = contents(directory)

    refused = run("template", "pull", str(directory))
    assert refused.code == 2
    assert contents(directory) == mine

    assert run("template", "pull", str(directory), "--yes").code == 0
    assert "we expect you" in (directory / "appointment.toml").read_text()


def test_a_file_with_the_same_template_keeps_its_comments(run, world, directory) -> None:
    path = directory / "appointment.toml"
    path.write_text("# for the front desk\n" + path.read_text())

    assert run("template", "pull", str(directory)).code == 0

    assert path.read_text().startswith("# for the front desk\n")


def test_an_archived_template_comes_back_with_undo(run, world) -> None:
    node = world.template(pretend.WABA_ID, "appointment", "en_US")
    assert node is not None

    assert run("template", "archive", "appointment", "--yes").code == 0
    assert node.values["status"] == "ARCHIVED"
    assert run("template", "archive", "appointment", "--undo", "--yes").code == 0
    assert node.values["status"] == "APPROVED"


def test_only_approved_or_rejected_templates_are_archived(run, world) -> None:
    done = run("template", "archive", "flash_sale", "--yes")

    assert done.code == 5
    assert "`flash_sale` (en_US PAUSED): Meta archives approved or rejected ones only" in done.err


def test_delete_takes_the_language_that_is_named_and_no_other(run, world) -> None:
    done = run("template", "delete", "order_ready", "--lang", "de", "--yes")

    assert done.code == 0
    assert world.template(pretend.WABA_ID, "order_ready", "de") is None
    assert world.template(pretend.WABA_ID, "order_ready", "en_US") is not None
    assert "Meta takes no new template with the name `order_ready` for 30 days" in done.err


def test_delete_without_a_language_takes_them_all(run, world) -> None:
    assert run("template", "delete", "order_ready", "--yes", "--json").code == 0
    assert world.review.writes == [
        ("delete", "order_ready", "de"),
        ("delete", "order_ready", "en_US"),
    ]


def test_a_deleted_name_is_refused_by_meta_for_thirty_days(run, world, directory) -> None:
    assert run("template", "delete", "appointment", "--yes").code == 0

    pushed = run("template", "push", str(directory), "--yes", "--json")

    assert write_of(pushed)["outcome"] == "refused"
    assert "cannot be used again for 30 days" in write_of(pushed)["why"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "it is not TOML"),
        ('name = "a"\n', "it has no language"),
        ('name = "a"\nlanguges = 1\n', "`languges` is not a key of a template"),
        ('name = "a"\n[[languages]]\nlanguage = "en"\n', "`category` is missing"),
        (NEW.replace("MARKETING", "ADVERTS"), "`ADVERTS` is not a category"),
        (NEW.replace("language = ", "langauge = "), "`langauge` is not a key"),
    ],
)
def test_a_file_that_is_not_a_template_is_named_with_the_place(run, tmp_path, text, said) -> None:
    path = tmp_path / "open_day.toml"
    path.write_text(text)

    done = run("template", "lint", str(path))

    assert done.code == 2
    assert "open_day.toml" in done.err
    assert said in done.err


def test_two_files_with_the_same_template_are_refused(run, world, directory) -> None:
    (directory / "copy.toml").write_text((directory / "appointment.toml").read_text())

    done = run("template", "diff", str(directory))

    assert done.code == 2
    assert "`appointment` (en_US) is also in appointment.toml" in done.err


WITH_PICTURE = NEW.replace(
    "[[languages.components]]",
    """[[languages.components]]
type = "HEADER"
format = "IMAGE"
header_example = "door.png"

[[languages.components]]""",
    1,
)


def test_an_example_picture_is_uploaded_and_nothing_differs_afterwards(
    run, world, directory
) -> None:
    (directory / "open_day.toml").write_text(WITH_PICTURE)
    (directory / "door.png").write_bytes(picture("PNG"))
    world.review.seconds = 0

    assert run("template", "lint", str(directory / "open_day.toml")).code == 0
    pushed = run("template", "push", str(directory), "--yes", "--json")
    differs = run("template", "diff", str(directory), "--json")
    pulled = run("template", "pull", str(directory), "--json")

    assert write_of(pushed)["outcome"] == "created", pushed.err
    assert "the example door.png is uploaded for Meta's review" in str(pushed.data["changes"])
    assert len(world.handles) == 1
    [made] = [
        each for each in world.templates(pretend.WABA_ID) if each.values["name"] == "open_day"
    ]
    [link] = made.values["components"][0]["example"]["header_handle"]
    assert link.startswith("https://")
    assert differs.data["changes"] == []
    assert {row["state"] for row in pulled.data["files"]} == {"same"}
    assert (directory / "open_day.toml").read_text() == WITH_PICTURE


def test_a_pull_keeps_the_name_of_the_example(run, world, directory) -> None:
    (directory / "new_menu.toml").write_text(
        (directory / "new_menu.toml")
        .read_text()
        .replace('format = "IMAGE"', 'format = "IMAGE"\nheader_example = "menu.jpg"')
        .replace("our new menu", "the new menu")
    )

    assert run("template", "pull", str(directory), "--yes").code == 0

    text = (directory / "new_menu.toml").read_text()
    assert "our new menu" in text and 'header_example = "menu.jpg"' in text


def test_an_edit_of_a_picture_template_uploads_its_example_again(run, world, directory) -> None:
    image = 'format = "IMAGE"'
    change(directory, "new_menu", image, f'{image}\nheader_example = "a.jpg"')
    assert run("template", "diff", str(directory)).code == 0
    change(directory, "new_menu", "our new menu", "the new menu")
    (directory / "a.jpg").write_bytes(picture("JPEG"))

    pushed = run("template", "push", str(directory), "--yes", "--json")

    assert write_of(pushed)["outcome"] == "edited", pushed.err
    assert len(world.handles) == 1


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("gone.png", None, "cannot be read"),
        ("text.png", b"hello", "is not an example for a header of format IMAGE"),
        ("film.png", video(), "is not an example for a header of format IMAGE"),
        ("../door.png", picture("PNG"), "is outside of its folder"),
        ("/etc/hostname", None, "is outside of its folder"),
        ("shelf", None, "cannot be read: it is a directory"),
    ],
)
def test_an_example_that_meta_would_not_take_is_named_before_the_question(
    run, world, directory, name, content, why
) -> None:
    (directory / "open_day.toml").write_text(WITH_PICTURE.replace("door.png", name))
    (directory / "shelf").mkdir()
    if content is not None:
        (directory / name).write_bytes(content)

    pushed = run("template", "push", str(directory), "--yes", "--json")

    [change] = pushed.data["changes"]
    assert why in change["why_not"]
    assert pushed.data["written"] == [] and world.review.writes == []


@pytest.mark.parametrize("line", ["header_example = 5", 'format = "TEXT"'])
def test_an_example_without_a_file_or_without_a_picture_is_refused(run, tmp_path, line) -> None:
    path = tmp_path / "open_day.toml"
    key = line.partition(" ")[0]
    text = [line if part.startswith(key) else part for part in WITH_PICTURE.splitlines()]
    path.write_text("\n".join(text))

    done = run("template", "lint", str(path))

    assert done.code == 2 and "`header_example` is the name of a file" in done.err
