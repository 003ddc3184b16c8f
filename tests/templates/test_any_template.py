"""Whatever a template is made of: filled it is taken by the strict sandbox, else refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.channels.model import Provider
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.sandbox.faults import GraphError
from wacoex_cli.sandbox.messages import check_message
from wacoex_cli.sandbox.world import TEMPLATE, WABA_ID, Node
from wacoex_cli.templates.components import MessageForm, message_body
from wacoex_cli.templates.conversions import conversions, settle
from wacoex_cli.templates.model import Placeholder, Template, ValueKind, placeholders
from wacoex_cli.templates.rule import check_sendable, resolve_sources
from wacoex_cli.templates.values import ParameterSource, fill, values_of

Part = dict[str, Any]
NOW = from_text("2026-11-29T07:00:00.000Z")
SENDER = "+6560000000"
REFUSALS = {132000, 132012, 132018, 131008, 131009}


def numbered(kind: str, count: int, **more: Any) -> Part:
    text = " and ".join(["Hello", *(f"{{{{{number}}}}}" for number in range(count, 0, -1))])
    return {"type": kind, "text": text, **more}


HEADERS = st.sampled_from(["IMAGE", "VIDEO", "DOCUMENT", "LOCATION", "PRODUCT"]).map(
    lambda form: {"type": "HEADER", "format": form}
) | st.integers(0, 1).map(lambda count: numbered("HEADER", count, format="TEXT"))
BODIES = st.integers(0, 4).map(lambda count: numbered("BODY", count))
BUTTON = st.sampled_from(
    [
        *("QUICK_REPLY", "PHONE_NUMBER", "COPY_CODE", "CATALOG", "FLOW", "VOICE_CALL", "SPM"),
        *("URL", "URL {{1}}"),
    ]
).map(
    lambda kind: {
        "type": kind.split()[0],
        "text": "Tap",
        "url": "https://a.example/" + kind[4:] if kind.startswith("URL") else "",
    }
)
BUTTONS = st.lists(BUTTON, min_size=1, max_size=4).flatmap(
    lambda given: st.sampled_from([given, [*given, {"type": "MPM", "text": "View"}]])
)
IN_CARDS = st.tuples(
    st.sampled_from(["IMAGE", "VIDEO", "PRODUCT"]),
    st.none() | st.integers(0, 2),
    st.lists(BUTTON.filter(lambda button: button["type"] != "COPY_CODE"), max_size=2),
    st.integers(1, 3),
)


def carousel(given: tuple[str, int | None, list[Part], int]) -> Part:
    form, count, buttons, cards = given
    parts: list[Part] = [{"type": "HEADER", "format": form}]
    parts += [] if count is None else [numbered("BODY", count)]
    parts += [{"type": "BUTTONS", "buttons": buttons}] if buttons else []
    return {"type": "CAROUSEL", "cards": [{"components": parts}] * cards}


@st.composite
def templates(draw: st.DrawFn) -> Template:
    """A template of any mix of components, also mixes that Meta would not approve."""
    found = [draw(BODIES)]
    if draw(st.booleans()):
        found.insert(0, draw(HEADERS))
    if draw(st.booleans()):
        timed = {"text": "Now", "has_expiration": draw(st.booleans())}
        found.append({"type": "LIMITED_TIME_OFFER", "limited_time_offer": timed})
    if draw(st.booleans()):
        found.append({"type": "BUTTONS", "buttons": draw(BUTTONS)})
    if draw(st.booleans()):
        found.append(carousel(draw(IN_CARDS)))
    return Template("any", "en", "APPROVED", "MARKETING", "POSITIONAL", tuple(found), "1")


GOOD: dict[ValueKind, Any] = {
    ValueKind.TEXT: "Ana",
    ValueKind.MEDIA: "https://a.example/a",
    ValueKind.FILE_NAME: "a.pdf",
    ValueKind.LOCATION: "1.5",
    ValueKind.MOMENT: "2026-12-01 10:00",
    ValueKind.PAYLOAD: "yes",
    ValueKind.CODE: "SAVE20",
    ValueKind.TOKEN: "t",
    ValueKind.DATA: {"day": 1},
    ValueKind.PRODUCT: "A-1",
    ValueKind.CATALOG: "77",
    ValueKind.PRODUCTS: [{"title": "Cakes", "items": ["A-1"]}],
}


def message(template: Template, chosen: list[Placeholder]) -> Part:
    given = [ParameterSource(place.key, value=GOOD[place.kind]) for place in chosen]
    converts = conversions(template, Provider.META, "UTC", NOW)
    sources = settle(resolve_sources(template, given, []), converts)
    kept = fill(sources, {})
    assert kept == ()
    return message_body(MessageForm(template), values_of(sources, kept), "+6591234567", "a")


def check(template: Template, body: Part) -> None:
    values = {
        "status": "APPROVED",
        "category": "MARKETING",
        "parameter_format": "POSITIONAL",
        "components": list(template.components),
    }
    node = Node(TEMPLATE, "1", WABA_ID, values)
    check_message(body, sender=SENDER, find_template=lambda name, language: node, user_ids=())


@given(templates(), st.data())
def test_a_filled_template_is_taken_and_one_that_lacks_a_component_is_refused(
    template: Template, data: st.DataObject
) -> None:
    check_sendable(template)
    places = placeholders(template)
    needed = [place for place in places if not place.is_optional]
    optional = [place for place in places if place.is_optional and place.card is None]
    chosen = data.draw(st.lists(st.sampled_from(optional), unique=True)) if optional else []

    check(template, message(template, needed + chosen))

    body = message(template, needed)
    components = body["template"].get("components", [])
    if components:
        left_out = data.draw(st.sampled_from(range(len(components))))
        del components[left_out]
        with pytest.raises(GraphError) as caught:
            check(template, body)
        assert caught.value.code in REFUSALS
