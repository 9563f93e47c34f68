#!/usr/bin/env bash
# From a fresh clone to the report: makes .venv, installs, runs `hyperofa quickstart`. Options are passed on to it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. launch/common.sh
install
exec .venv/bin/hyperofa quickstart "$@"
