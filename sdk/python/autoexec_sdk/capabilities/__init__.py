"""One module per capability of the host, and those that every tool has."""
