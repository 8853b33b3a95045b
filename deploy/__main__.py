"""Run `python -m deploy`, which is the `inopsio` command."""

from deploy.cli import main

if __name__ == "__main__":
    main()
