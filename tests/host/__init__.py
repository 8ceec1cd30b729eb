"""Tests on a booted Debian with the service installed as on a server; see `ops/test-host`."""
