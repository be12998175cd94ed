"""Pieces of a sweep as jobs of a cluster. Loads no torch until a job runs."""

from omnitok.cluster.piece import Piece as Piece
from omnitok.cluster.piece import Queued as Queued
from omnitok.cluster.piece import Submitted as Submitted
from omnitok.cluster.questions import queue as queue
from omnitok.cluster.submit import submit as submit
