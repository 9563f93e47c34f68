#!/usr/bin/env bash
# From a fresh clone to tested: makes .venv, installs, runs the linter, the type checker and the tests.
# Options are passed on to pytest, in place of its default selection: ./launch/test.sh -m slow
# Most tests that start processes fork them from one interpreter; HYPEROFA_COLD_STARTS=1 starts each as a user does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. launch/common.sh
install
bin=.venv/bin
say "ruff" && "$bin/ruff" check . && "$bin/ruff" format --check .
say "mypy" && "$bin/mypy"
say "pytest"
export OMP_NUM_THREADS=1
if [ $# -gt 0 ]; then
    exec "$bin/pytest" "$@"
fi
exec "$bin/pytest" -q -m "not slow" -n 2 --dist loadgroup
