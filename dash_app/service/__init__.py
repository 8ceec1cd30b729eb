"""The process that serves: its life cycle, and what the installer checks."""
