"""Hold the rules by which a host's settings are judged: TOML files beside this one."""
