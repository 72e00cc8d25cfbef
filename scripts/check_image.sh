#!/usr/bin/env bash
# Tell what a machine image lacks for Parris: run it on a machine of the image (`make check-image`).
# Changes nothing; 0 if nothing is missing, 1 if something is. docs/boot.md says what each is for.
set -uo pipefail

missing=0
lack() {
  echo "missing: $*"
  missing=$((missing + 1))
}
has() { command -v "$1" >/dev/null; }

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 402)) || lack "bash 4.2 or newer (it is ${BASH_VERSION})"
for name in date mkdir mv cat sleep timeout; do
  has "${name}" || lack "${name} (coreutils)"
done
if ! has python3; then
  lack "python3, 3.9 or newer"
elif ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
  lack "python3 3.9 or newer (it is $(python3 -c 'import platform; print(platform.python_version())'))"
else
  for module in ssl json http.client urllib.request concurrent.futures; do
    python3 -c "import ${module}" 2>/dev/null || lack "python3's module ${module}"
  done
fi
has aws || lack "aws, the AWS CLI, version 1.18 or 2"
has cloud-init || lack "cloud-init, or whatever else runs user data at the first boot"
has shutdown || lack "shutdown(8)"
has poweroff || lack "poweroff(8)"
if has systemd-run && [[ -d /run/systemd/system ]]; then
  version="$(systemctl --version | awk 'NR == 1 { print $2 }')"
  ((${version%%[^0-9]*} >= 239)) || lack "systemd 239 or newer (it is ${version})"
else
  echo "note: no systemd; the agent then runs as a child of user data"
fi
[[ -r /proc/uptime ]] || lack "/proc"
[[ -s /etc/ssl/certs/ca-certificates.crt || -s /etc/pki/tls/certs/ca-bundle.crt ]] ||
  lack "the certificates of the world's authorities (ca-certificates)"
((EUID == 0)) || echo "note: user data runs as root, this as ${USER:-somebody else}"

if ((missing)); then
  echo "image: ${missing} missing"
  exit 1
fi
echo "image: nothing is missing"
