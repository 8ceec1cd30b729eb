"""The references that systems are compared with: `python -m tests.bench.bare KIND PORT BODY`.

`dash` is a bare Dash app with pandas that answers /api/db-status with the bytes of the file BODY
and with our headers; `hello` is a WSGI function of one line. Waitress serves both.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import waitress

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def dash_app(body: bytes) -> Any:
    """Return a WSGI application with a constant JSON route and a page of five cards."""
    import dash_bootstrap_components as dbc
    import pandas as pd
    from dash import Dash, Input, Output, dcc, html
    from flask import Response

    frame = pd.DataFrame({"name": [f"card {n}" for n in range(5)], "rows": range(5)})
    app: Any = Dash(__name__, update_title="")
    app.layout = html.Div(
        [
            dcc.Interval(id="tick", interval=1000),
            html.Div(
                [dbc.Card(dbc.CardBody([row.name, str(row.rows)])) for row in frame.itertuples()],
                id="cards",
            ),
            html.Div(id="age"),
        ]
    )

    @app.callback(Output("age", "children"), Input("tick", "n_intervals"))  # type: ignore[untyped-decorator]
    def tick(beat: int | None) -> str:
        return str(beat)

    @app.server.get("/api/db-status")  # type: ignore[untyped-decorator]
    def constant() -> Response:
        return Response(body, mimetype="application/json")

    @app.server.after_request  # type: ignore[untyped-decorator]
    def headers(response: Response) -> Response:
        if response.mimetype == "application/json":
            response.headers.update(HEADERS)
        return response

    return app.server


def hello(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer "hello"."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def main() -> None:
    """Serve until killed."""
    kind, port, body = sys.argv[1:]
    app = hello if kind == "hello" else dash_app(Path(body).read_bytes())
    waitress.serve(
        app, host="127.0.0.1", port=int(port), threads=8, asyncore_use_poll=True, ident=None
    )


if __name__ == "__main__":
    main()
