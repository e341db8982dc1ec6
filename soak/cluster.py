"""A PostgreSQL server of one's own, to be stopped, frozen and starved under the service."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from soak.running import free_port

ROLE: Final = "shop"
_USERS: Final = ("postgres", "nobody")
"""Who runs the server where we are root, which it refuses to run as; the first that there is."""


class ClusterMissingError(RuntimeError):
    """PostgreSQL's own programs are not here."""


def programs() -> Path:
    """Return the folder of initdb and pg_ctl.

    Raises
    ------
    ClusterMissingError
        If there is none.
    """
    found = [Path(each).resolve().parent for each in (shutil.which("initdb"),) if each]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in found:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise ClusterMissingError("initdb and pg_ctl not found: install PostgreSQL's server programs")


class Cluster:
    """A server with one database, and the role that the service uses.

    Parameters
    ----------
    folder : Path
        Empty, and the server's own user may write there.
    """

    def __init__(self, folder: Path) -> None:
        self._programs = programs()
        self._data = folder / "data"
        self._log = folder / "server.log"
        self._port = free_port()
        self._sockets = folder

    def make(self) -> None:
        """Make the cluster, start it, and make the role and its database."""
        self._run("initdb", "-D", self._data, "-U", "admin", "--auth", "trust", "-E", "UTF8")
        self.start()
        self.tell(f"CREATE ROLE {ROLE} LOGIN", f"CREATE DATABASE shop OWNER {ROLE}")

    @property
    def url(self) -> str:
        """The URL of the store."""
        return f"postgresql://{ROLE}@127.0.0.1:{self._port}/shop"

    def start(self) -> None:
        """Start it, and return once it takes connections."""
        options = f"-p {self._port} -k {self._sockets} -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "-D", self._data, "-l", self._log, "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop it as a crash would."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def freeze(self) -> None:
        """Have every process of it stand still: connections stay, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def tell(self, *statements: str) -> None:
        """Run statements as the administrator."""
        with psycopg.connect(
            host="127.0.0.1", port=self._port, user="admin", dbname="postgres", autocommit=True
        ) as connection:
            for statement in statements:
                connection.execute(sql.SQL(statement))

    def cut_off(self) -> None:
        """Close every connection of the service."""
        self.tell(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'"
        )

    def _signal(self, number: signal.Signals) -> None:
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        every = [postmaster, *_children(postmaster)]
        for pid in every:
            with suppress(ProcessLookupError):  # one that ended meanwhile
                os.kill(pid, number)

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._programs / program), *map(str, arguments)]
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
            cwd=self._sockets, **_as_other(),
        )  # fmt: skip
        if done.returncode:
            log = self._log.read_text() if self._log.exists() else ""
            raise RuntimeError(
                f"{program} ended with {done.returncode}: {done.stderr} {log[-1000:]}"
            )


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Have a server run within the block; nothing of it is left behind.

    Raises
    ------
    ClusterMissingError
        If PostgreSQL's programs are not here, or nobody may run them.
    """
    programs()
    # Not below a folder that only root may enter.
    with tempfile.TemporaryDirectory(prefix="personalize-pg-", dir="/tmp") as name:
        other = _as_other()
        if other:
            shutil.chown(name, other["user"], other["group"])
        server = Cluster(Path(name))
        try:
            server.make()
            yield server
        finally:
            with suppress(RuntimeError, FileNotFoundError):  # it may be stopped, or never have been
                server.thaw()
                server.stop()


def _as_other() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    import grp
    import pwd

    for name in _USERS:
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            group = grp.getgrgid(user.pw_gid).gr_name
            return {"user": name, "group": group, "extra_groups": []}
    raise ClusterMissingError(f"root may not run PostgreSQL, and there is none of {_USERS}")


def _children(parent: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if int(fields[1]) == parent:
            found.append(int(folder.name))
    return found
