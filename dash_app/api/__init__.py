"""JSON for automation. Views of the newest snapshot and of the history; no pandas, no Dash."""
