#!/usr/bin/env bash
# From photographs to the evaluation report, in one file. Run it from the root of a clone after `make install`:
#
#   scripts/reproduce.sh training/configs/fundus-512.yaml
#
# The configuration names the photographs; `synfundus harmonize` makes such a source from public fundus sets. Every step
# can be resumed: the same command again continues where it was interrupted and skips what is complete.
#
# The times that the steps take are printed at their end.
set -euo pipefail

CONFIG=${1:?usage: scripts/reproduce.sh CONFIG [FOLDER]}
FOLDER=${2:-reproduction}                  # for everything that follows the training
PYTHON=${PYTHON:-.venv/bin/python}
ROWS=${ROWS:-2000}                         # of the evaluated dataset
REPORT_OPTIONS=${REPORT_OPTIONS:-}         # further options of the report, for example "--images-seen 32000"

synfundus() { "$PYTHON" -m synfundus.cli "$@"; }

step() {  # step TITLE COMMAND...: runs the command and prints how long it took
    local title=$1 started=$SECONDS
    shift
    echo "== $title"
    "$@"
    echo "== $title: $((SECONDS - started)) s"
}

# The photographs, and the folder of the run, as the configuration names them.
read -r RUN SOURCE NAME PATIENT < <("$PYTHON" - "$CONFIG" <<'PYTHON'
import sys
from training.configuration.config import load_config

config = load_config(sys.argv[1])
print(config.output_dir, config.data.source, config.data.name or "default", config.data.group_column)
PYTHON
)
REAL=(--real "$SOURCE" --patient-column "$PATIENT" --splits "$FOLDER/splits.csv")
[ "$NAME" = default ] || REAL+=(--real-config "$NAME")
mkdir -p "$FOLDER"

step "Costs of the run" synfundus train --config "$CONFIG" --dry-run
step "Autoencoder" synfundus train-autoencoder --config "$CONFIG"
step "Generator" synfundus train --config "$CONFIG"
step "Split of the patients" synfundus splits --config "$CONFIG" --out "$FOLDER/splits.csv"
step "Dataset" synfundus generate --num-rows "$ROWS" --model "$RUN/pipeline" --out "$FOLDER/dataset"
step "Check of the dataset" synfundus verify "$FOLDER/dataset"
# shellcheck disable=SC2086 # the options are words
step "Report" synfundus evaluate --synthetic "$FOLDER/dataset" "${REAL[@]}" --out "$FOLDER/report" $REPORT_OPTIONS
