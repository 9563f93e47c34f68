"""What a person sees while an experiment runs: every command as typed, a bar for the stage at work, its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from hyperofa_eval.base.console import console

if TYPE_CHECKING:
    from hyperofa.experiment.workflow.stage import Stage


class Display:
    """Prints to standard error; the moving parts are drawn only on a terminal."""

    def __init__(self) -> None:
        """Nothing is shown yet."""
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._waited: str | None = None

    def stage(self, number: int, total: int, stage: Stage) -> None:
        """Announce a stage and its command."""
        console.print(f"[bold]\\[{number:>{len(str(total))}}/{total}] {stage.title}[/bold]", soft_wrap=True)
        console.print(f"  $ {stage.typed}", style="cyan", markup=False, soft_wrap=True)
        if not console.is_terminal:
            return
        columns = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
        if stage.steps:
            columns[2:] = [BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        self._live = Progress(*columns, console=console, transient=True)
        self._task = self._live.add_task("  working", total=stage.steps)
        self._live.start()

    def tick(self, step: int | None) -> None:
        """Move the bar to ``step``."""
        if self._live is not None and self._task is not None and step is not None:
            self._live.update(self._task, completed=step)

    def ended(self, line: str) -> None:
        """Say how a stage ended."""
        self.close()
        console.print(f"  {line}", style="green", soft_wrap=True)

    def failed(self, error: str) -> None:
        """Say that a stage failed, and that the others go on."""
        self.close()
        console.print(f"  failed: {error}; going on with the other cells", style="red", markup=False, soft_wrap=True)

    def waiting(self, name: str, holder: str) -> None:
        """Say once which stage of another runner is waited for."""
        if self._waited != name:
            self._waited = name
            console.print(f"waiting for {name} ({holder})", markup=False, soft_wrap=True)

    def interrupted(self, step: int) -> None:
        """Say that a training run was stopped on purpose, and goes on."""
        line = f"  stopped by SIGTERM after step {step}, checkpoint committed; the same command goes on"
        console.print(line, soft_wrap=True)

    def close(self) -> None:
        """Stop drawing."""
        if self._live is not None:
            self._live.stop()
            self._live = None
