"""Serves a shop on the log and port given; not a test module.

Run as ``python -m serving.served LOG PORT`` in the folder of the tests.
"""

import sys

from examples import SIGNER
from persona_img.serving.app import create_app
from persona_img.serving.run import serve
from persona_img.serving.sqlite_log import SqliteEventLog

from .conftest import a_catalog, a_decider, stored_variant

if __name__ == "__main__":
    log = SqliteEventLog(sys.argv[1])
    serve(
        create_app(a_decider(log), a_catalog(), stored_variant, signer=SIGNER),
        port=int(sys.argv[2]),
        on_listening=lambda url: print(url, flush=True),
    )
    log.close()
    print("stopped", flush=True)
