"""Frozen values that all other packages pass on. Standard library only."""
