#!/bin/bash
# First boot of a training machine (Amazon Linux 2023). The launch function puts the run's values
# in above as exports; docs/contracts.md lists them. From here on nothing may leave the machine on.

# The money limit comes first: it holds even if everything below hangs.
shutdown --poweroff "+${PARRIS_LIMIT_MINUTES}" || echo "parris: shutdown(8) refused its timer"
echo "parris: user data began at $(date +%s.%N)"

readonly HOME_DIR="${PARRIS_HOME:-/var/lib/parris}"
BOOTED="$(date --utc +%Y-%m-%dT%H:%M:%SZ)"
readonly BOOTED
REASON="user data ended before the supervisor was started"
HANDED_OVER=no

give_up() {
  [[ "${HANDED_OVER}" == yes ]] && return
  local now outcome
  now="$(date --utc +%Y-%m-%dT%H:%M:%SZ)"
  outcome="{\"run-id\": \"${PARRIS_RUN_ID}\", \"job\": \"${PARRIS_JOB}\", \"state\": \"failed\","
  outcome+=" \"reason\": \"${REASON}\", \"ended-by\": \"user-data\", \"exit-status\": null,"
  outcome+=" \"booted\": \"${BOOTED}\", \"started\": null, \"finished\": \"${now}\","
  outcome+=" \"bytes-stored\": 0, \"warnings\": []}"
  echo "parris outcome: ${outcome}" # the console keeps it when S3 cannot be reached
  if command -v aws >/dev/null; then
    timeout 60 aws s3 cp --only-show-errors - "${PARRIS_RUN_URI}/outcome.json" <<<"${outcome}" || true
  fi
  shutdown --poweroff now || poweroff --force
}
trap give_up EXIT
trap 'REASON="the machine was told to stop before training began"; exit 1' TERM INT
set -euo pipefail

fail() {
  REASON="$1"
  echo "parris: ${REASON}"
  exit 1
}

# The role's credentials and the network may be some seconds late on a fresh machine.
fetch() {
  local attempt
  for attempt in 1 2 3 4 5 6; do
    if aws s3 cp --only-show-errors "$@"; then
      return 0
    fi
    echo "parris: attempt ${attempt} to fetch $1 failed"
    sleep "$((attempt * 2))"
  done
  return 1
}

command -v python3 >/dev/null || fail "the image has no python3; choose one that has 3.9 or newer"
command -v aws >/dev/null || fail "the image has no aws CLI; choose one that has, such as Amazon Linux 2023"
mkdir --parents "${HOME_DIR}/source" "${HOME_DIR}/output" "${HOME_DIR}/checkpoints" ||
  fail "cannot make folders below ${HOME_DIR}; is the disk full?"

# Side by side: each start of the aws CLI costs most of a second.
fetch "${PARRIS_RUN_URI}/run.json" "${HOME_DIR}/run.json" &
fetch "${PARRIS_RUN_URI}/agent.py" "${HOME_DIR}/agent.py" &
fetch --recursive "${PARRIS_RUN_URI}/source/" "${HOME_DIR}/source/" &
for _ in 1 2 3; do
  wait -n || fail "cannot fetch the run from ${PARRIS_RUN_URI}: see the lines above; the instance profile must allow it"
done

agent=(python3 "${HOME_DIR}/agent.py" "${HOME_DIR}")
if command -v systemd-run >/dev/null; then
  # A unit of its own, behind the network: when the machine is told to stop, systemd ends it
  # before the network, asks only the supervisor (mixed), and leaves it time to upload.
  environment=("--setenv=HOME=${HOME:-/root}" "--setenv=PATH=${PATH}" "--setenv=PARRIS_BOOTED=${BOOTED}")
  for name in PARRIS_JOB PARRIS_RUN_ID PARRIS_RUN_URI AWS_DEFAULT_REGION AWS_ENDPOINT_URL \
    AWS_EC2_METADATA_SERVICE_ENDPOINT AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_CA_BUNDLE TMPDIR; do
    if [[ -n "${!name:-}" ]]; then
      environment+=("--setenv=${name}=${!name}")
    fi
  done
  systemd-run --unit=parris-agent --description="Parris supervisor" \
    --property=After=network-online.target --property=KillMode=mixed \
    --property=TimeoutStopSec=300 --property=StandardOutput=journal+console \
    --property=StandardError=journal+console "${environment[@]}" -- "${agent[@]}" ||
    fail "systemd did not start the supervisor"
  HANDED_OVER=yes
else
  export PARRIS_BOOTED="${BOOTED}"
  "${agent[@]}" || fail "the supervisor did not start or did not end by itself"
  HANDED_OVER=yes
fi
