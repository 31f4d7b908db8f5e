"""Arguments that several commands have, told in the same words."""

from pathlib import Path
from typing import Annotated

import typer

RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, its beginning, or `last`.")
]

InstructionsFile = Annotated[
    Path | None,
    typer.Option(
        "--instructions",
        metavar="FILE",
        help="Your own instructions to the model; never a file of the workspace.",
    ),
]

ContextFiles = Annotated[
    bool | None,
    typer.Option(
        "--context-files/--no-context-files",
        help="Show the model AGENTS.md and its like, as a stranger's words (it does).",
    ),
]
"""None: as the configuration says."""

Prices = Annotated[
    Path | None,
    typer.Option(
        "--prices", metavar="FILE", help="What models cost, for budget.usd; before what we know."
    ),
]
