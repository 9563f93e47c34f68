#!/usr/bin/env bash
# One stage of an experiment as a job; `hyperofa experiment RECIPE --slurm` submits it with the words that follow.
# Five minutes before the limit the stage is asked to save, and the job is put back into the queue, where it goes on.
#SBATCH --requeue
#SBATCH --signal=B:USR1@300
#SBATCH --open-mode=append
set -euo pipefail

if [ $# -lt 1 ]; then
  echo "usage: sbatch [options] launch/slurm/stage.sh RECIPE --out DIR --only STAGE" >&2
  exit 2
fi

export HYPEROFA_GRACE_SECONDS="${HYPEROFA_GRACE_SECONDS:-280}"   # what is left of the five minutes for saving
# The shell handles signals only between commands, so the stage runs in the background and wait is repeated. The trap stands
# before the stage starts: a signal in between must not end the job.
step="" asked=""
trap 'asked=1; [ -z "$step" ] || kill -TERM "$step" 2>/dev/null || true' USR1 TERM
"${HYPEROFA_PYTHON:-python3}" -m hyperofa.cli experiment "$@" &
step=$!
[ -z "$asked" ] || kill -TERM "$step" 2>/dev/null || true
code=0
wait "$step" || code=$?
while kill -0 "$step" 2>/dev/null; do
  code=0
  wait "$step" || code=$?
done

if [ "$code" -eq 143 ]; then
  echo "saved; putting job $SLURM_JOB_ID back into the queue"
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
fi
exit "$code"
