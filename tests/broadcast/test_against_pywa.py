"""Templates of every type: wacoex sends what `pywa`, another reading of Meta's pages, sends.

`FAULTS` names each difference that is a fault of pywa, with the page of Meta that shows it.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import httpx
import pytest
from pywa.client import WhatsApp
from pywa.types import templates as pywa
from pywa.types.others import ProductsSection

from tests.support.uploaded import put_files
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, WABA_ID
from wacoex_cli.templates.values import ParameterSource

Part = dict[str, Any]
PAGES = "https://developers.facebook.com/documentation/business-messaging/whatsapp"


class Case(NamedTuple):
    """A template with the values for it, by the keys of its placeholders."""

    name: str
    components: list[Part]
    values: Mapping[str, Any] = {}
    is_named: bool = False


def body(text: str = "Hello {{1}}") -> Part:
    return {"type": "BODY", "text": text}


def header(form: str, text: str = "") -> Part:
    return {"type": "HEADER", "format": form} | ({"text": text} if text else {})


def buttons(*given: Part) -> Part:
    return {"type": "BUTTONS", "buttons": list(given)}


def button(kind: str, **more: Any) -> Part:
    return {"type": kind, "text": "Tap", **more}


def offer(**more: Any) -> Part:
    return {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Today", **more}}


def carousel(count: int, *parts: Part) -> Part:
    return {"type": "CAROUSEL", "cards": [{"components": list(parts)}] * count}


REPLY = button("QUICK_REPLY")
URL = button("URL", url="https://a.example/{{1}}")
HOME = button("URL", url="https://a.example")
CALL = button("PHONE_NUMBER", phone_number="+6560000001")
CODE = {"type": "COPY_CODE", "example": ["SAVE20"]}
FLOW = button("FLOW", flow_id="1", flow_action="NAVIGATE")
LINK, ANA = "https://a.example/a.jpg", {"1": "Ana"}
PLACE = {
    "header.latitude": "1.2834",
    "header.longitude": "103.8607",
    "header.name": "Bakery",
    "header.address": "1 Bay Road",
}
ENDS = "2030-01-01T10:00:00Z"
CAKES = [{"title": "Cakes", "items": ["A-1", "A-2"]}]
MORE = [*CAKES, {"title": "Bread", "items": ["B-1"]}, {"title": "Tea", "items": ["C-1", "C-2"]}]
PRODUCT_CARDS = (header("PRODUCT"), buttons(button("SPM")))
SHOP = {"catalog": "77", "card.0.header": "A-1", "card.1.header": "A-2"}


def in_cards(count: int, **values: str) -> dict[str, str]:
    """The same values in each card, distinguished by the card's number."""
    return {
        f"card.{card}.{key.replace('_', '.')}": f"{value}{card}"
        for card in range(count)
        for key, value in values.items()
    }


CASES = [
    Case("plain", [body("Hello")]),
    Case("one", [body()], ANA),
    Case("two", [body("{{2}}, dear {{1}}: {{2}}")], {"1": "Ana", "2": "Hi"}),
    Case("named", [body("Hello {{first_name}}")], {"first_name": "Ana"}, True),
    Case("named_twice", [body("{{b}} {{a}} {{b}}")], {"a": "1", "b": "2"}, True),
    Case("fixed_header", [header("TEXT", "Sale"), body()], ANA),
    Case("header", [header("TEXT", "In {{1}}"), body()], {**ANA, "header.1": "May"}),
    Case(
        "named_header",
        [header("TEXT", "In {{month}}"), body("{{first_name}}")],
        {"header.month": "May", "first_name": "Ana"},
        True,
    ),
    Case("footer", [body(), {"type": "FOOTER", "text": "Reply STOP"}], ANA),
    Case("reply", [body(), buttons(REPLY)], ANA),
    Case("payload", [body(), buttons(REPLY)], {**ANA, "button.0": "yes:7"}),
    Case(
        "payloads",
        [body(), buttons(REPLY, REPLY, REPLY)],
        {**ANA, "button.0": "a", "button.2": "c"},
    ),
    Case("home", [body(), buttons(HOME)], ANA),
    Case("url", [body(), buttons(URL)], {**ANA, "button.0": "a?b=1"}),
    Case("mixed", [body(), buttons(REPLY, CALL, URL, HOME)], {**ANA, "button.2": "x"}),
    Case("two_urls", [body(), buttons(URL, URL)], {**ANA, "button.0": "x", "button.1": "y"}),
    Case("phone", [body(), buttons(CALL)], ANA),
    Case("image_link", [header("IMAGE"), body()], {**ANA, "header": LINK}),
    Case("image_id", [header("IMAGE"), body()], {**ANA, "header": "id:42"}),
    Case("video_link", [header("VIDEO"), body()], {**ANA, "header": "https://a.example/a.mp4"}),
    Case("video_id", [header("VIDEO"), body("Look")], {"header": "id:43"}),
    Case(
        "document",
        [header("DOCUMENT"), body()],
        {**ANA, "header": "https://a.example/a.pdf", "header.filename": "Prices.pdf"},
    ),
    Case("document_id", [header("DOCUMENT"), body()], {**ANA, "header": "id:44"}),
    Case(
        "image_named",
        [header("IMAGE"), body("{{first_name}}"), buttons(URL)],
        {"header": LINK, "first_name": "Ana", "button.0": "x"},
        True,
    ),
    Case("place", [header("LOCATION"), body()], {**ANA, **PLACE}),
    Case(
        "place_reply",
        [header("LOCATION"), body(), buttons(REPLY)],
        {**ANA, **PLACE, "button.0": "come"},
    ),
    Case("code", [body("Use it"), buttons(CODE)], {"button.0": "SAVE20"}),
    Case("code_reply", [body(), buttons(REPLY, CODE)], {**ANA, "button.1": "SAVE30"}),
    Case(
        "offer",
        [header("IMAGE"), offer(has_expiration=True), body(), buttons(CODE, URL)],
        {**ANA, "header": LINK, "offer.expires_at": ENDS, "button.0": "NOW", "button.1": "x"},
    ),
    Case("offer_code", [offer(), body(), buttons(CODE)], {**ANA, "button.0": "NOW"}),
    Case(
        "offer_video",
        [header("VIDEO"), offer(has_expiration=True), body(), buttons(URL)],
        {**ANA, "header": "id:43", "offer.expires_at": ENDS, "button.0": "x"},
    ),
    Case("catalogue", [body(), buttons(button("CATALOG"))], ANA),
    Case("catalogue_picture", [body(), buttons(button("CATALOG"))], {**ANA, "button.0": "A-1"}),
    Case(
        "products",
        [body(), buttons(button("MPM"))],
        {**ANA, "button.0": "A-1", "products": CAKES},
    ),
    Case(
        "sections",
        [header("TEXT", "In {{1}}"), body(), buttons(button("MPM"))],
        {**ANA, "header.1": "May", "button.0": "B-1", "products": MORE},
    ),
    Case(
        "product",
        [header("PRODUCT"), body(), buttons(button("SPM"))],
        {**ANA, "header": "A-1", "catalog": "77"},
    ),
    Case("flow", [body(), buttons(FLOW)], ANA),
    Case("flow_token", [body(), buttons(FLOW)], {**ANA, "button.0": "t-7"}),
    Case(
        "flow_data",
        [body(), buttons(FLOW)],
        {**ANA, "button.0": "t-7", "button.0.data": {"screen": "START", "day": 1}},
    ),
    Case("call", [body(), buttons(button("VOICE_CALL"), CALL)], ANA),
    Case(
        "cards",
        [body(), carousel(2, header("IMAGE"), body("Only {{1}}"), buttons(REPLY, URL))],
        {**ANA, **in_cards(2, header="id:1", button_0="p", button_1="u"), **in_cards(2, **ANA)},
    ),
    Case(
        "film_cards",
        [body("Look"), carousel(3, header("VIDEO"), buttons(HOME, REPLY))],
        in_cards(3, header="https://a.example/"),
    ),
    Case(
        "named_cards",
        [body("{{first_name}}"), carousel(2, header("IMAGE"), body("{{price}}"), buttons(URL))],
        {"first_name": "Ana", **in_cards(2, header="id:1", price="9", button_0="u")},
        True,
    ),
    Case("product_cards", [body(), carousel(2, *PRODUCT_CARDS)], {**ANA, **SHOP}),
    Case(
        "more_product_cards",
        [body(), carousel(2, *PRODUCT_CARDS)],
        {**ANA, **SHOP, "card.2.header": "A-3", "card.3.header": "A-4"},
    ),
]


LEFT_OUT = "(left out)"


class Fault(NamedTuple):
    """Where pywa differs from Meta's page: the place, what pywa writes, and the page."""

    place: str
    pywa: str
    page: str


FAULTS = [
    Fault(
        "expiration_time_ms",
        "the moment in seconds; Meta wants milliseconds",
        f"{PAGES}/templates/marketing-templates/limited-time-offer-templates",
    ),
    Fault(
        "latitude",
        "a number; Meta's examples have a text",
        f"{PAGES}/templates/marketing-templates/location-templates",
    ),
    Fault(
        "longitude",
        "a number; Meta's examples have a text",
        f"{PAGES}/templates/marketing-templates/location-templates",
    ),
    Fault(
        "flow_action_data",
        "null for what is left out; Meta says that it may be left out",
        f"{PAGES}/flows/guides/sendingaflow",
    ),
]


def media(value: str) -> str | int:
    return int(value.removeprefix("id:")) if value.startswith("id:") else value


def texts(made: Any, part: Part, prefix: str, case: Case) -> list[Any]:
    """The parameters of a header or a body, by the order or by the names of its placeholders."""
    names = [piece.split("}}")[0] for piece in part.get("text", "").split("{{")[1:]]
    values = {name: case.values[f"{prefix}{name}"] for name in names}
    if not values:
        return []
    if case.is_named:
        return [made.params(**values)]
    return [made.params(*(values[name] for name in sorted(values, key=int)))]


def header_params(part: Part, prefix: str, case: Case) -> list[Any]:
    form, values = part["format"], case.values
    value: Any = values.get(f"{prefix}header")
    if form == "TEXT":
        return texts(pywa.HeaderText, part, f"{prefix}header.", case)
    if form == "IMAGE":
        return [pywa.HeaderImage.params(image=media(value))]
    if form == "VIDEO":
        return [pywa.HeaderVideo.params(video=media(value))]
    if form == "DOCUMENT":
        name = values.get(f"{prefix}header.filename")
        return [pywa.HeaderDocument.params(document=media(value), filename=name)]
    if form == "PRODUCT":
        return [pywa.HeaderProduct.params(catalog_id=values["catalog"], sku=value)]
    return [
        pywa.HeaderLocation.params(
            lat=float(values["header.latitude"]),
            lon=float(values["header.longitude"]),
            name=values["header.name"],
            address=values["header.address"],
        )
    ]


def button_params(index: int, part: Part, key: str, case: Case) -> list[Any]:
    kind, value = part["type"], case.values.get(key)
    if kind == "FLOW" and (value or f"{key}.data" in case.values):
        data = case.values.get(f"{key}.data")
        return [pywa.FlowButton.params(index=index, flow_token=value, flow_action_data=data)]
    if value is None:
        return []
    if kind == "URL":
        return [pywa.URLButton.params(url_variable=value, index=index)]
    if kind == "QUICK_REPLY":
        return [pywa.QuickReplyButton.params(callback_data=value, index=index)]
    if kind == "COPY_CODE":
        return [pywa.CopyCodeButton.params(coupon_code=value, index=index)]
    if kind == "CATALOG":
        return [pywa.CatalogButton.params(thumbnail_product_sku=value, index=index)]
    sections = [
        ProductsSection(title=section["title"], skus=section["items"])
        for section in case.values["products"]
    ]
    made = pywa.MPMButton.params(
        product_sections=sections, thumbnail_product_sku=value, index=index
    )
    return [made]


def params_in(parts: Sequence[Part], prefix: str, case: Case) -> Iterator[Any]:
    """The parameters of pywa for the components, each at its place in the template."""
    for part in parts:
        kind = part["type"]
        if kind == "HEADER":
            yield from header_params(part, prefix, case)
        elif kind == "BODY":
            yield from texts(pywa.BodyText, part, prefix, case)
        elif kind == "LIMITED_TIME_OFFER" and part["limited_time_offer"].get("has_expiration"):
            ends = datetime.datetime.fromisoformat(ENDS)
            yield pywa.LimitedTimeOffer.params(expiration_time=ends)
        elif kind == "BUTTONS":
            for index, each in enumerate(part["buttons"]):
                yield from button_params(index, each, f"{prefix}button.{index}", case)
        elif kind == "CAROUSEL":
            yield pywa.Carousel.params(cards=list(cards_in(part["cards"], case)))


def cards_in(cards: Sequence[Part], case: Case) -> Iterator[Any]:
    for index in range(10):
        prefix = f"card.{index}."
        if any(key.startswith(prefix) for key in case.values):
            parts = cards[min(index, len(cards) - 1)]["components"]
            yield pywa.CarouselCard.params(params=list(params_in(parts, prefix, case)), index=index)


def sent_by_pywa(case: Case, to: str, tracker: str) -> Part:
    """The body that pywa posts for a template."""
    posted: list[Part] = []

    def answer(request: httpx.Request) -> httpx.Response:
        posted.append(json.loads(request.content))
        contact = {"input": to, "wa_id": to}
        return httpx.Response(200, json={"messages": [{"id": "m"}], "contacts": [contact]})

    with httpx.Client(
        transport=httpx.MockTransport(answer), base_url="https://graph.example"
    ) as session:
        client = WhatsApp(phone_id=PHONE_NUMBER_ID, token="t", session=session)
        client.send_template(
            to=to,
            name=case.name,
            language=pywa.TemplateLanguage.ENGLISH_US,
            params=list(params_in(case.components, "", case)) or None,
            tracker=tracker,
        )
    [body] = posted
    return body


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with its place, as Meta reads it.

    Meta takes types in small and in capital letters, and an index as a number or as its text
    (its pages have both: templates/marketing-templates/coupon-templates and mpm-templates).
    """
    if isinstance(node, dict | list):
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for name, value in pairs:
            yield from leaves(value, (*path, str(name)))
        if not node:
            yield path, node
        return
    last = path[-1]
    if last in ("type", "sub_type"):
        node = str(node).lower()
    elif last in ("index", "card_index"):
        node = str(node)
    yield path, node


@pytest.mark.timeout(300)
def test_every_type_of_template_is_sent_as_pywa_sends_it(shop, world):
    put_files(world)
    assert len(CASES) >= 40
    found: dict[str, set[str]] = {}
    faults = {fault.place for fault in FAULTS}
    seen_faults: set[str] = set()
    for case in CASES:
        parameter_format = "NAMED" if case.is_named else "POSITIONAL"
        values = {"components": case.components, "parameter_format": parameter_format}
        world.change_template(WABA_ID, case.name, "en_US", values)
        sources = [ParameterSource(key, value=value) for key, value in case.values.items()]
        broadcast = shop.planned(1, template=case.name, sources=sources)
        shop.send(broadcast)
        assert shop.counts(broadcast) == {"accepted": 1}, (case.name, shop.rows(broadcast)[1])

        sent = dict(world.inbox[-1][3])
        theirs = sent_by_pywa(case, sent["to"], sent["biz_opaque_callback_data"])
        ours, others = dict(leaves(sent)), dict(leaves(theirs))
        for path in ours.keys() | others.keys():
            mine, other = ours.get(path, LEFT_OUT), others.get(path, LEFT_OUT)
            if mine != other:
                place = path[-1]
                seen_faults |= {place} & faults
                if place not in faults:
                    said = f"{'.'.join(path)}: {mine!r}, pywa {other!r}"
                    found.setdefault(case.name, set()).add(said)

    assert found == {}
    assert seen_faults == faults


def test_a_named_fault_of_pywa_is_exactly_as_described():
    by_name = {case.name: case for case in CASES}

    def theirs(name: str) -> dict[str, Any]:
        read = leaves(sent_by_pywa(by_name[name], "+6591000001", "a"))
        return {path[-1]: value for path, value in read}

    ends = datetime.datetime.fromisoformat(ENDS).timestamp()
    assert theirs("offer")["expiration_time_ms"] == int(ends)
    assert theirs("place")["latitude"] == 1.2834
    assert theirs("flow_token")["flow_action_data"] is None
