#!/usr/bin/env bash
# Estimate pi from random darts; goes on from its checkpoint if there is one.
set -euo pipefail

rounds="${PARRIS_PARAM_ROUNDS:-10}"
darts="${PARRIS_PARAM_DARTS:-20000}"
checkpoint="${PARRIS_CHECKPOINT_DIR}/state.txt"

round=0 hits=0
if [[ -f "${checkpoint}" ]]; then
  read -r round hits <"${checkpoint}"
fi

while ((round < rounds)); do
  round=$((round + 1))
  new=$(awk -v n="${darts}" -v seed="${round}" 'BEGIN {
    srand(seed); h = 0
    for (i = 0; i < n; i++) { x = rand(); y = rand(); if (x * x + y * y <= 1) h++ }
    print h }')
  hits=$((hits + new))
  pi=$(awk -v h="${hits}" -v n="$((round * darts))" 'BEGIN { printf "%.5f", 4 * h / n }')
  echo "round ${round}: pi is about ${pi}"
  echo "{\"round\": ${round}, \"pi\": ${pi}}" >>"${PARRIS_OUTPUT_DIR}/metrics.jsonl"
  echo "${round} ${hits}" >"${checkpoint}.partial" && mv "${checkpoint}.partial" "${checkpoint}"
done

echo "${pi:-3}" >"${PARRIS_OUTPUT_DIR}/result.txt"
