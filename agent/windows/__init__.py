"""Be at home on Windows: its service manager, its rights, what it says of the host.

Each module here loads on Windows only; `mypy --platform win32` checks them.
"""
