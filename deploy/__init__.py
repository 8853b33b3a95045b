"""Wire the house together: the `inopsio` command and its processes."""
