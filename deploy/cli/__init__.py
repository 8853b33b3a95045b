"""Be the `inopsio` command: one file a command group, found by folder.

Each module has `register(app: cyclopts.App) -> None`. A command returns its exit code
(`deploy.output`: 0 done, 1 failed, 2 wrong use, 3 done but some input was refused).
"""

import importlib
import logging
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Final, TextIO, cast

import cyclopts
import structlog

from deploy.log_lines import LogLines
from deploy.output import DONE, FAILED, WRONG_USE, say
from storage.errors import InopsioError, InvalidInput, PluginError

CONTRACT: Final = ("register",)
_FOLDER: Final = Path(__file__).parent


def build(word: str | None = None) -> cyclopts.App:
    """Put the command together: whole, or with only what the command line's first `word` needs.

    A file is named after its command, so that `inopsio flows` does not load the database; a word
    that names none (`--help`) gets a list of the commands, of which none is loaded.
    """
    app = cyclopts.App(
        name="inopsio",
        help="Watch a company as one system: security and business events on one backbone.",
        version="0.1.0",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
    )
    files = sorted(_FOLDER.glob("[!_]*.py"))
    if word is None or word in {file.stem for file in files}:
        for name in [word] if word else [file.stem for file in files]:
            _module(name).register(app)
    else:
        for file in files:
            app.command(cyclopts.App(name=file.stem, help=_first_line(file)))
    return app


def _module(word: str) -> ModuleType:
    module = importlib.import_module(f"{__name__}.{word}")
    for name in CONTRACT:
        if not hasattr(module, name):
            raise PluginError(f"deploy/cli/{word}.py lacks '{name}'")
    return module


def _first_line(file: Path) -> str:
    """Give what a file's first line says after the command's name."""
    with file.open(encoding="utf-8") as text:
        said = text.readline().strip().strip('"')
    told = said.partition(": ")[2] or said
    return told[:1].upper() + told[1:]


def _log_to_stderr() -> None:
    levels = logging.getLevelNamesMapping()
    level = levels.get(os.environ.get("INOPSIO_LOG_LEVEL", "info").upper(), logging.INFO)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", LogLines(sys.stderr))),
        cache_logger_on_first_use=True,
    )


def main() -> None:
    """Run one command and leave with its exit code; every error is one sentence."""
    _log_to_stderr()
    sys.exit(run(sys.argv[1:]))


def _check(words: list[str]) -> None:
    """Refuse an empty word that no option takes: as a path it would be the current folder."""
    before = ["", *words]
    if any(not word and not before[at].startswith("--") for at, word in enumerate(words)):
        raise InvalidInput("one of the words is empty: is a variable not set?")


def run(words: list[str]) -> int:
    """Run the command the words name; give the exit code."""
    try:
        _check(words)
        code = build(words[0] if words else "")(words)
    except cyclopts.CycloptsError as wrong:
        say(f"inopsio: {wrong}\nTry: inopsio --help")
        return WRONG_USE
    except InvalidInput as wrong:
        say(f"inopsio: {wrong}")
        return WRONG_USE
    except InopsioError as failed:
        say(f"inopsio: {failed}")
        return FAILED
    except KeyboardInterrupt:
        say("inopsio: stopped")
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as unforeseen:
        say(
            f"inopsio: unforeseen {type(unforeseen).__name__}: {unforeseen}; "
            "set INOPSIO_DEBUG=1 to see where, and please report it"
        )
        if os.environ.get("INOPSIO_DEBUG"):
            raise
        return FAILED
    return code if isinstance(code, int) else DONE
