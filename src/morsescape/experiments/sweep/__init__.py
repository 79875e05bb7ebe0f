"""Many independent pieces of work, kept as they come: done here, by processes, or by a cluster."""

from morsescape.experiments.sweep.dask_cluster import DaskCluster
from morsescape.experiments.sweep.processes import Processes
from morsescape.experiments.sweep.run import run_tasks
from morsescape.experiments.sweep.schedulers import Here, Scheduler, scheduler_from
from morsescape.experiments.sweep.task import Outcome, Task, TaskError

__all__ = [
    "DaskCluster",
    "Here",
    "Outcome",
    "Processes",
    "Scheduler",
    "Task",
    "TaskError",
    "run_tasks",
    "scheduler_from",
]
