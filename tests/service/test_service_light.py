"""A serving process answers every kind of question without what only fitting and reading need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from service_shop import COAT, order_body

import personalize as pz
from service import Settings

ROOT = Path(__file__).parents[2]
HEAVY = (
    "alembic", "defusedxml", "implicit", "jinja2", "lightgbm", "matplotlib", "pandas",
    "personalize.cli", "personalize.evaluation", "rich", "scipy.sparse", "sklearn", "threadpoolctl",
    "typer",
)  # fmt: skip
PROCESS = """
import http.client, json, os, signal, sys, threading
from service.__main__ import main

asked = json.load(sys.stdin)
answers = []

class Told:
    # The line that says where the service listens.
    def write(self, text):
        if text.startswith("listening on "):
            port = int(text.rstrip().rpartition(":")[2])
            threading.Thread(target=ask, args=(port,)).start()
    def flush(self):
        pass

def ask(port):
    try:
        for method, path, body in asked["questions"]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            headers = {"content-type": "application/json"}
            connection.request(method, path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            answers.append([answer.status, answer.read().decode()])
            connection.close()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)

out, sys.stdout = sys.stdout, Told()
code = main(asked["arguments"])
heavy = [name for name in asked["heavy"] if name in sys.modules]
json.dump({"code": code, "answers": answers, "heavy": heavy}, out)
"""


@pytest.mark.parametrize("is_switched", [False, True])
def test_a_worker_is_light(settings: Settings, is_switched: bool) -> None:
    """One question of each kind, and a switch of the model: none of the heavy modules is there."""
    questions = [
        ("PUT", "/v1/orders/o-1", order_body("c-1", COAT)),
        ("GET", "/health/ready", None),
        ("GET", f"/v1/customers/c-1/suppressions/{COAT}", None),
        ("GET", f"/v1/customers/c-1/suppressions/{COAT}?as_of=2026-11-22", None),
        ("POST", "/v1/suppressions/check", {"customer_id": "c-1", "product_ids": [COAT]}),
        ("POST", "/v1/suppressions/check", {"pairs": [["c-1", COAT]] * 20}),
        ("GET", "/v1/customers/c-1/suppressions", None),
        ("POST", "/v1/recommendations", {"customer_id": "c-1", "k": 3, "include_due": True}),
        ("POST", "/v1/recommendations", {"order_id": "o-1", "moment": "shipped"}),
        ("GET", f"/v1/products/{COAT}/complements", None),
        ("PUT", f"/v1/products/{COAT}", {"title": "Coat", "price": 12}),
        ("PUT", "/v1/policy", {"types": {"Apparel > Socks": {"suppress": False}}}),
        ("GET", "/v1/models", None),
        ("GET", "/metrics", None),
        ("GET", "/openapi.json", None),
    ]
    if is_switched:
        questions.insert(1, ("PUT", "/v1/models/current", {"version": "v2"}))
    with pz.Store.open(settings.store) as store:
        store.put_products([pz.Product(COAT)])
    arguments = ["--store", settings.store, "--models", str(settings.models), "--port", "0"]
    told = json.dumps({"questions": questions, "arguments": arguments, "heavy": HEAVY})
    done = subprocess.run(
        [sys.executable, "-c", PROCESS], cwd=ROOT, input=told, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [status for status, _ in found["answers"]] == [200] * len(questions), found
    assert found["code"] == 0
    assert found["heavy"] == []
