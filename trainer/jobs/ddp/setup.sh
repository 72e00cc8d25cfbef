#!/bin/bash
# Once for each requirements.txt: what it leaves is stored, and restored for later runs.
set -euo pipefail
python3 -m venv "${PARRIS_SETUP_DIR}/venv"
"${PARRIS_SETUP_DIR}/venv/bin/pip" install --quiet --requirement requirements.txt
