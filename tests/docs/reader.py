"""Does what a page of the docs says, block by block, in one folder, as a reader would."""

from __future__ import annotations

import re
import shlex
import sys
from contextlib import ExitStack, redirect_stdout
from io import StringIO
from pathlib import Path

import httpx

from persona_img.cli import main
from persona_img.serving.run import ServiceProcess

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ADDRESS = "http://127.0.0.1:8080"


def blocks(page: str) -> list[tuple[str, str]]:
    """Kind and text of every block that can be done."""
    return _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


def commands(text: str) -> list[list[str]]:
    """The commands of a console block, each as its words."""
    joined = text.replace("\\\n", " ")
    lines = [line[2:] for line in joined.splitlines() if line.startswith("$ ")]
    return [shlex.split(line, comments=True) for line in lines]


class Reader:
    """Does pages in the current folder; a service that a page starts runs until :meth:`close`."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._open = ExitStack()
        self._url = ""

    def read(self, page: str) -> str:
        """Do a page; what its commands printed."""
        self.said = []
        for kind, text in blocks(page):
            if kind == "python":
                exec(compile(self._here(text), page, "exec"), {})
            else:
                for words in commands(text):
                    self._do([self._here(word) for word in words])
        return "\n".join(self.said)

    def close(self) -> None:
        """Stop the service."""
        self._open.close()

    def _do(self, words: list[str]) -> None:
        program, arguments = words[0], words[1:]
        if program == "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert arguments[0] in targets, arguments
        elif program == "curl":
            url = next(one for one in arguments if one.startswith("http"))
            sent = arguments[arguments.index("-d") + 1] if "-d" in arguments else None
            answer = httpx.get(url) if sent is None else httpx.post(url, content=sent)
            assert answer.is_success, answer.text
            self.said.append(answer.text)
        elif arguments[0] == "serve":
            command = [sys.executable, "-m", "persona_img", "serve", "--port", "0"]
            service = ServiceProcess(command, Path("service.log"))
            self._url = self._open.enter_context(service).url
        else:
            assert program == "persona-img", program
            self.said.append(said(arguments))

    def _here(self, text: str) -> str:
        return text.replace(_ADDRESS, self._url) if self._url else text


def said(arguments: list[str]) -> str:
    """What a command prints; it must end well."""
    out, given, status = StringIO(), sys.argv, None
    sys.argv = ["persona-img", *arguments]
    try:
        with redirect_stdout(out):
            main()
    except SystemExit as end:
        status = end.code
    finally:
        sys.argv = given
    assert not status, f"persona-img {shlex.join(arguments)}: exit {status}"
    return out.getvalue()
