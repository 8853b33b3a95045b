"""Be an agent's responding half that blocks one hash, until it is killed: for tests."""

import sys
import time
from pathlib import Path

from agent.act import Host, _copies, block_hash
from agent.orders import Orders


def main() -> None:
    """Block the hash that is the second word, say so, and go on, telling what there is to tell.

    The first word is a folder to work in; those after the hash are looked through for copies.
    """
    folder = Path(sys.argv[1])
    # Nothing else on this machine is looked at.
    _copies.FOLDERS = tuple(sys.argv[3:])  # type: ignore[misc,assignment]
    orders = Orders(folder / "blocker.sqlite")
    host = Host(folder, orders, list, frozenset, time.time)
    block_hash.do("a", {"sha256": sys.argv[2], "minutes": 5}, host)
    print("blocked", flush=True)
    while True:
        block_hash.put(host.orders.held(), host)
        while host.news:
            print(host.news.popleft(), flush=True)
        time.sleep(0.1)


if __name__ == "__main__":
    main()
