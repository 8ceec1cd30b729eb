"""What Mission Control costs, measured beside a reference in the same run."""
