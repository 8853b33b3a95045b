"""The house's processes have numpy work in one thread each."""

import os
import subprocess
import sys

CODE = """
import os
import deploy
import numpy as np
np.ones((600, 600)) @ np.ones((600, 600))
print(len(os.listdir("/proc/self/task")))
"""


def test_numpy_starts_no_threads_of_its_own() -> None:
    free = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=free, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"
