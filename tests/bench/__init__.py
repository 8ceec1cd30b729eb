"""What Mission Control costs, compared with references in the same run."""
