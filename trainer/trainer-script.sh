#!/usr/bin/env bash
# The sample trainer: what it needs, then one command. It works on Amazon Linux 2023 as it comes.
set -euo pipefail

python=python3
if ! python3 -c 'import joblib, matplotlib, sklearn' 2>/dev/null; then
  echo "installing scikit-learn and matplotlib"
  python3 -m venv venv
  python=venv/bin/python
  "${python}" -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
fi

exec "${python}" -u train.py
