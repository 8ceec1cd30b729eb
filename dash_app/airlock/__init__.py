"""The parent's end of the airlock: starts the child processes that read, and checks on them."""
