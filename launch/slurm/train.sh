#!/usr/bin/env bash
# Train on whole nodes, and go on by itself after the time limit, a preemption, or a lost node:
#   sbatch --nodes=4 --gpus-per-node=8 --time=4:00:00 launch/slurm/train.sh CONFIG.yaml [key=value …]
# Five minutes before the limit the run saves its state and the job is put back into the queue, where it resumes.
#SBATCH --job-name=hyperofa
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --signal=B:USR1@300
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail

if [ $# -lt 1 ]; then
  echo "usage: sbatch [options] launch/slurm/train.sh CONFIG.yaml [key=value …]" >&2
  exit 2
fi

# sbatch runs a copy of this script, so the project is found from the directory the job was submitted in.
root="${HYPEROFA_ROOT:-${SLURM_SUBMIT_DIR:?this script is started by sbatch}}"
config_file="$root/launch/multi_node.yaml"
if [ ! -f "$config_file" ]; then
  echo "$config_file: no such file; submit from the project's folder or set HYPEROFA_ROOT" >&2
  exit 2
fi

gpus="${SLURM_GPUS_ON_NODE:-8}"
nodes="$SLURM_JOB_NUM_NODES"
export MAIN_IP MAIN_PORT
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")   # piping into head would end scontrol by SIGPIPE
MAIN_IP="${hosts[0]:?scontrol names no host}"
MAIN_PORT="$((20000 + SLURM_JOB_ID % 20000))"   # two jobs on one node must not meet
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-8}"

# The shell handles signals only between commands, so the step runs in the background and wait is repeated. What asks us to
# stop goes on as SIGUSR1: srun passes that to its tasks, and would kill them at once by SIGTERM ("forcing job termination").
# The trap stands before the step starts: a signal in between must not end the job.
step="" asked=""
trap 'asked=1; [ -z "$step" ] || kill -USR1 "$step" 2>/dev/null || true' USR1 TERM

# One launcher per node; each starts one process per GPU. SLURM_NODEID is known only inside the step.
srun --ntasks-per-node=1 --kill-on-bad-exit=1 bash -c '
  exec accelerate launch --config_file "$1" --num_machines "$2" --num_processes "$3" --machine_rank "$SLURM_NODEID" \
    --main_process_ip "$MAIN_IP" --main_process_port "$MAIN_PORT" -m hyperofa.train "${@:4}"
' launch "$config_file" "$nodes" "$((nodes * gpus))" "$@" &
step=$!
[ -z "$asked" ] || kill -USR1 "$step" 2>/dev/null || true
code=0
wait "$step" || code=$?
while kill -0 "$step" 2>/dev/null; do
  code=0
  wait "$step" || code=$?
done

# Within `hyperofa experiment` the stage's own job decides about the queue.
if [ "$code" -eq 143 ] && [ -z "${HYPEROFA_NO_REQUEUE:-}" ]; then
  echo "saved; putting job $SLURM_JOB_ID back into the queue"
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
fi
exit "$code"
