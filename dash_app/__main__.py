"""`python -m dash_app`: the command line."""

from dash_app.cli import main

main(prog_name="./ops/run")
