"""Hold what browsers load: styles and scripts, the same for everybody. Never put data here."""
