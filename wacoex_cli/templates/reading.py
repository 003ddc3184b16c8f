"""Finding a template by its name and language, at Meta or at respond.io."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Protocol

from wacoex_cli.errors import UsageError
from wacoex_cli.templates.model import Template

if TYPE_CHECKING:
    from collections.abc import Sequence


class TemplateList(Protocol):
    """Whoever can list the templates of a WABA or of a channel of respond.io, all of them."""

    async def templates(self, owner_id: str, /, *, name: str | None = None) -> list[dict[str, Any]]:
        """Records in Meta's words; with `name` those whose name is or contains it."""
        ...


async def find_template(
    templates: TemplateList, owner_id: str, name: str, language: str
) -> Template:
    """The template of exactly this name and language, whatever its status.

    `owner_id` is the WABA's, or that of the channel at respond.io.

    Raises:
        UsageError: there is none (code `unknown_template`); the hint names what there is.
        CredentialError, RefusedError, TemporaryError: the server could not be asked.
    """
    versions = await find_versions(templates, owner_id, name)
    for version in versions:
        if version.language == language:
            return version
    raise _unknown_language(name, language, [version.language for version in versions])


async def find_versions(templates: TemplateList, owner_id: str, name: str) -> list[Template]:
    """The template of exactly this name in every language it has; raises like `find_template`."""
    # Meta's filter is a search: `promo` finds `promo_2` too.
    found = await templates.templates(owner_id, name=name)
    versions = [Template.from_meta(record) for record in found if record.get("name") == name]
    if versions:
        return versions
    names = {str(record["name"]) for record in await templates.templates(owner_id)}
    raise _unknown_name(name, sorted(names))


def _unknown_language(name: str, language: str, existing: Sequence[str]) -> UsageError:
    languages = ", ".join(f"`{one}`" for one in sorted(existing))
    return UsageError(
        f"template `{name}` does not exist in language `{language}`",
        hint=f"it exists in {languages}; choose one with `--lang`",
        code="unknown_template",
    )


def _unknown_name(name: str, existing: Sequence[str]) -> UsageError:
    near = difflib.get_close_matches(name, existing, n=3)
    listed = ", ".join(f"`{one}`" for one in near)
    if near:
        hint = f"did you mean {listed}?"
    else:
        hint = "`wacoex template list` shows them all" if existing else "there are no templates yet"
    return UsageError(f"there is no template `{name}`", hint=hint, code="unknown_template")
