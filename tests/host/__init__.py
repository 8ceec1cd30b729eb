"""A booted Debian on which the service is installed as on a server; `ops/test-host` runs this."""
