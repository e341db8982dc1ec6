"""Build the wheel and use it where the checkout is not: train a model, serve it, ask it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"
PATIENCE_SECONDS = 60


def main() -> None:
    """Build, install, train, serve and ask, all in a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="personalize-wheel-") as name:
        work = Path(name)
        venv = work / "venv"
        install(work, venv)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        orders = next(path for path in SAMPLE.iterdir() if path.name.startswith("orders."))
        catalog = next(path for path in SAMPLE.iterdir() if path.name.startswith("products."))

        def run(*command: str) -> None:
            subprocess.run(command, cwd=work, env=environment, check=True)

        personalize = str(venv / "bin" / "personalize")
        data = ("--orders", str(orders), "--catalog", str(catalog))
        run(personalize, "train", *data, "--models", "models")
        run(personalize, "import", *data, "--store", "sqlite:///shop.db")
        port = free_port()
        command = [str(venv / "bin" / "python"), "-m", "service", "--port", str(port)]
        command += ["--store", "sqlite:///shop.db", "--models", "models"]
        with subprocess.Popen(command, cwd=work, env=environment) as service:
            try:
                ask(f"http://127.0.0.1:{port}", service)
            finally:
                service.terminate()
    print("the wheel installs, trains, serves and answers")


def install(work: Path, venv: Path) -> None:
    """Install the wheel, with every extra that a shop may want, into a new environment."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    done = subprocess.run([*build, "--outdir", str(work), str(ROOT)], stdout=subprocess.DEVNULL)
    done.check_returncode()
    wheel = next(work.glob("*.whl"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = ",".join(name for name in project["optional-dependencies"] if name != "dev")
    # A constraint is named by a relative path: pip takes a space in one for the next one.
    shutil.copy(ROOT / "constraints.txt", work)
    environment = os.environ | {"PIP_CONSTRAINT": "constraints.txt"}
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python")]
    subprocess.run(
        [*pip, "install", "--quiet", f"./{wheel.name}[{extras}]"],
        cwd=work,
        env=environment,
        check=True,
    )


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ask(url: str, service: subprocess.Popen[bytes]) -> None:
    """Wait until the service is ready, then ask it one question."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=5):
                break
        except (urllib.error.URLError, OSError) as error:
            if service.poll() is not None:
                raise SystemExit(f"error: the service ended with {service.returncode}") from error
            if time.monotonic() > deadline:
                raise SystemExit(f"error: not ready in {PATIENCE_SECONDS} s: {error}") from error
            time.sleep(0.1)
    with urllib.request.urlopen(f"{url}/v1/customers/nobody/suppressions/nothing") as answer:
        decision = json.load(answer)
    if decision["suppress"] is not False:
        raise SystemExit(f"error: an unknown customer was answered {decision}")


if __name__ == "__main__":
    main()
