"""Training a stage, and evaluating what it left. Tasks and evaluations are components like any other."""

from omnitok.model import NonFinite as NonFinite
from omnitok.spec import Registry
from omnitok.training.baseline import FitBaseline, Foreign
from omnitok.training.evaluate import Evaluation as Evaluation
from omnitok.training.reconstruct import Reconstruct
from omnitok.training.task import Facts as Facts
from omnitok.training.task import Flops as Flops
from omnitok.training.task import Task as Task

TASKS: Registry[Task] = Registry(
    "task",
    tag="task",
    usual="reconstruct",
    group="omnitok.tasks",
    contract=Task,
    reconstruct=Reconstruct,
    baseline=FitBaseline,
    foreign=Foreign,
)
EVALUATIONS: Registry[Evaluation] = Registry("evaluation", usual="reconstruction", reconstruction=Evaluation)
