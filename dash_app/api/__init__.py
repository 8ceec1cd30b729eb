"""JSON for automation, made from the newest snapshot and the history, without pandas and Dash.

`routes` parses a query (`parameters`), builds a document (`serializers`) and sends it
(`responses`). `openapi` writes `openapi.json` from `parameters`, `schemas`, `route_docs` and
`examples`; the running service loads only the first of these.
"""
