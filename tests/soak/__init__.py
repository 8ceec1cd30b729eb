"""A soak test: no conflict may be reported beside programs that have none."""
