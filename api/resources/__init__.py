"""Offer one API noun per file, found by folder.

A resource is a module with `router`, an APIRouter whose routes have a summary and a parameter
`scope: Annotated[Scope, require("noun:verb")]`; the application does not start otherwise.
"""

from typing import Final

CONTRACT: Final = ("router",)
