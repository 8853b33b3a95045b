"""Be an agent's responding half that blocks one hash, until it is killed: for tests."""

import sys
import threading
import time
from pathlib import Path

from agent.act import Host, _copies, block_hash
from agent.orders import Orders


def main() -> None:
    """Block the hash that is the second word, say so, and go on; the first is a folder."""
    folder = Path(sys.argv[1])
    _copies.FOLDERS = ()  # type: ignore[misc,assignment]  # nothing else on this machine is looked at
    orders = Orders(folder / "blocker.sqlite")
    host = Host(folder, orders, list, frozenset, time.time)
    block_hash.do("a", {"sha256": sys.argv[2], "minutes": 5}, host)
    print("blocked", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
