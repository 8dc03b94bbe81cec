"""Measures blobcp beside an earlier build of itself, `rclone mount` and plain HTTP, on the devstore and on Azurite; see `scripts/bench`.

For every benchmark a fresh server (a quick run empties it instead); for every run of a mount a fresh mount, so that nothing is cached that the run did not ask for.
Runs alternate (blobcp, rclone, bare, blobcp, …), because other programs share the machine: whatever slows one down slows its
neighbours down as well, and the ratios are medians over the rounds. Requests and payload come from the server's counters.

Where plain HTTP is bound by the processor, no mount reaches it: each byte also goes through the kernel's FUSE and page cache. So reads
and writes are measured on `fuse_limit` as well, a mount with no service behind it. A mount has to do what both do, and takes at
least as long as the slower of them, and as their processor time on all cores: that is its limit.

The two builds of blobcp run next to each other in every round and take turns in going first. What a round says of them is the ratio
of its two runs, because noise that lasts longer than a run hits both; the table has the median of these ratios and their quartiles.
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from place import BUILDS, Broken, Server, build, commit_named, mount, relay, server
from work import MIB, benchmarks

SYSTEMS = ("blobcp", "earlier", "rclone", "bare", "fuse")
# The build that changes are measured against: what blobcp was when the work on the present issues began.
EARLIER = "e4ae440"
# What the command line of an earlier build says of a command or an option that it does not have.
UNKNOWN = re.compile("unrecognized subcommand|unexpected argument")
CORES = len(os.sched_getaffinity(0))
TICK = os.sysconf("SC_CLK_TCK")
# A run that takes this long is long enough: the rest of its rounds, but for a second one, are done without that system.
LONG = 60.0


class Measured:
    """The runs of one system in one benchmark."""

    def __init__(self):
        self.seconds, self.values, self.requests, self.payload, self.busy, self.cpu = [], [], [], [], [], []
        self.operations = {}
        self.error = None

    def median(self):
        return statistics.median(self.values) if self.values else None


def measure(benchmark, system, tag, dir):
    """One run: see `clock`."""
    host = benchmark.server
    benchmark.program = BUILDS.get(system)
    benchmark.before(tag)
    try:
        if system == "bare":
            return clock(host, None, lambda: benchmark.bare(tag))
        size = getattr(benchmark, "size", 0)
        with (
            relay(host, dir, benchmark.line) as port,
            mount(system, host, dir, benchmark.cached, size, benchmark.across, port) as mounted,
        ):
            work = benchmark.rclone if system == "rclone" else benchmark.mount
            benchmark.warm(mounted.point)
            return clock(host, mounted, lambda: work(mounted.point, tag))
    finally:
        shutil.rmtree(os.path.join(dir, "cache"), ignore_errors=True)
        if sys.exc_info()[0] is None and system != "fuse":
            benchmark.after(tag)


def clock(host, mounted, work):
    """Seconds, the server's counters, processor seconds of this process, and those of server and mount with it."""
    host.reset()
    pids = [host.pid] + ([mounted.pid] if mounted else [])
    own, others = cpu(), cpu_of(pids)
    began = time.monotonic()
    noted = work()
    ended = time.monotonic()
    own, others = cpu() - own, cpu_of(pids) - others
    stats = host.stats()
    if noted:
        # The benchmark looked at the service itself to see that it was done.
        stats["requests"]["GetBlobProperties"] -= noted["looks"]
        stats["total"] -= noted["looks"]
        if not noted["late"]:
            ended = noted["closed"]
    return ended - began, stats, own, own + others


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def cpu_of(pids):
    """Processor seconds of other processes so far."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def in_turn(systems, number):
    """The order of a round. Whoever comes first finds the service's memory cold: everybody does once."""
    start = number % len(systems)
    order = systems[start:] + systems[:start]
    # Backwards, so that the two builds of blobcp stay neighbours and each is as often the first of them.
    if "earlier" in systems and (order[0] == "earlier" or order[0] != "blobcp" and number % 2):
        return order[:1] + order[:0:-1]
    return order


def runs_in(system, benchmark):
    """Whether a system has a part in a benchmark."""
    if benchmark.across or benchmark.alone:
        return system in ("blobcp", "earlier")
    return system != "fuse" or benchmark.goal in ("read", "write")


def compare(benchmark, runs, systems, dir):
    """All rounds of one benchmark: what was measured, by system."""
    benchmark.prepare()
    results = {system: Measured() for system in systems if runs_in(system, benchmark)}
    for number in range(runs):
        for system in in_turn(list(results), number):
            result = results[system]
            if result.error or (len(result.seconds) >= 2 and min(result.seconds) > LONG):
                continue
            try:
                seconds, stats, own, all_cpu = measure(benchmark, system, f"{system}{number}", dir)
            except (Broken, OSError) as error:
                result.error = str(error)
                print(f"  {benchmark.name}, {system}: {error}", file=sys.stderr)
                continue
            result.seconds.append(seconds)
            result.values.append(benchmark.value(seconds))
            result.requests.append(stats["total"])
            result.payload.append(stats["body_bytes_in"] + stats["body_bytes_out"])
            result.busy.append(own / seconds)
            result.cpu.append(all_cpu)
            result.operations = stats["requests"]
    return results


def ratios(results, other):
    """By how much blobcp is faster than `other`, in each round that has both."""
    if other not in results:
        return []
    return [theirs / ours for ours, theirs in zip(results["blobcp"].seconds, results[other].seconds)]


def times_faster(results, other):
    """By how much blobcp is faster than `other`: the median over the rounds."""
    return statistics.median(found) if (found := ratios(results, other)) else None


def of_earlier(results):
    """The same against the earlier build, with quartiles; more than 1 where the present one is faster."""
    if not (found := ratios(results, "earlier")):
        return None
    low, median, high = statistics.quantiles(found, method="inclusive") if len(found) > 1 else found * 3
    return {"median": median, "quartiles": [low, high], "rounds": found}


def of_limit(results):
    """How near blobcp comes to what a mount can do, 1 being there: the median over the rounds."""
    if any(not results[name].seconds for name in ("blobcp", "bare", "fuse") if name in results) or "fuse" not in results:
        return None
    blobcp, bare, fuse = (results[name] for name in ("blobcp", "bare", "fuse"))
    limits = (max(a, b, (c + d) / CORES) for a, b, c, d in zip(bare.seconds, fuse.seconds, bare.cpu, fuse.cpu))
    return statistics.median(limit / ours for limit, ours in zip(limits, blobcp.seconds))


def record(benchmark, results):
    """What JSON says of one benchmark."""
    systems = {}
    for system, result in results.items():
        if not result.values:
            systems[system] = {"error": result.error}
            continue
        systems[system] = {
            "value": result.median(), "min": min(result.values), "max": max(result.values), "runs": result.values,
            "seconds": result.seconds, "requests": statistics.median(result.requests),
            "payload_bytes": statistics.median(result.payload), "operations": result.operations,
            "client_cpu": statistics.median(result.busy), "cpu_seconds": statistics.median(result.cpu),
            "error": result.error,
        }
    requests, payload = benchmark.budget()
    return {
        "name": benchmark.name, "server": benchmark.server.name, "latency_ms": benchmark.server.latency,
        "unit": benchmark.unit, "goal": benchmark.goal, "value": systems["blobcp"].get("value"), "systems": systems,
        "faster_than_rclone": times_faster(results, "rclone"), "of_bare": times_faster(results, "bare"),
        "of_limit": of_limit(results), "of_earlier": of_earlier(results), "goal_of_earlier": benchmark.of_earlier,
        "budget_requests": requests, "budget_payload_bytes": payload, "ideal_seconds": benchmark.ideal(),
    }


def figure(value, digits=3):
    if value is None:
        return "-"
    if value >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def spread(system):
    if "value" not in system:
        return "failed"
    if len(system["runs"]) == 1:
        return figure(system["value"])
    return f"{figure(system['value'])} ({figure(system['min'])}-{figure(system['max'])})"


def paired(row):
    """The cell of the earlier build."""
    if "earlier" not in row["systems"]:
        return "-"
    if not (found := row["of_earlier"]):
        return "cannot" if UNKNOWN.search(row["systems"]["earlier"].get("error") or "") else "failed"
    low, high = found["quartiles"]
    return f"{found['median']:.3f}" if len(found["rounds"]) == 1 else f"{found['median']:.3f} ({low:.3f}-{high:.3f})"


COLUMNS = "{:<31} {:<7} {:>20} {:>19} {:>20} {:>20} {:>18} {:>7} {:>8} {:>8} {:>25} {:>25}"


def table_head():
    print(COLUMNS.format(
        "", "", "blobcp", "of earlier", "rclone mount", "bare HTTP", "FUSE alone", "of bare", "of limit", "x rclone",
        "requests", "payload, MiB"
    ))


def table_row(row):
    systems = row["systems"]
    served = [system for name, system in systems.items() if name != "fuse"]
    requests = " / ".join(figure(s.get("requests"), 6) for s in served)
    payload = " / ".join("-" if s.get("payload_bytes") is None else figure(s["payload_bytes"] / MIB) for s in served)
    cells = [spread(systems[name]) if name in systems else "-" for name in SYSTEMS]
    cells[SYSTEMS.index("earlier")] = paired(row)
    print(COLUMNS.format(
        row["name"], row["unit"], *cells, figure(row["of_bare"], 2), figure(row["of_limit"], 2),
        figure(row["faster_than_rclone"], 2), requests, payload
    ), flush=True)


def goals(rows):
    """The goals that were set, each with the worst that was reached: (goal, what, reached, by how much)."""
    for row in rows:
        where = f"{row['name']}, {row['server']} + {row['latency_ms']} ms"
        ours = row["systems"]["blobcp"]
        if ours.get("value") is None:
            yield "works", where, False, "failed"
            continue
        if row["goal"] in ("read", "write"):
            reached, by = at_least(row["of_bare"], 0.9)
            yield f"{row['goal']} >= 0.9 of bare", where, reached, f"{by}; {figure(row['of_limit'], 2)} of what a mount can reach here"
            yield f"{row['goal']} >= 2 x rclone", where, *at_least(row["faster_than_rclone"], 2)
        for what, unit, scale in (("requests", "", 1), ("payload_bytes", " B", 1)):
            most = row[f"budget_{what}"]
            if most is not None:
                yield f"{what.split('_')[0]} within design 9", where, ours[what] <= most, f"{ours[what]:.0f} of {most}{unit}"
        if row["ideal_seconds"]:
            of_ideal = row["ideal_seconds"] / statistics.median(ours["seconds"])
            yield "bulk >= 0.8 of ideal", where, of_ideal >= 0.8, f"{of_ideal:.2f}, ideal {row['ideal_seconds']:.2f} s"
            yield "bulk ahead of rclone", where, *at_least(row["faster_than_rclone"], 1)
        if row["goal_of_earlier"] and "earlier" in row["systems"]:
            found = row["of_earlier"]["median"] if row["of_earlier"] else None
            yield f"{row['name'].split()[0].rstrip(',')} >= {row['goal_of_earlier']} x earlier", where, *at_least(found, row["goal_of_earlier"])
    copies = {}
    for row in rows:
        if row["goal"] == "copy" and row["systems"]["blobcp"].get("value"):
            copies.setdefault((row["server"], row["latency_ms"]), []).append(row)
    for (name, latency), (small, *larger) in copies.items():
        for large in larger:
            small_runs, large_runs = small["systems"]["blobcp"], large["systems"]["blobcp"]
            same = small_runs["requests"] == large_runs["requests"] and large_runs["payload_bytes"] == 0
            ratio = large_runs["value"] / small_runs["value"]
            yield "cp independent of size", f"{large['name']} against {small['name']}, {name} + {latency} ms", \
                same and ratio < 1.5, f"{large_runs['requests']:.0f} and {small_runs['requests']:.0f} requests, {ratio:.2f} x the time"


def at_least(value, wanted):
    return (False, "not measured") if value is None else (value >= wanted, f"{value:.2f}")


def print_goals(rows):
    """A line for each goal, and one for each benchmark that misses it."""
    by_goal = {}
    for goal, where, reached, by in goals(rows):
        by_goal.setdefault(goal, []).append((where, reached, by))
    print("\nGoals")
    for goal, found in by_goal.items():
        missed = [(where, by) for where, reached, by in found if not reached]
        print(f"  {goal:<28} {len(found) - len(missed)} of {len(found)} {'reached' if not missed else 'reached; missed by:'}")
        if goal == "bulk >= 0.8 of ideal":
            for where, reached, by in found:
                if reached:
                    print(f"    {where:<58} {by}")
        for where, by in missed:
            print(f"    {where:<58} {by}")
    return [
        {"goal": goal, "where": where, "reached": reached, "by": by}
        for goal, found in by_goal.items() for where, reached, by in found
    ]


def ask(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def machine():
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"MemTotal:\s+(\d+)", file.read())[1]) * 1024
    with open("/proc/cpuinfo") as file:
        processor = re.search(r"model name\s*:\s*(.*)", file.read())
    with open("target/node/node_modules/azurite/package.json") as file:
        azurite = json.load(file)["version"]
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": CORES, "processor": processor[1] if processor else platform.machine(),
        "memory_bytes": memory, "kernel": platform.release(), "load": os.getloadavg()[0],
        "blobcp": f"{ask('target/release/blobcp', '--version').split()[-1]} ({ask('git', 'describe', '--always', '--dirty')})",
        "rclone": ask("target/python/bin/rclone", "version").splitlines()[0].split()[-1].lstrip("v"),
        "azurite": azurite, "node": ask("node", "--version").lstrip("v"), "python": platform.python_version(),
        "rustc": ask("rustc", "--version").split(" ")[1],
    }


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures blobcp beside rclone mount and plain HTTP.")
    parser.add_argument("--quick", action="store_true", help="one run in small sizes: whether it works, not how fast")
    parser.add_argument("--only", metavar="NAME", action="append", help="only benchmarks with NAME in their name")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    parser.add_argument("--runs", type=int, default=5, help="how often each is run [default: 5]")
    parser.add_argument("--server", choices=("devstore", "azurite"), action="append", help="only on this one")
    parser.add_argument("--latency", type=int, action="append", metavar="MS", help="added per request [default: 0 and 10]")
    parser.add_argument("--without-rclone", action="store_true", help="blobcp and plain HTTP alone")
    parser.add_argument("--against", metavar="COMMIT", help=f"pair with the build of this commit, or none [default: {EARLIER}]")
    options = parser.parse_args()
    named = options.against or EARLIER
    options.commit = None if named == "none" else commit_named(named)
    if not options.commit and named != "none":
        if options.against:
            parser.error(f"--against: there is no commit {named}")
        print(f"Without an earlier build: this repository does not have {named}", file=sys.stderr)
    return options


def main():
    options = arguments()
    # SIGTERM ends like Ctrl-C: everything is ended and unmounted on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.commit:
        try:
            BUILDS["earlier"] = build(options.commit)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"The earlier build fails: {error}", file=sys.stderr)
            return 2
    about = machine() | {"earlier": options.commit}
    began = time.monotonic()
    print(
        f"{about['date']}  {about['cores']} cores, {about['processor']}, {about['memory_bytes'] / 1024**3:.0f} GiB, "
        f"Linux {about['kernel']}, load {about['load']:.1f}\nblobcp {about['blobcp']}, rclone {about['rclone']}, "
        f"Azurite {about['azurite']} on Node {about['node']}, Python {about['python']}, rustc {about['rustc']}"
    )
    runs = 1 if options.quick else options.runs
    if runs > 1:
        print(f"{runs} runs each: median (min-max)")
    if options.commit:
        spoken = ", and their quartiles" if runs > 1 else ""
        print(f"of earlier: speed / that of {options.commit[:7]}, the median of the ratios of each round{spoken}")
    left_out = ({"rclone"} if options.without_rclone else set()) | (set() if options.commit else {"earlier"})
    systems = [name for name in SYSTEMS if name not in left_out]
    rows = []
    try:
        with tempfile.TemporaryDirectory(prefix="blobcp-bench.") as dir:
            for name in options.server or ("devstore", "azurite"):
                for latency in options.latency or (0, 10):
                    measure_all(name, latency, options, runs, systems, dir, rows)
    except KeyboardInterrupt:
        print("\nInterrupted", file=sys.stderr)
        return 130
    if not rows:
        print("No benchmark has that name", file=sys.stderr)
        return 2
    reached = print_goals(rows)
    busiest = max((row["systems"].get("bare", {}).get("client_cpu", 0), row["name"]) for row in rows)
    minutes = (time.monotonic() - began) / 60
    print(f"\nThe plain HTTP client took at most {busiest[0]:.2f} of a core ({busiest[1]}). {minutes:.1f} minutes.")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": about, "runs": runs, "quick": options.quick, "benchmarks": rows, "goals": reached}, file, indent=1)
    return 1 if any(result.get("error") for row in rows for result in [row["systems"]["blobcp"]]) else 0


def measure_all(name, latency, options, runs, systems, dir, rows):
    """All benchmarks on one server. Each gets a fresh one, but for a quick run, where it is only emptied."""
    listed = benchmarks(Server(name, None, latency), options.quick)
    wanted = [
        number for number, benchmark in enumerate(listed)
        if not options.only or any(only in benchmark.name for only in options.only)
    ]
    if not wanted:
        return
    print(f"\n{name}, {latency} ms added to every request" if latency else f"\n{name}")
    table_head()

    def one(host, number):
        benchmark = benchmarks(host, options.quick)[number]
        row = record(benchmark, compare(benchmark, runs, systems, dir))
        rows.append(row)
        table_row(row)

    if options.quick:
        with server(name, latency, dir) as host:
            for number in wanted:
                one(host, number)
                host.empty()
    else:
        for number in wanted:
            with server(name, latency, dir) as host:
                one(host, number)


if __name__ == "__main__":
    sys.exit(main())
