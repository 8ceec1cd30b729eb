"""A month at high speed: known rhythms, planted failures, and what a person was told of them.

`rhythms` says when tables are written, `world` plays databases and their writers by a clock of its
own, `plants` are the failures and what must be told of each, `courses` say which are planted when,
`drive` lets the real sampler, history, incidents and alerts watch that world, and `verdict` holds
the messages against the plants.
"""
