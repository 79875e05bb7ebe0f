"""Many independent pieces of work, kept as they come: done here, by processes, or by a cluster."""

from morsescape.sweep.dask_cluster import DaskCluster
from morsescape.sweep.processes import Processes
from morsescape.sweep.run import run_tasks
from morsescape.sweep.schedulers import Here, Scheduler, scheduler_from
from morsescape.sweep.task import Outcome, Task, TaskError

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
