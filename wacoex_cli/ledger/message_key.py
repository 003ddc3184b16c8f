"""What makes two rows of different broadcasts the same message to the same person. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from wacoex_cli.foundation.phone_numbers import one_spelling
from wacoex_cli.templates.model import LANGUAGE, Template, placeholders
from wacoex_cli.templates.values import ParameterSource, all_in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def message_key(template: str, parameter_sources: str) -> Callable[[str, str], int]:
    """What gives the key of one person's message, from their number (E.164) and their values.

    `template` and `parameter_sources` are the frozen ones of the broadcast, the values of a row
    are as they are stored (JSON). Two rows with one key are the same message to the same person:
    the same template, whatever its language, with the same values in the same places, wherever
    these are kept.
    """
    sources = list(map(ParameterSource.from_json, json.loads(parameter_sources)))
    keys = [source.key for source in sources]
    if LANGUAGE in keys:
        return _key_of_translations(Template.from_json(json.loads(template)), sources)
    begun = _begun(json.loads(template)["name"], keys)
    has_fixed = any(source.value is not None for source in sources)

    def key(phone: str, parameters: str) -> int:
        if has_fixed:
            whole = all_in_order(sources, json.loads(parameters))
            parameters = json.dumps(whole, ensure_ascii=False)
        return _finished(begun, phone, parameters)

    return key


def _key_of_translations(
    template: Template, sources: Sequence[ParameterSource]
) -> Callable[[str, str], int]:
    """The key that each row would have in a broadcast of its language alone."""
    filled, name = {source.key for source in sources}, template.name
    keys = {
        version.language: [place.key for place in placeholders(version) if place.key in filled]
        for version in template.versions
    }
    begun = {language: _begun(name, theirs) for language, theirs in keys.items()}

    def key(phone: str, parameters: str) -> int:
        whole = all_in_order(sources, json.loads(parameters))
        by_key = dict(zip((source.key for source in sources), whole, strict=False))
        language = by_key[LANGUAGE] if by_key.get(LANGUAGE) in keys else template.language
        values = [by_key[each] for each in keys[language]]
        return _finished(begun[language], phone, json.dumps(values, ensure_ascii=False))

    return key


def _begun(name: str, keys: Sequence[str]) -> hashlib.blake2b:
    base = json.dumps([name, *keys], ensure_ascii=False)
    return hashlib.blake2b(f"{base}\n".encode(), digest_size=8)


def _finished(begun: hashlib.blake2b, phone: str, parameters: str) -> int:
    digest = begun.copy()
    digest.update(f"{one_spelling(phone)}\n{parameters}".encode())
    return int.from_bytes(digest.digest(), "big", signed=True)
