"""Write what the flow made, inside the one transaction: one file a sink, found by folder.

A sink is a module with `NAME: str` and `write(tx, outcome) -> None`; writing twice changes nothing.
It may have `choose(settings)`, which gives what is to be called instead of `write`, or None.
"""

from typing import Final

CONTRACT: Final = ("NAME", "write")
