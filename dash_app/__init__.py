"""Mission Control: one page that says whether the agents' SQLite databases are well.

Imports run one way, from the left to the right of this line and never back:

    model, settings, words -> watched, events, history -> findings, ledger, selfcheck -> sampler
    -> loader, network, gate, listeners, doctor, deployment, demo -> page, api, metrics -> server
    -> service -> cli

`model` and `surroundings` hold the vocabulary, `watched` alone touches a watched file, `events` and
`findings` say what a reading means, `ledger` keeps that, `sampler` keeps the newest snapshot, and
page, API and metrics are views of it, joined to one application by `server`. `listeners` answer at
each address, behind a `gate`: `connections` bounds what one client can hold, `lanes` decides which
request is answered next. `service` keeps all that alive. Nothing is imported here, so that each
process loads only what it needs.
"""

VERSION = "0.1.0"
