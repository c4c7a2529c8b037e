"""What Alembic runs: the steps that are missing, in the caller's transaction."""

from __future__ import annotations

from alembic import context

from persona_img.serving.postgres.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
