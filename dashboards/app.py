"""Mount the console on the ASGI application."""

from fastapi import FastAPI

from storage.database import Database
from storage.lake import Lake
from storage.settings import Settings


def mount(app: FastAPI, settings: Settings, database: Database, lake: Lake) -> None:
    """Add every page to the app, behind the same sign-in."""
    del app, settings, database, lake
