"""The options that make a broadcast mind something while it is sent."""

from typing import Annotated

import typer

CanaryOption = Annotated[
    int | None,
    typer.Option(
        "--canary",
        metavar="N",
        help="Send to N people first, and to the rest only when that went well; 0: no more.",
    ),
]
CanaryWaitOption = Annotated[
    str | None,
    typer.Option(
        "--canary-wait", metavar="TIME", help="Wait so long for their statuses; 10m if left out."
    ),
]
CanaryLimitOption = Annotated[
    str | None,
    typer.Option(
        "--canary-limit", metavar="SHARE", help="Fewer than this may fail; 10% if left out."
    ),
]
QuietHoursOption = Annotated[
    str | None,
    typer.Option(
        "--quiet-hours",
        metavar="FROM-TO",
        help="Hold a message back while it is so late where its number is from:"
        " 21:00-08:00; or none.",
    ),
]
NotBeforeOption = Annotated[
    str | None,
    typer.Option(
        "--not-before",
        metavar="TIME",
        help="Wait until then (21:00, or a date and time, in the channel's zone); check again.",
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Pause then; times as for --not-before."),
]
