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
python="${HYPEROFA_PYTHON:-python3}"
case "$python" in */*) export PATH="${python%/*}:$PATH" ;; esac   # where accelerate is, which the steps of a job start by its name
# The shell handles signals only between commands, so the stage runs in the background and wait is repeated. The trap stands
# before the stage starts: a signal in between must not end the job.
step="" asked=""
trap 'asked=limit; [ -z "$step" ] || kill -TERM "$step" 2>/dev/null || true' USR1
trap 'asked=stop; [ -z "$step" ] || kill -TERM "$step" 2>/dev/null || true' TERM
"$python" -m hyperofa.cli experiment "$@" &
step=$!
[ -z "$asked" ] || kill -TERM "$step" 2>/dev/null || true
code=0
wait "$step" || code=$?
while kill -0 "$step" 2>/dev/null; do
  code=0
  wait "$step" || code=$?
done

if [ "$code" -eq 143 ]; then
  case "$asked $*" in
    *" --only train-"* | *" --only eval-"*) ;;   # these go on from where they were
    "limit "*)
      echo "the time limit came before the end, and this stage starts anew each time: give it more --time in the recipe's slurm" >&2
      exit 1 ;;
  esac
  echo "saved; putting job $SLURM_JOB_ID back into the queue"
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
fi
exit "$code"
