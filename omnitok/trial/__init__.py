"""One stage in its folder, which is the whole state: running it again resumes or does nothing."""

from omnitok.trial.failure import Stopped as Stopped
from omnitok.trial.failure import attempt as attempt
from omnitok.trial.failure import classify as classify
from omnitok.trial.measure import evaluate_run as evaluate_run
from omnitok.trial.measure import load as load
from omnitok.trial.train import CHECKPOINT_EVERY_S as CHECKPOINT_EVERY_S
from omnitok.trial.train import create as create
from omnitok.trial.train import follow as follow
from omnitok.trial.train import run as run
