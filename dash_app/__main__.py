"""`python -m dash_app`: the command line."""

import gc

# Loading leaves hardly any garbage, and collecting it takes a seventh of the start.
gc.disable()

from dash_app.cli import main  # noqa: E402
from dash_app.words.commands import RUN  # noqa: E402

main(prog_name=RUN)
