"""Tasks, protocols and the registry of both; a user's own tasks are made of what is exported here."""

from hyperofa_eval.tasks.registry import add_task, choose, tasks
from hyperofa_eval.tasks.retrieval import Retrieval
from hyperofa_eval.tasks.tagging import Tagging
from hyperofa_eval.tasks.task import Outcome, Task

__all__ = ["Outcome", "Retrieval", "Tagging", "Task", "add_task", "choose", "tasks"]
