"""How the Graph API says no: codes, HTTP statuses and the shape of the answer."""

from __future__ import annotations

from collections.abc import Mapping

# Meta: error codes. Code -> (HTTP status, title); Meta gives no status for some, 400 stands there.
KNOWN_CODES: Mapping[int, tuple[int, str]] = {
    0: (401, "We were unable to authenticate the app user"),
    1: (400, "Invalid request or possible server error"),
    2: (503, "Temporary due to downtime or due to being overloaded"),
    3: (500, "Capability or permissions issue"),
    4: (400, "The app has reached its API call rate limit"),
    10: (403, "Permission is either not granted or has been removed"),
    17: (400, "User request limit reached"),
    33: (400, "The business phone number has been deleted"),
    100: (400, "Invalid parameter"),
    190: (401, "Invalid OAuth access token - Cannot parse access token"),
    200: (403, "You do not have the necessary permissions"),
    341: (400, "Application request limit reached"),
    368: (403, "The account has been temporarily blocked for policy violations"),
    613: (400, "Calls to this api have exceeded the rate limit"),
    80007: (400, "The WhatsApp Business Account has reached its rate limit"),
    80008: (400, "There have been too many calls to this WhatsApp Business account"),
    130403: (400, "The business has blocked this user"),
    130429: (400, "Rate limit hit"),
    130472: (400, "User's number is part of an experiment"),
    130497: (403, "Business account is restricted from messaging users in this country"),
    131000: (500, "Something went wrong"),
    131005: (403, "Access denied"),
    131008: (400, "Required parameter is missing"),
    131009: (400, "Parameter value is not valid"),
    131016: (500, "Service unavailable"),
    131021: (400, "Recipient cannot be sender"),
    131026: (400, "Message undeliverable"),
    131030: (400, "Recipient phone number not in allowed list"),
    131031: (403, "Business Account locked"),
    131037: (400, "Display name approval is needed"),
    131042: (400, "Business eligibility payment issue"),
    131044: (400, "Business eligibility payment issue"),
    131045: (500, "Incorrect certificate"),
    131047: (400, "Re-engagement message"),
    131048: (400, "Spam rate limit hit"),
    131049: (400, "Meta chose not to deliver this message"),
    131050: (400, "User has stopped marketing messages from this business"),
    131051: (400, "Unsupported message type"),
    131052: (400, "Media download error"),
    131053: (400, "Media upload error"),
    131055: (400, "Method not allowed"),
    131056: (400, "(Business Account, Consumer Account) pair rate limit hit"),
    131057: (500, "Account in maintenance mode"),
    131059: (400, "Invalid or stale cursor"),
    131062: (400, "Business-scoped user id is not supported for this message"),
    131063: (400, "Marketing messages are disabled on Cloud API"),
    131064: (400, "Limit for misclassified templates reached"),
    132000: (400, "Number of parameters does not match the expected number of params"),
    132001: (404, "Template name does not exist in the translation"),
    132005: (400, "Translated text too long"),
    132007: (400, "Template content policy violated"),
    132008: (400, "Invalid template parameter"),
    132012: (400, "Parameter format does not match format in the created template"),
    132015: (400, "Template is paused"),
    132016: (400, "Template is disabled"),
    132018: (400, "There is an issue with the parameters in the template"),
    132068: (400, "Flow is in blocked state"),
    132069: (400, "Flow is in throttled state"),
    133000: (500, "Incomplete deregistration"),
    133004: (503, "Server temporarily unavailable"),
    133010: (400, "Phone number not registered"),
    133015: (400, "The phone number was deleted a moment ago"),
    134011: (400, "Payments terms have not been accepted"),
    134100: (400, "Only marketing messages are supported"),
    134101: (400, "Template is syncing"),
    134102: (500, "Template is unavailable"),
    135000: (400, "Generic user error"),
    137000: (400, "The identity of the user has changed"),
    2494100: (400, "The phone number is being upgraded"),
    2593107: (400, "The sync was requested too many times"),
    2593108: (400, "The sync was requested outside of the allowed time"),
}


class Refusal(Exception):
    """The pretend Graph API refuses; `details` is what Meta puts into `error_data`."""

    def __init__(
        self,
        code: int,
        details: str | None = None,
        *,
        subcode: int | None = None,
        status: int | None = None,
        message: str | None = None,
        error_type: str = "OAuthException",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        known_status, title = KNOWN_CODES.get(code, (400, "An unknown error has occurred"))
        super().__init__(details or title)
        self.code = code
        self.details = details
        self.subcode = subcode
        self.status = known_status if status is None else status
        self.message = message or f"(#{code}) {title}"
        self.error_type = error_type
        self.headers = dict(headers or {})


def error_body(refusal: Refusal, trace_id: str) -> dict[str, object]:
    """The JSON of a refusal, in the shape of the Graph API (Meta: error codes)."""
    error: dict[str, object] = {
        "message": refusal.message,
        "type": refusal.error_type,
        "code": refusal.code,
    }
    if refusal.details is not None:
        error["error_data"] = {"messaging_product": "whatsapp", "details": refusal.details}
    if refusal.subcode is not None:
        error["error_subcode"] = refusal.subcode
    return {"error": {**error, "fbtrace_id": trace_id}}


def unknown_object(method: str, node_id: str) -> Refusal:
    """Code 100 with subcode 33: the object is not there, or this token may not see it."""
    return Refusal(
        100,
        subcode=33,
        message=(
            f"Unsupported {method.lower()} request. Object with ID '{node_id}' does not exist, "
            "cannot be loaded due to missing permissions, or does not support this operation"
        ),
        error_type="GraphMethodException",
    )


def nonexisting_field(field: str, node_type: str) -> Refusal:
    """Code 100, as the Graph API says it of a field or an edge that a node does not have."""
    return Refusal(
        100,
        message=f"(#100) Tried accessing nonexisting field ({field}) on node type ({node_type})",
    )
