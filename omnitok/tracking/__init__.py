"""Run folders mirrored into MLflow: the folders are the truth, MLflow can be thrown away and made again."""

from omnitok.tracking.reconcile import Synced, mirror, pages, sync, ui_command
from omnitok.tracking.store import TrackingError, tracking_uri

__all__ = ["Synced", "TrackingError", "mirror", "pages", "sync", "tracking_uri", "ui_command"]
