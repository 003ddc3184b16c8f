"""The templates of the default world, one of each shape that makes a difference."""

from __future__ import annotations

from typing import Any

Component = dict[str, Any]


def default_templates() -> list[dict[str, Any]]:
    """Every template of the default world as the values of its node."""
    return [
        _template("order_ready", "UTILITY", _positional_body("Hello {{1}}, order {{2}} is ready.")),
        _template(
            "order_ready",
            "UTILITY",
            _positional_body("Hallo {{1}}, Bestellung {{2}} ist fertig."),
            language="de",
        ),
        _template(
            "spring_sale",
            "MARKETING",
            _named_body("Hello {{first_name}}, our spring sale is on."),
            _buttons({"type": "QUICK_REPLY", "text": "Stop promotions"}),
            parameter_format="NAMED",
        ),
        _template(
            "appointment",
            "UTILITY",
            _text_header("Appointment on {{1}}"),
            _positional_body("Hello {{1}}, we expect you."),
            {"type": "FOOTER", "text": "Corner Bakery"},
            _buttons(_url_button("https://bakery.example/a/{{1}}")),
        ),
        plain_template("opening_hours"),
        plain_template("opening_hours", language="de"),
        _template(
            "new_menu",
            "MARKETING",
            {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["sandbox"]}},
            _positional_body("Hello {{1}}, here is our new menu."),
        ),
        _template(
            "flash_sale", "MARKETING", _positional_body("Only today, {{1}}."), status="PAUSED"
        ),
        _template(
            "free_money",
            "MARKETING",
            _positional_body("Free money, {{1}}."),
            status="REJECTED",
            rejected_reason="SCAM",
        ),
    ]


def plain_template(name: str, *, language: str = "en_US") -> dict[str, Any]:
    """An approved template without placeholders."""
    body = {"type": "BODY", "text": "We are open from 8 to 18 every day."}
    return _template(name, "UTILITY", body, language=language)


def _template(
    name: str,
    category: str,
    *components: Component,
    language: str = "en_US",
    parameter_format: str = "POSITIONAL",
    status: str = "APPROVED",
    rejected_reason: str = "NONE",
) -> dict[str, Any]:
    return {
        "name": name,
        "language": language,
        "status": status,
        "category": category,
        "components": list(components),
        "parameter_format": parameter_format,
        "quality_score": {"score": "GREEN", "date": 1760000000},
        "rejected_reason": rejected_reason,
    }


def _positional_body(text: str) -> Component:
    values = ["Ana", "A-17"][: text.count("{{")]
    return {"type": "BODY", "text": text, "example": {"body_text": [values]}}


def _named_body(text: str) -> Component:
    example = {"body_text_named_params": [{"param_name": "first_name", "example": "Ana"}]}
    return {"type": "BODY", "text": text, "example": example}


def _text_header(text: str) -> Component:
    example = {"header_text": ["Monday"]}
    return {"type": "HEADER", "format": "TEXT", "text": text, "example": example}


def _buttons(*buttons: Component) -> Component:
    return {"type": "BUTTONS", "buttons": list(buttons)}


def _url_button(url: str) -> Component:
    example = [url.replace("{{1}}", "17")]
    return {"type": "URL", "text": "Change it", "url": url, "example": example}
