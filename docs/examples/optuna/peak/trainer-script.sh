#!/usr/bin/env bash
# Tell the score of a point: 10 at x=3 and rate=0.01, and less everywhere else.
set -euo pipefail

awk -v x="${PARRIS_PARAM_X}" -v rate="${PARRIS_PARAM_RATE}" 'BEGIN {
  off = log(rate) / log(10) + 2
  printf "{\"step\": 1, \"score\": %.6f}\n", 10 - (x - 3) ^ 2 - off ^ 2
}' >>"${PARRIS_OUTPUT_DIR}/metrics.jsonl"
