"""Notifications about incidents, and the heartbeat to an external monitor."""
