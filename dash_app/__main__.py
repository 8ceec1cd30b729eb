"""`python -m dash_app`: the command line."""

import gc

# Hardly anything of what is loaded can go: to look for it takes a seventh of a start.
gc.disable()

from dash_app.cli import main  # noqa: E402

main(prog_name="./ops/run")
