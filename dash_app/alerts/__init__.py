"""From what is amiss to who is told: findings become incidents, and incidents messages.

Pure functions and values, but for what sends a message or a sign of life. Nothing here reads a
watched database, and nothing here draws a page.
"""
