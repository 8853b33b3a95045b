"""Be the command where the package is run as a module."""

from agent.start import main

if __name__ == "__main__":
    main()
