"""JSON for automation. Views of the newest snapshot and of the history; no pandas, no Dash.

`routes` answer by `views`, after `parameters`, in the manner of `answers`. The contract is written
down in `documents`, `described` and `examples`, from which `openapi` makes the file of that name,
and the running service loads none of these four.
"""
