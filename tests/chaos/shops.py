"""A small shop in a folder, and the program that serves it, as somebody runs it."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples import KEY, STYLE
from persona_img.assets import ASSETS
from persona_img.domain.catalog import Catalog
from persona_img.domain.decision import Candidate, DecisionTable, Slate
from persona_img.domain.style import ORIGINAL
from persona_img.imaging.photo import load_photo
from persona_img.shop import Shop
from persona_img.wiring import renderer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from persona_img.domain.leaning import Personal

PRODUCTS = ("shirt-02", "dress-03")
TABLE = "of-the-tests"
WORKERS = 2


def a_shop(home: Path, personal: Personal | None = None, **stores: str) -> Shop:
    """A shop of two products; of each a variant is shown to half of those who are not control.

    Args:
        home: Its folder.
        personal: What turns chances to single shoppers.
        **stores: Of its settings.
    """
    given: dict[str, Any] = {
        "stores": {"features": "frame", "tracker": "folder", **stores},
        "render": {"backdrops": "plain"},
        "serve": {"address_rate": 0, "decision_ms": 1000, "profile_seconds": 0},
    }
    shop = Shop.begin(Shop.open(home, **given).settings)
    shipped = Catalog.load(ASSETS / "catalog" / "products.csv")
    shop.add_products([shipped[one] for one in PRODUCTS])
    paint, slates = renderer(shop.settings), {}
    for one in PRODUCTS:
        variant = paint.render(load_photo(shipped[one].photo), STYLE, seed=1)
        digest = shop.variants.put(variant, one).digest
        shop.approve(digest, by="the tests")
        slates["all", one] = Slate((Candidate(ORIGINAL, None, 0.5), Candidate(STYLE, digest, 0.5)))
    shop.make_renditions([], shop.catalog)
    shop.workspace.save_decision_table(DecisionTable(TABLE, slates, {}, "all", personal))
    _, key = shop.keys.add("admin", "the tests")
    home.with_name(f"{home.name}.key").write_text(key)
    for verb in (shop.halt, shop.resume):  # so that there is a file of halts
        verb(("product", PRODUCTS[0]), who="the tests", reason="to and fro")
    return shop


@dataclass(frozen=True)
class Service:
    """A service in processes of its own.

    Attributes:
        process: The first of them.
        port: Where it listens, on this machine.
        home: The shop's folder.
        key: Lets its callers in.
    """

    process: subprocess.Popen[str]
    port: int
    home: Path
    key: str

    def workers(self) -> list[int]:
        """Processes that answer."""
        return children(self.process.pid)

    def wait(self, seconds: float = 60.0) -> None:
        """Until every worker answers.

        Raises:
            TimeoutError: not in time.
        """
        until = time.monotonic() + seconds
        while sum(map(_has_a_loop, self.workers())) < WORKERS:
            if time.monotonic() > until or self.process.poll() is not None:
                raise TimeoutError("the service did not start")
            time.sleep(0.01)

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        """Over a connection of its own, so that any worker answers.

        Raises:
            OSError: nobody answers; also :class:`http.client.HTTPException`.
        """
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as one:
            one.request(method, path, body, {"Authorization": f"Bearer {self.key}"})
            answer = one.getresponse()
            return answer.status, answer.read()

    def ready(self) -> tuple[int, str]:
        """What ``/readyz`` says."""
        status, said = self.ask("GET", "/readyz")
        return status, said.decode()


@contextmanager
def serving(home: Path, environment: Mapping[str, str] | None = None) -> Iterator[Service]:
    """``persona-img serve`` with several workers, under the key of the tests.

    Args:
        home: The shop's folder.
        environment: Added to this process' own.
    """
    command = [sys.executable, "-m", "persona_img", "serve", "--home", str(home)]
    command += ["--port", "0", "--workers", str(WORKERS)]
    given = {"PERSONA_IMG_SERVE__DECISION_KEY": KEY.secret.decode(), **(environment or {})}
    # What it says lies on no disk that fails: who cannot say anything stops.
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, env={**os.environ, **given}
        ) as process,
    ):
        try:
            assert process.stdout is not None
            found = re.search(r"http://[^:]+:(\d+)", process.stdout.readline())
            # Nobody reads on, and a full pipe would stop it.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            key = home.with_name(f"{home.name}.key").read_text()
            service = Service(process, int(found[1]) if found else 0, home, key)
            try:
                service.wait()
            except TimeoutError as error:
                said.seek(0)
                raise TimeoutError(f"{error}: {said.read()[-2000:]}") from error
            yield service
        finally:
            process.terminate()
            process.wait(30)


def _has_a_loop(process: int) -> bool:
    """Whether it has begun to wait for requests."""
    try:
        files = [str(one.readlink()) for one in Path(f"/proc/{process}/fd").iterdir()]
    except OSError:  # it ended, or a file of it was closed
        return False
    return any("eventpoll" in one for one in files)


def children(process: int) -> list[int]:
    """Processes that one began and that are there."""
    told = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(one) for one in told]
