"""Memory of the loop: runs with their reports, and rankers with champion and rollback."""

from persona_img.tracking.base import RankerVersion, Role, Tracker
from persona_img.tracking.folder import FolderTracker
from persona_img.tracking.mlflow import MlflowTracker
from persona_img.tracking.ui import UiCommand, ui_command

__all__ = [
    "FolderTracker",
    "MlflowTracker",
    "RankerVersion",
    "Role",
    "Tracker",
    "UiCommand",
    "ui_command",
]
