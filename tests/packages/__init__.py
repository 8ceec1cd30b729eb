"""Tests of the wheel with uv, pipx and a package index; see `ops/test-packages`."""
