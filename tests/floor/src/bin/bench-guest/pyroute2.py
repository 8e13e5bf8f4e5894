"""Gives the kernel the rules on standard input by pyroute2, one call a rule, and prints the nanoseconds that a call took.

The argument is the directory that has pyroute2. Rules are those of ipvsadm that `world.rs` writes. What is known before
the kernel is asked, the objects, is made before the clock starts; writing messages and reading answers is in the time.
"""

import sys
import time
from socket import IPPROTO_TCP

sys.path.insert(0, sys.argv[1])

from pyroute2 import IPVS, IPVSDest, IPVSService

# Masquerading, ipvsadm's -m.
MASQUERADE = 0


def place(text):
    address, port = text.rsplit(":", 1)
    return {"addr": address, "port": int(port)}


def service(at, **more):
    return IPVSService(protocol=IPPROTO_TCP, **place(at), **more)


def call(ipvs, rule):
    """The method that does what the rule says, and its arguments."""
    match rule.split():
        case ["-A", "-t", at, "-s", scheduler]:
            return ipvs.service, ("add", service(at, sched_name=scheduler))
        case [("-a" | "-e") as verb, "-t", at, "-r", server, "-m", "-w", weight]:
            destination = IPVSDest(fwd_method=MASQUERADE, weight=int(weight), **place(server))
            return ipvs.dest, ("add" if verb == "-a" else "set", service(at), destination)
    sys.exit(f"not a rule that is measured: {rule}")


with IPVS() as ipvs:
    calls = [call(ipvs, rule) for rule in sys.stdin]
    start = time.perf_counter_ns()
    for method, arguments in calls:
        method(*arguments)
    print((time.perf_counter_ns() - start) // len(calls))
