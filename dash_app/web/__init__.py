"""The WSGI application, its access rules, and the listeners that serve it."""
