"""Meta's error codes in words: what a code means, and what the operator does about it."""

# code: (meaning, action). Source: "Meta: error codes", "Meta: health status". 200 is 200 to 299.
TEXTS: dict[int, tuple[str, str]] = {
    0: (
        "Meta could not authenticate the token",
        "Create a new token and store it, then resume.",
    ),
    1: (
        "the request was malformed, or Meta's server failed: the message may have gone out",
        "Look for a delivery report before anybody sends it again.",
    ),
    2: (
        "Meta's service is down or overloaded for a moment",
        "Wait; look at Meta's status page when it lasts.",
    ),
    3: (
        "the app lacks a capability or a permission for this call",
        "Give the app the permissions it needs, then resume.",
    ),
    4: (
        "the app made too many calls",
        "Call less often: look for other programs that use the same app.",
    ),
    10: (
        "a permission was never granted, or was taken away",
        "Check whether the partner's or the app's access to the WABA was removed.",
    ),
    17: (
        "the user of the token made too many calls",
        "Wait a few minutes and call less often.",
    ),
    33: (
        "the business phone number was deleted",
        "Check the channel's `phone_number_id`, and whether the number was offboarded.",
    ),
    100: (
        "a parameter is unknown, misspelt or has a bad value",
        "Read the details Meta gives, and correct the row or the template's parameters.",
    ),
    102: (
        "the session of the token is not valid",
        "Create a new token and store it, then resume.",
    ),
    104: (
        "Meta wants the request signed with the app secret, or the signature is wrong",
        "Store the secret of the very app that the token belongs to.",
    ),
    190: (
        "the token has expired or was revoked",
        "Create a new token and store it, then resume.",
    ),
    200: (
        "a permission for this object is missing",
        "Assign the WABA to the system user that owns the token.",
    ),
    341: (
        "an application limit was reached for a while",
        "Wait a few minutes and call less often.",
    ),
    368: (
        "the account is blocked for a while because of a policy violation",
        "Open Account quality in WhatsApp Manager, and appeal or wait until it is lifted.",
    ),
    613: (
        "this call was made too often",
        "Wait a few minutes and call less often.",
    ),
    80007: (
        "the WABA made too many calls",
        "Wait as long as Meta says; look for other programs that use this WABA.",
    ),
    80008: (
        "the WABA made too many calls",
        "Wait as long as Meta says; look for other programs that use this WABA.",
    ),
    130403: (
        "the business has blocked this person",
        "Unblock the person in the WhatsApp Business app, or leave them out.",
    ),
    130429: (
        "the number sends faster than its limit",
        "Find out what else sends on this number; wacoex slows down by itself.",
    ),
    130472: (
        "the person is in an experiment of Meta's and gets no marketing messages",
        "Leave it: nothing can be done about this person.",
    ),
    130497: (
        "the account may not send to people in this country",
        "Leave out this country, or read Meta's messaging policy for your line of business.",
    ),
    131000: (
        "Meta failed for a reason it does not name: the message may have gone out",
        "Look for a delivery report before anybody sends it again.",
    ),
    131005: (
        "the token may not do this: a permission is missing or was removed",
        "Check the token's permissions, and whether the app's access was removed.",
    ),
    131008: (
        "a required parameter is missing",
        "Fill in the missing value for this row.",
    ),
    131009: (
        "a parameter has a value that Meta does not accept",
        "Correct the value in this row.",
    ),
    131016: (
        "a service of Meta's is unavailable for a moment",
        "Wait; look at Meta's status page when it lasts.",
    ),
    131021: (
        "sender and recipient are the same number",
        "Take the business's own number off the list.",
    ),
    131026: (
        "the message cannot be delivered: no WhatsApp, an old version, or terms not accepted",
        "Reach this person some other way.",
    ),
    131030: (
        "the recipient is not on the list of numbers a test number may write to",
        "Add the recipient to the allowed list of the test number, or use a real number.",
    ),
    131031: (
        "the account is locked for a policy violation, or data such as the PIN did not match",
        "Run `wacoex doctor`, and appeal in WhatsApp Manager.",
    ),
    131037: (
        "the display name of the number is not approved",
        "Have the display name approved in WhatsApp Manager.",
    ),
    131042: (
        "there is a problem with the payment method of the WABA",
        "Check payment method, credit line, currency and time zone in the billing settings.",
    ),
    131044: (
        "there is a problem with the payment method for calls",
        "Check payment method, credit line, currency and time zone in the billing settings.",
    ),
    131045: (
        "the number is not registered properly",
        "Check whether Coexistence was lost; do not register the number by hand.",
    ),
    131047: (
        "more than 24 hours have passed since this person last wrote",
        "Send a template instead of free text.",
    ),
    131048: (
        "too many people blocked or reported this number, so it may send less for now",
        "Pause, look at the quality rating, and clean the list.",
    ),
    131049: (
        "Meta chose not to deliver it, because this person got enough marketing already",
        "Leave this person alone for at least 24 hours; trying again makes it worse.",
    ),
    131050: (
        "the person has stopped marketing messages from this business",
        "Never send marketing to this person again; wacoex has put them on the opt-out list.",
    ),
    131051: (
        "the type of the message is not supported",
        "Read the message in the WhatsApp Business app on the phone.",
    ),
    131052: (
        "the media file could not be downloaded",
        "Check the link or the media id, then send it again.",
    ),
    131053: (
        "the media file could not be uploaded",
        "Check the file's type and size.",
    ),
    131055: (
        "the template has the wrong category for the marketing messages API",
        "Send it through the ordinary messages API, or use a marketing template.",
    ),
    131056: (
        "too many messages to this one person in a short time",
        "Wait; never put a person on a list twice.",
    ),
    131057: (
        "the number is in maintenance, for example an upgrade of its throughput",
        "Wait a few minutes.",
    ),
    131059: (
        "the place in a list of pages is out of date",
        "Read the list again from its start.",
    ),
    131060: (
        "the content of this received message is not available through the API",
        "Read the message in the WhatsApp Business app on the phone.",
    ),
    131062: (
        "a business-scoped user id cannot be used for this kind of message",
        "Use the person's phone number.",
    ),
    131063: (
        "marketing templates are switched off for this WABA on the Cloud API",
        "Switch them on again in the WABA's settings, or use the marketing messages API.",
    ),
    131064: (
        "the account sent too many templates of the wrong category and is limited",
        "Correct the category of the templates, and wait until Meta lifts the limit.",
    ),
    132000: (
        "the number of parameters differs from the template",
        "Plan again with one `--param` for each placeholder of the template.",
    ),
    132001: (
        "no approved template has this name in this language",
        "Check name and language with `wacoex template list`.",
    ),
    132005: (
        "the text is too long once the parameters are filled in",
        "Shorten the values in this row.",
    ),
    132007: (
        "the content of the template breaks a policy",
        "Change the template in WhatsApp Manager, or use another.",
    ),
    132008: (
        "a parameter of the template is not acceptable",
        "Correct the value in this row.",
    ),
    132012: (
        "a parameter has a format that differs from the template",
        "Compare the parameters with the template, and plan again.",
    ),
    132015: (
        "the template is paused because of low quality",
        "Wait until Meta ends the pause, or use another template.",
    ),
    132016: (
        "the template was paused too often and is now disabled",
        "Write a new template.",
    ),
    132018: (
        "a parameter holds something a template may not, such as a line break",
        "Take line breaks, tabs and long runs of spaces out of the value.",
    ),
    132068: (
        "the Flow of this template is blocked",
        "Repair the Flow in WhatsApp Manager.",
    ),
    132069: (
        "the Flow of this template is throttled",
        "Wait, and see why the Flow's endpoint fails or is slow.",
    ),
    133000: (
        "an earlier deregistration did not finish",
        "Leave the number alone for a while, then look at its state with `wacoex status`.",
    ),
    133004: (
        "the registration server is unavailable for a moment",
        "Wait; look at Meta's status page when it lasts.",
    ),
    133005: (
        "the two-step PIN is wrong",
        "Look the PIN up in the WhatsApp Business app; do not guess.",
    ),
    133006: (
        "the number has to be verified again",
        "Verify the number again in the WhatsApp Business app.",
    ),
    133007: (
        "the two-step PIN was entered wrongly too often",
        "Wait as long as the details say.",
    ),
    133008: (
        "there were too many attempts with the two-step PIN",
        "Wait as long as the details say.",
    ),
    133009: (
        "the two-step PIN was entered too fast",
        "Wait as long as the details say.",
    ),
    133010: (
        "the number is not registered on the Cloud API",
        "Check whether the channel was offboarded, and connect it again if so.",
    ),
    133015: (
        "the number was deleted a moment ago, and the deletion is not finished",
        "Wait at least five minutes.",
    ),
    133016: (
        "the number was registered or deregistered too often",
        "Wait 72 hours; a Coexistence number is never to be registered by hand.",
    ),
    134011: (
        "the terms for payments in WhatsApp were not accepted",
        "Accept the terms in WhatsApp Manager.",
    ),
    134100: (
        "the marketing messages API takes marketing templates only",
        "Send this template through the ordinary messages API.",
    ),
    134101: (
        "the template is still being copied to the marketing messages API",
        "Wait ten minutes.",
    ),
    134102: (
        "the template cannot be used with the marketing messages API",
        "Send it through the ordinary messages API, or use another template.",
    ),
    135000: (
        "a parameter is at fault, and Meta does not say which",
        "Compare this row with one that was accepted.",
    ),
    137000: (
        "the person's identity has changed, so the message was held back",
        "Confirm with the person that the number is still theirs.",
    ),
    138024: (
        "a setting for calls over SIP is at fault",
        "Ignore it unless you take calls over SIP: messages are not concerned.",
    ),
    138025: (
        "a setting for calls over SIP is at fault",
        "Ignore it unless you take calls over SIP: messages are not concerned.",
    ),
    141002: (
        "the template is not approved",
        "Use an approved template, or wait for the review.",
    ),
    141006: (
        "the WABA has no working payment method",
        "Add or repair the payment method in the billing settings.",
    ),
    141010: (
        "the business is not verified",
        "Verify the business in Meta Business Suite.",
    ),
    2494100: (
        "the number is in maintenance",
        "Wait a few minutes.",
    ),
    2593107: (
        "the sync was asked for more than once, and it works once",
        "Disconnect the channel and connect it again if you need the sync.",
    ),
    2593108: (
        "the sync was asked for more than 24 hours after connecting",
        "Disconnect the channel and connect it again if you need the sync.",
    ),
    2593109: (
        "the owner of the phone chose not to share the chat history",
        "Accept it, or disconnect and connect again with sharing switched on.",
    ),
}

OBJECT_NOT_VISIBLE = (
    "the object does not exist, or this token may not see it",
    "Check the id, the token's permissions, and the partner's access to the WABA.",
)
UNKNOWN = (
    "unknown to this version of wacoex",
    "Look the code up in Meta's list of error codes, and read the details it gives.",
)
