"""What a benchmark runs on: a fresh server, fresh mounts of it, and their end.

Everything is a context manager that ends what it started, by its pid, and unmounts what it mounted, also when the benchmark
fails or the user presses Ctrl-C. Children are in sessions of their own, so that a Ctrl-C reaches only this process, which ends them
in order; should this process be killed, the kernel ends them.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

from wire import ACCOUNT, KEY, Refused, Service

PATIENCE = 60.0
CONTAINER = "bench"
# A second account of the devstore, for copies between accounts, and how fast these are: a second in all, and a second for each request.
OTHER = "devstoreaccount2"
ASYNCHRONOUS, FROM_URL = "50MiB", "60MiB"
# The builds of blobcp that are measured; `--against` adds an earlier one. The devstore is always the present one.
BUILDS = {"blobcp": "target/release/blobcp"}

libc = ctypes.CDLL(None)


def die_with_parent():
    pr_set_pdeathsig = 1
    libc.prctl(pr_set_pdeathsig, signal.SIGTERM)


class Broken(Exception):
    """A program that is measured did not do what it should."""


def commit_named(name):
    """The full hash of a commit, or None if this repository does not have it."""
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.strip() or None


def build(commit):
    """The program of a commit, built once with the release profile of that commit; the working tree stays as it is."""
    home = os.path.join("target", "against", commit)
    program, source, built = (os.path.join(home, name) for name in ("blobcp", "source", "build"))
    if os.path.exists(program):
        return program
    print(f"Building blobcp of {commit[:7]} into {home}", flush=True)
    os.makedirs(source, exist_ok=True)
    files = subprocess.run(["git", "archive", commit], stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", source], input=files, check=True)
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--quiet", "--bins", "--target-dir", built,
         "--manifest-path", os.path.join(source, "Cargo.toml")],
        check=True,
    )
    os.rename(os.path.join(built, "release", "blobcp"), program)
    shutil.rmtree(source)
    shutil.rmtree(built)
    return program


@contextmanager
def process(command, log, **options):
    """A program that runs as long as the block."""
    with open(log, "ab") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            preexec_fn=die_with_parent, **options,
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, ready, child, log):
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if child.poll() is not None or time.monotonic() > deadline:
            with open(log, errors="replace") as text:
                raise Broken(f"{what} does not start: {text.read().strip()[-500:]}")
        time.sleep(0.01)


class Server:
    """A Blob service with counters, and a bare client of it."""

    def __init__(self, name, port, latency, pid=None, token=""):
        self.name, self.port, self.latency, self.pid = name, port, latency, pid
        self.control_headers = f"host: 127.0.0.1:{port}\r\nauthorization: Bearer {token}\r\n"
        self.service = Service(port)

    def control(self, method, path, body=""):
        head = f"{method} /-/{path} HTTP/1.1\r\n{self.control_headers}content-length: {len(body)}\r\n\r\n{body}"
        status, _, body = self.service.one(head.encode())
        if status >= 300:
            raise Broken(f"{self.name}: {method} /-/{path}: {status} {body!r}")
        return json.loads(body) if body else None

    def empty(self):
        """As if it were fresh, but for what it remembers of its past."""
        self.service.all([self.service.delete_container(CONTAINER)], 1)
        # A container is not quite gone when its deletion is answered (S154).
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.service.all([self.service.create_container(CONTAINER)], 1)
            except Refused:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def reset(self):
        self.control("POST", "stats/reset")

    def set_policy(self, **policy):
        self.control("POST", "policy", json.dumps(policy))

    def stats(self):
        return self.control("GET", "stats")


@contextmanager
def server(name, latency, dir):
    """`name` is devstore or azurite, `latency` milliseconds that are added to every request."""
    port = free_port()
    log = os.path.join(dir, f"{name}.log")
    # Earlier servers have written there as well.
    known = os.path.getsize(log) if os.path.exists(log) else 0
    env = dict(os.environ)
    if name == "devstore":
        command = [
            BUILDS["blobcp"], "devstore", "--listen", f"127.0.0.1:{port}", "--account", f"{ACCOUNT}:{KEY}",
            "--account", f"{OTHER}:{KEY}", "--copy-cross-account", ASYNCHRONOUS, "--from-url-cross-account", FROM_URL,
            "--latency", f"{latency}ms",
        ]
    else:
        env |= {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}", "BENCH_LATENCY_MS": str(latency)}
        command = [
            "node", "--require", "./scripts/bench.d/azurite.js", "target/node/node_modules/azurite/dist/src/blob/main.js",
            "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--disableTelemetry", "--silent",
            # rclone speaks a version of the protocol that is newer than Azurite.
            "--skipApiVersionCheck",
        ]
    with process(command, log, env=env) as child:
        wait_for(name, lambda: listens(port) and (name != "devstore" or token_in(log, known)), child, log)
        made = Server(name, port, latency, child.pid, token_in(log, known))
        made.service.all([made.service.create_container(CONTAINER)], 1)
        yield made


@contextmanager
def relay(server, dir, rates):
    """The port by which a server is reached: its own, or that of a line with so many bytes a second from it and to it."""
    if not rates:
        yield server.port
        return
    log = os.path.join(dir, "relay.log")
    with open(log, "w"):
        pass
    command = [sys.executable, os.path.join(os.path.dirname(__file__), "relay.py"), *map(str, (server.port, *rates))]
    with process(command, log) as child:
        def said():
            with open(log) as text:
                return text.read().strip()

        wait_for("the relay", lambda: said().isdigit(), child, log)
        yield int(said())


def token_in(log, start):
    """The token of the control interface, from what the devstore has printed since the log had `start` bytes."""
    with open(log, errors="replace") as text:
        text.seek(start)
        return next((line.split()[1] for line in text if line.startswith("token: ")), "")


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def mounted(point):
    with open("/proc/self/mounts") as mounts:
        return any(line.split(" ")[1] == point for line in mounts)


def rclone_remote(server):
    """What rclone has to know of a server, as its environment: the remote `bench:`."""
    return {
        "RCLONE_CONFIG_BENCH_TYPE": "azureblob", "RCLONE_CONFIG_BENCH_ACCOUNT": ACCOUNT, "RCLONE_CONFIG_BENCH_KEY": KEY,
        "RCLONE_CONFIG_BENCH_ENDPOINT": f"http://127.0.0.1:{server.port}/{ACCOUNT}",
    }


class Mount:
    """A mounted directory and the process that serves it."""

    def __init__(self, point, pid):
        self.point, self.pid = point, pid


@contextmanager
def mount(system, server, dir, cached=False, size=0, across=False, port=None):
    """A fresh mount of the container, or of it and the other account. Nothing of it is in the kernel's page cache.

    `fuse` is the mount that has no service behind it: its files have `size` bytes. `port`: where the server is reached, if
    not at its own.
    """
    point = os.path.join(dir, system)
    log = os.path.join(dir, f"{system}.log")
    os.makedirs(point, exist_ok=True)
    env = dict(os.environ)
    if system in BUILDS:
        config = os.path.join(dir, "config.toml")
        with open(config, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            for account in (ACCOUNT, OTHER):
                endpoint = f"http://127.0.0.1:{port or server.port}/{account}"
                file.write(f'[account.{account}]\nkey = "{KEY}"\nendpoint = "{endpoint}"\n')
        sources = [f"{ACCOUNT}/{CONTAINER}", *([OTHER] if across else [])]
        # The earlier build knows one way only.
        method = ["--copy-method", "auto"] if across and system == "blobcp" else []
        command = [BUILDS[system], "mount", "-f", "--config", config, *method, *sources, point]
    elif system == "fuse":
        command = ["target/release/examples/fuse_limit", point, str(size)]
    else:
        env |= rclone_remote(server)
        command = [
            "target/python/bin/rclone", "mount", "--config", "", "--cache-dir", os.path.join(dir, "cache"),
            "--vfs-cache-mode", "writes" if cached else "off", "--vfs-write-back", "1ms", f"bench:{CONTAINER}", point,
        ]
    with process(command, log, env=env) as child:
        try:
            wait_for(system, lambda: mounted(point), child, log)
            yield Mount(point, child.pid)
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if mounted(point):
                subprocess.run(["umount", "--lazy", point] if os.geteuid() == 0 else ["fusermount3", "-uz", point], check=False)
