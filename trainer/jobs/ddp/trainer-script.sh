#!/bin/bash
# One process a machine, or one for each of its GPUs; they meet at the head. Options are spelled as every
# version of PyTorch knows them.
set -euo pipefail
processes="${PARRIS_GPUS_PER_NODE:-0}"
is_host=False
[[ "${PARRIS_NODE_RANK:-0}" == 0 ]] && is_host=True
exec "${PARRIS_SETUP_DIR}/venv/bin/python" -m torch.distributed.run \
  --nnodes="${PARRIS_NODES:-1}" --nproc_per_node="$((processes > 0 ? processes : 1))" \
  --rdzv_id="${PARRIS_RUN_ID}-${PARRIS_ATTEMPT}" --rdzv_backend=c10d --rdzv_conf="is_host=${is_host}" \
  --rdzv_endpoint="${MASTER_ADDR:-localhost}:${MASTER_PORT:-29500}" train.py
