#!/usr/bin/env bash
# Train an extended model on a packed corpus: sharded, saved as it goes, and resumed by the same line.
#
#   examples/train.sh runs/example/model runs/example/corpus runs/example/run steps=1000 learning_rate=1e-4
#
# LAUNCH names a config of accelerate: launch/cpu_pair.yaml (the default), one_gpu.yaml, one_node_8gpu.yaml or your own.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 MODEL CORPUS RUN [SETTING=VALUE …]" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
model=$1 corpus=$2 run=$3
shift 3
exec accelerate launch --config_file "${LAUNCH:-$here/../launch/cpu_pair.yaml}" -m hyperofa.train "$here/train.yaml" \
    "model=$model" "corpus=$corpus" "run=$run" "$@"
