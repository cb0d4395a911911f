"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Option("--data", help="The stack's folder.", envvar="KAPCARE_DATA", show_default=".kap in the project")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
