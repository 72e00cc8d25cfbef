#!/usr/bin/env bash
# The sample trainer: what it needs, then one command. It works on Amazon Linux 2023 as it comes.
set -euo pipefail

python=python3
if ! python3 -c 'import sys, importlib.util as u; sys.exit(None in map(u.find_spec, sys.argv[1:]))' \
  joblib matplotlib sklearn; then
  echo "installing scikit-learn and matplotlib"
  python3 -m venv venv
  python=venv/bin/python
  "${python}" -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
fi

exec "${python}" -u train.py
