"""What a gate holds, counted from inside: imported by the gate's own process, which answers SIGUSR2 with a file.

What is remembered on purpose (pure results, the last refusals, the syncs) is emptied before the count: it is bounded,
and how full it is says nothing. The collector's generations are emptied too, and the allocator gives back what it can.
"""

import contextlib
import ctypes
import gc
import heapq
import json
import re
import signal
import sys
import threading
from collections import Counter
from pathlib import Path


def install(path):
    """Answer each SIGUSR2 with a census in the file `path`."""

    def told(*_):
        from twisted.internet import reactor  # noqa: TID251 - this is the gate's process

        reactor.callFromThread(write, reactor, Path(path))

    signal.signal(signal.SIGUSR2, told)


def write(reactor, path):
    """Count, and put the census where the one who asked will look."""
    reactor.suggestThreadPoolSize(1)  # else Twisted starts one more whenever two are wanted at once, up to ten
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(census(reactor)))
    beside.replace(path)


def _emptied(memory):
    """Empty it; how much it held."""
    held = len(memory)
    memory.clear()
    return held


def _without_cancelled(reactor):
    """Twisted takes cancelled timers out of its heap once there are more than fifty, or when their time comes."""
    reactor._pendingTimedCalls = [call for call in reactor._pendingTimedCalls if not call.cancelled]
    heapq.heapify(reactor._pendingTimedCalls)
    reactor._cancellations = 0


def census(reactor):
    """Everything that must not grow, as a plain dict."""
    from couchgate.core.lines import Splitter
    from couchgate.core.memo import Memo
    from couchgate.sight.refusals import Refusals
    from couchgate.sight.syncs import Syncs
    from couchgate.upstream.pool import UpstreamPool
    from couchgate.web.factory import GateSite

    gc.unfreeze()  # the service set aside what was there when it began
    gc.collect()
    remembered = 0
    for one in gc.get_objects():
        if isinstance(one, Memo):
            remembered += _emptied(one) + _emptied(one._old)
        elif isinstance(one, Splitter):
            one._last = None
        elif isinstance(one, Refusals):
            remembered += _emptied(one._ring)
        elif isinstance(one, Syncs):
            remembered += _emptied(one._known) + _emptied(one._unknown)
    one = None
    _without_cancelled(reactor)
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
    objects = gc.get_objects()
    sites = [one for one in objects if isinstance(one, GateSite)]
    pools = [one for one in objects if isinstance(one, UpstreamPool)]
    answer = {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "timers": len(reactor.getDelayedCalls()),
        "connections": sum(site.connections for site in sites),
        "feeds": sum(len(site.site.open_feeds) + len(site.site.places) for site in sites),
        "pooled": sum(pool.idle for pool in pools),
        "upstream": sum(pool.open + len(pool._pending) for pool in pools),
        "retired": len(pools) - 1,
        "remembered": remembered,
        "blocks": sys.getallocatedblocks(),
        "resident": int(re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]),
        "objects": len(objects),
        "types": Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in objects),
    }
    del objects, sites, pools
    gc.freeze()
    return answer
