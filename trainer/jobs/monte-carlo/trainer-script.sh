#!/usr/bin/env bash
# Estimate pi from random darts; goes on from its checkpoint if there is one.
set -euo pipefail

rounds="${PARRIS_PARAM_ROUNDS:-10}"
darts="${PARRIS_PARAM_DARTS:-20000}"
checkpoint="${PARRIS_CHECKPOINT_DIR}/state.txt"

pi_from() {
  awk -v hits="$1" -v thrown="$2" 'BEGIN { printf "%.5f", 4 * hits / thrown }'
}

round=0 hits=0
if [[ -f "${checkpoint}" ]]; then
  read -r round hits <"${checkpoint}"
  echo "going on after round ${round}"
fi

while ((round < rounds)); do
  round=$((round + 1))
  new=$(awk -v n="${darts}" -v seed="${round}" 'BEGIN {
    srand(seed); h = 0
    for (i = 0; i < n; i++) { x = rand(); y = rand(); if (x * x + y * y <= 1) h++ }
    print h }')
  hits=$((hits + new))
  pi=$(pi_from "${hits}" "$((round * darts))")
  echo "round ${round}: pi is about ${pi}"
  error=$(awk -v pi="${pi}" 'BEGIN { off = pi - 3.14159; printf "%.5f", off < 0 ? -off : off }')
  echo "{\"step\": ${round}, \"steps\": ${rounds}, \"pi\": ${pi}, \"error\": ${error}}" \
    >>"${PARRIS_OUTPUT_DIR}/metrics.jsonl"
  echo "${round} ${hits}" >state.partial # beside the script: only whole checkpoints are stored
  mv state.partial "${checkpoint}"
done

pi_from "${hits}" "$((round * darts))" >"${PARRIS_OUTPUT_DIR}/result.txt"
