"""A simulated month: known rhythms, injected faults, and the notifications that a person received.

`rhythms` says when tables are written and `world` simulates databases and their writers. `runner`
lets the real service watch that world. `injected_faults` are the failures, each with the
notifications expected of it, `scenarios` schedule them, and `checks` compares the notifications
received with those expected.
"""
