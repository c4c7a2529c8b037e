"""What the site's reference is made of: the command pages come from the commands themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from mkdocs.structure.files import File
from typer.cli import get_docs_for_click

from persona_img.cli import app

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def commands_page() -> str:
    """Every command's help as Markdown, in the order of ``persona-img --help``."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="persona-img")
    return get_docs_for_click(obj=command, ctx=context, name="persona-img", title="Commands")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the command reference."""
    files.append(File.generated(config, "commands.md", content=commands_page()))
    return files
