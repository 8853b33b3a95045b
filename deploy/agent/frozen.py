"""Start the agent where PyInstaller has frozen it; `freeze.spec` names this file."""

import importlib
import sys
import types


class Late(types.ModuleType):
    """A module that is loaded when something of it is asked for."""

    def __getattr__(self, name: str) -> object:
        """Load it, and give what was asked for."""
        if name.startswith("__"):
            raise AttributeError(name)
        del sys.modules[self.__name__]
        self.__dict__.update(importlib.import_module(self.__name__).__dict__)
        return self.__dict__[name]


def unsigned(_: object) -> str:
    """Say nothing of what a class is called with."""
    return ""


# `dataclasses` asks for signatures only to write docstrings, of which there are none here; what
# stands behind it would hold 1 MB in each process.
late = Late("inspect")
late.__dict__["signature"] = unsigned
sys.modules["inspect"] = late
importlib.import_module("agent.start").main()
