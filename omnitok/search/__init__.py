"""Optuna within each arm of a sweep: what is searched, who suggests, who works, what won.

Importing this loads neither torch nor Optuna; ``omnitok.search.worker`` and ``omnitok.search.arm`` load torch.
"""

from omnitok.search.asked import Search as Search
from omnitok.search.asked import refusals as refusals
from omnitok.search.asked import storage_refusal as storage_refusal
from omnitok.search.patching import applied as applied
from omnitok.search.prepare import prepare as prepare
from omnitok.search.standing import Standing as Standing
from omnitok.search.standing import standing as standing
from omnitok.search.standing import trials as trials
from omnitok.search.standing import winner as winner
