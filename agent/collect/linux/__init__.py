"""Look at a Linux host: the kernel's own interfaces by hand, the standard library only."""
