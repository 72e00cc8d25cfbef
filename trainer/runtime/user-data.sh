#!/bin/bash
# First boot of a training machine (Amazon Linux 2023). The launch function puts the run's values
# in above as exports; docs/contracts.md lists them. From here on nothing may leave the machine on.
#
# cloud-init runs this without an argument. It arms the machine's own power-off, and hands over to
# a unit of systemd that runs it again:
#   train      fetch the run and become its supervisor, agent.pyz
#   died       the unit has stopped: say so, and store what there is
#   restarted  a later boot of the same machine: the same, and power off
readonly HOME_DIR="${PARRIS_HOME:-/var/lib/parris}"
readonly SELF="${HOME_DIR}/user-data.sh"
# With these the aws CLI notices within a minute that nobody answers.
readonly AWS_LIMITS=(--cli-connect-timeout 10 --cli-read-timeout 15)
export AWS_MAX_ATTEMPTS=3

# The money limit comes first: it holds even if everything below hangs. Should shutdown(8) refuse,
# a waiting process does the same; it outlives this script, since cloud-init leaves children alone.
arm_power_off() {
  shutdown --poweroff "+${PARRIS_LIMIT_MINUTES}" && return
  echo "parris: shutdown(8) refused its timer; a waiting process takes its place"
  (
    # It counts the machine's uptime, whatever becomes of the clock, and its waiting is bash's own
    # on a pipe that stays silent: a machine without memory may be unable to start a sleep.
    exec {silence}<> <(:)
    read -r now _ </proc/uptime
    limit="$((${now%.*} + PARRIS_LIMIT_MINUTES * 60))"
    mkdir --parents "${HOME_DIR}" && echo "${limit}" >"${HOME_DIR}/power-off-at"
    while read -r now _ </proc/uptime && ((${now%.*} < limit)); do
      read -r -t 15 -u "${silence}"
      read -r limit <"${HOME_DIR}/power-off-at" # the agent moves it with the run's deadline
    done
    exec poweroff --force
  ) </dev/null &>/dev/null &
}

# This boot of this machine: a machine of an image that was made of a training machine is another.
this_boot() {
  echo "$(</proc/sys/kernel/random/boot_id) $(cat /sys/class/dmi/id/product_uuid 2>/dev/null)"
}

# User data runs at the first boot only, so a machine that restarts would stay on without a limit.
# The unit is enabled and not started: it is for a later boot.
forbid_restart() {
  [[ -f "${SELF}" ]] && command -v systemctl >/dev/null || return
  this_boot >"${HOME_DIR}/first-boot"
  echo "${PARRIS_BOOTED}" >"${HOME_DIR}/booted"
  echo "[Unit]
Description=Power off a training machine that was restarted
Wants=network-online.target
After=network-online.target
FailureAction=poweroff-force
JobTimeoutSec=240
JobTimeoutAction=poweroff-force

[Service]
Type=oneshot
Environment=HOME=/root
ExecStart=/bin/bash ${SELF} restarted
TimeoutStartSec=180
StandardOutput=journal+console
StandardError=journal+console
SyslogIdentifier=parris

[Install]
WantedBy=multi-user.target" >"${HOME_DIR}/parris-restarted.service"
  systemctl --quiet enable "${HOME_DIR}/parris-restarted.service"
}

hand_over() {
  local name environment=("--setenv=HOME=${HOME:-/root}") properties
  for name in PATH LANG TMPDIR PARRIS_HOME PARRIS_BOOTED \
    AWS_ENDPOINT_URL AWS_ENDPOINT_URL_STS AWS_EC2_METADATA_SERVICE_ENDPOINT AWS_CONFIG_FILE \
    AWS_SHARED_CREDENTIALS_FILE AWS_CA_BUNDLE; do
    if [[ -n "${!name:-}" ]]; then
      environment+=("--setenv=${name}=${!name}")
    fi
  done
  properties=(
    # A stop goes in the reverse order of a start: the network is still up when the agent uploads.
    --property=After=network.target
    --property=After=network-online.target
    # Only the agent is told to stop, and it has time to end the trainer and upload (limits.py:
    # 3 s + 60 s + 5 s + 120 s and its last words); then whatever is left is killed.
    --property=KillMode=mixed
    --property=TimeoutStopSec=300
    # A trainer that the kernel kills for its memory must not take the agent along.
    --property=OOMPolicy=continue
    --property=TasksMax=infinity
    # An agent that dies without its own power-off leaves a word, and no machine on till the limit.
    "--property=ExecStopPost=/bin/bash ${SELF} died"
    --property=FailureAction=poweroff
    --property=StandardOutput=journal+console
    --property=StandardError=journal+console
    --property=SyslogIdentifier=parris # on the console its lines are known by it
  )
  systemd-run --unit=parris-agent --description="Parris training run" "${properties[@]}" \
    "${environment[@]}" -- bash "${SELF}" train
}

# A machine may write to one folder of its run, which has the name that AWS has for it: for a machine
# `aws:userid` is "<role id>:<instance id>" (IAM user guide, "IAM policy elements: Variables and tags",
# "Principal key values"). The launch function knows the id of the deployment's own role; metadata,
# which needs no network, says the rest, and whether this machine has that role at all.
name_by_metadata() {
  timeout 30 python3 - <<'PYTHON'
import os, sys, urllib.request

base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
no_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def ask(path, headers, method="GET"):
    request = urllib.request.Request(f"{base}/latest/{path}", headers=headers, method=method)
    with no_proxy.open(request, timeout=5) as response:
        return response.read().decode().strip()

try:
    token = ask("api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
    session = {"X-aws-ec2-metadata-token": token}
    role, instance = (ask(f"meta-data/{path}", session) for path in ("iam/security-credentials/", "instance-id"))
except OSError as error:
    sys.exit(f"parris: instance metadata: {error}")
name, _, role_id = os.environ["PARRIS_ROLE"].rpartition(":")
if role != name:
    sys.exit(f"parris: the machine has role {role}, not {name}")
print(f"{role_id}:{instance}")
PYTHON
}

# Of any other role AWS has to be asked, which takes no permission (STS API reference, GetCallerIdentity).
ask_own_name() {
  if [[ -n "${PARRIS_ROLE:-}" ]] && name_by_metadata; then
    return
  fi
  AWS_STS_REGIONAL_ENDPOINTS=regional timeout 60 aws sts get-caller-identity --query UserId \
    --output text "${AWS_LIMITS[@]}"
}

STATE=failed
REASON="user data ended before the supervisor was started"

give_up() {
  local outcome name
  outcome="{\"run-id\": \"${PARRIS_RUN_ID}\", \"job\": \"${PARRIS_JOB}\", \"state\": \"${STATE}\","
  outcome+=" \"reason\": \"${REASON}\", \"ended-by\": \"user-data\", \"exit-status\": null,"
  outcome+=" \"instance-id\": null, \"instance-type\": null, \"image\": null,"
  outcome+=" \"booted\": \"${PARRIS_BOOTED}\", \"started\": null, \"finished\": null,"
  outcome+=" \"trainer-seconds\": null, \"peak-memory-bytes\": null, \"cost-usd\": null,"
  outcome+=" \"bytes-stored\": 0, \"warnings\": []}"
  echo "parris outcome: ${outcome}" # the console keeps it when S3 cannot be reached
  # It stands, whatever becomes of the unit; and a full disk must not keep the machine on.
  touch "${HOME_DIR}/outcome-stored" || true
  if command -v aws >/dev/null; then
    name="$(cat "${HOME_DIR}/own-name" 2>/dev/null || ask_own_name || true)"
    if [[ -n "${name}" ]]; then
      timeout 60 aws "${AWS_LIMITS[@]}" s3 cp --only-show-errors - \
        "${PARRIS_RUN_URI}/machines/${name}/outcome.json" <<<"${outcome}" || true
    fi
  fi
  shutdown --poweroff now || poweroff --force
}

fail() {
  REASON="$1"
  echo "parris: ${REASON}"
  exit 1
}

# The role's credentials and the network may be some seconds late on a fresh machine.
patiently() {
  local what="$1" attempt
  for attempt in 1 2 3 4 5 6; do
    if "${@:2}"; then
      return 0
    fi
    echo "parris: attempt ${attempt} of 6 to ${what} failed"
    ((SECONDS < 120)) || break # nobody answers, and each attempt may take a minute
    sleep "$((attempt * 2))"
  done
  return 1
}

copy() {
  local said status=0
  said="$(aws "${AWS_LIMITS[@]}" s3 cp --only-show-errors "$@" 2>&1)" || status="$?"
  if ((status)); then
    echo "${said}"
    # Several copies go at once: whoever reads it finds one of their words, whole.
    echo "${said}" >"${HOME_DIR}/said.${BASHPID}" &&
      mv "${HOME_DIR}/said.${BASHPID}" "${HOME_DIR}/said"
  fi
  return "${status}"
}

fetch() {
  patiently "fetch ${*: -2:1}" copy "$@"
}

why_not_fetched() {
  local said
  said="$(cat "${HOME_DIR}/said" 2>/dev/null)"
  if [[ "${said,,}" =~ could\ not\ connect|timeout|timed\ out|connection\ was\ closed ]]; then
    echo "nobody answers there: the subnet needs a public address, a NAT gateway or an endpoint for S3"
  else
    echo "see the lines above; the instance profile must allow it"
  fi
}

keep_own_name() {
  local name
  name="$(ask_own_name)" && [[ "${name}" == *:* ]] &&
    echo "${name}" >"${HOME_DIR}/own-name.new" && mv "${HOME_DIR}/own-name.new" "${HOME_DIR}/own-name"
}

train() {
  local fetching=() naming pid
  command -v python3 >/dev/null || fail "the image has no python3; choose one that has 3.9 or newer"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' ||
    fail "the image's python3 is older than 3.9; choose one that has 3.9 or newer"
  command -v aws >/dev/null || fail "the image has no aws CLI; choose one that has, such as Amazon Linux 2023"
  mkdir --parents "${HOME_DIR}/source" "${HOME_DIR}/output" "${HOME_DIR}/checkpoints" ||
    fail "cannot make folders below ${HOME_DIR}; is the disk full?"

  # Side by side: each start of the aws CLI costs most of a second.
  fetch "${PARRIS_RUN_URI}/run.json" "${HOME_DIR}/run.json" &
  fetching+=("$!")
  fetch "${PARRIS_RUN_URI}/agent.pyz" "${HOME_DIR}/agent.pyz" &
  fetching+=("$!")
  fetch --recursive "${PARRIS_RUN_URI}/source/" "${HOME_DIR}/source/" &
  fetching+=("$!")
  patiently "ask AWS for the machine's own name" keep_own_name &
  naming="$!"
  for pid in "${fetching[@]}"; do
    wait "${pid}" || fail "cannot fetch the run from ${PARRIS_RUN_URI}: $(why_not_fetched)"
  done
  wait "${naming}" || fail "AWS STS does not say who this machine is: see the lines above; it must be reachable"
  PARRIS_MACHINE_URI="${PARRIS_RUN_URI}/machines/$(<"${HOME_DIR}/own-name")"
  export PARRIS_MACHINE_URI
  exec python3 "${HOME_DIR}/agent.pyz" "${HOME_DIR}"
}

# Only the agent knows what there is to store; where it never came, no training began either.
store_leftovers() {
  [[ -s "${HOME_DIR}/agent.pyz" && -s "${HOME_DIR}/own-name" ]] || return
  PARRIS_MACHINE_URI="${PARRIS_RUN_URI}/machines/$(<"${HOME_DIR}/own-name")" \
    timeout 130 python3 "${HOME_DIR}/agent.pyz" "${HOME_DIR}" "$1"
}

export PARRIS_BOOTED
case "${1:-}" in
died)
  if [[ "${SERVICE_RESULT:-}" != success ]]; then
    echo "parris: the supervisor ended with ${EXIT_STATUS:-no status} (${SERVICE_RESULT:-unknown})"
    store_leftovers died
  fi
  exit
  ;;
restarted)
  read -r boot machine <"${HOME_DIR}/first-boot"
  read -r this same < <(this_boot)
  # Without a word of the first boot this counts as a later one: better off than on without a limit.
  [[ "${this}" != "${boot}" && (-z "${boot}" || "${same}" == "${machine}") ]] || exit 0
  echo "parris: the machine was restarted, which ends its run"
  read -r PARRIS_BOOTED <"${HOME_DIR}/booted"
  store_leftovers restarted
  sync
  poweroff --force
  exit
  ;;
train) ;;
*)
  arm_power_off
  PARRIS_BOOTED="$(date --utc +%Y-%m-%dT%H:%M:%SZ)"
  echo "parris: user data began at $(date +%s.%N)"
  # Of the machine its image was made of: neither its word nor its results are this run's.
  rm --force --recursive "${HOME_DIR}"/{outcome-stored,own-name,log.txt,output,checkpoints,source}
  mkdir --parents "${HOME_DIR}" && cat "$0" >"${SELF}.new" && mv "${SELF}.new" "${SELF}"
  forbid_restart || echo "parris: warning: a restart would leave this machine on"
  trap give_up EXIT
  if command -v systemd-run >/dev/null && [[ -f "${SELF}" ]]; then
    hand_over || fail "systemd did not start the supervisor"
    trap - EXIT
    exit
  fi
  ;;
esac

trap give_up EXIT
trap 'STATE=interrupted; REASON="the machine was told to stop before training began"; exit 1' TERM INT
set -euo pipefail
train
