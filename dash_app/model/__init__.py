"""The vocabulary: frozen values that every other package passes on. Standard library only."""
