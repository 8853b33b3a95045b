"""Look at a host that is not Linux, with psutil: by comparison of two looks, no kernel events."""
