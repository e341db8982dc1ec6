"""Build the wheel and use it where the checkout is not: train a model, serve it, ask it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"


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
        run(personalize, "evaluate", *data, "--peers", "none", "--report", "report.html")
        run(personalize, "import", *data, "--store", "sqlite:///shop.db")
        command = [str(venv / "bin" / "python"), "-m", "service", "--port", "0"]
        command += ["--store", "sqlite:///shop.db", "--models", "models"]
        with subprocess.Popen(
            command, cwd=work, env=environment, stdout=subprocess.PIPE, text=True
        ) as service:
            try:
                ask(address(service))
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


def address(service: subprocess.Popen[str]) -> str:
    """Return where the service says it listens."""
    for line in service.stdout or ():
        if line.startswith("listening on "):
            return line.split()[-1]
    raise SystemExit("error: the service did not start")


def ask(url: str) -> None:
    """Ask a ready service one question."""
    with urllib.request.urlopen(f"{url}/health/ready", timeout=30) as ready:
        ready.read()
    with urllib.request.urlopen(f"{url}/v1/customers/nobody/suppressions/nothing") as answer:
        decision = json.load(answer)
    if decision["suppress"] is not False:
        raise SystemExit(f"error: an unknown customer was answered {decision}")


if __name__ == "__main__":
    main()
