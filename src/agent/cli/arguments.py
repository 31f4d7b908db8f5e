"""Arguments that several commands have, told in the same words."""

from typing import Annotated

import typer

RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, its beginning, or `last`.")
]
