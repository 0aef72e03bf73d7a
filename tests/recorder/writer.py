"""A child that records at full speed, and keeps beside the ring what it is doing: a file of two numbers.

It decides two requests and ends the second, over and over; each tenth of the first stays under way for good. The truth
is the number of the step that it has begun and of the one that it has completed, each stored by one instruction.
"""

import mmap
import sys
from pathlib import Path

from tests.recorder.rings import Written, finish, let_through, request

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with (folder / "truth").open("r+b") as file:
        truth = memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")
    written = Written(folder / "recorder")
    flight, one = written.flight, request()
    step = 0
    while True:
        step += 1
        truth[0] = step
        if step % 2:
            let_through(flight, one, 0)
        else:
            finish(flight, one)
        truth[1] = step
