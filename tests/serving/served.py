"""Serves a shop on the log and port given; not a test module.

Run as ``python -m serving.served LOG PORT [WORKERS]`` in the folder of the tests.
"""

import sys
from collections.abc import Callable
from socket import socket

from examples import SIGNER
from persona_img.serving.app import create_app
from persona_img.serving.run import address_of, listen, serve
from persona_img.serving.sqlite_log import SqliteEventLog
from persona_img.serving.workers import run_workers

from .conftest import a_catalog, a_decider, stored_variant


def one(
    listening: socket | None = None,
    tell: Callable[[str], None] = lambda url: print(url, flush=True),
) -> None:
    log = SqliteEventLog(sys.argv[1])
    serve(
        create_app(
            a_decider(log), a_catalog(), stored_variant, signer=SIGNER, decision_seconds=10.0
        ),
        port=int(sys.argv[2]),
        on_listening=tell,
        listening=listening,
    )
    log.close()
    print("stopped", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        one()
    else:
        with listen("127.0.0.1", int(sys.argv[2])) as listening:
            print(address_of(listening), flush=True)
            run_workers(int(sys.argv[3]), lambda started: one(listening, lambda _: started()))
