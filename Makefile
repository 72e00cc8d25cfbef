# One call a target; what it does is in scripts/. LOCAL=1 turns any of them to the embedded cloud.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

export LOCAL JOB RUN MINUTES WAIT ALL YES PLAN LOCAL_PORT
export TRIGGER CLICK SERIAL PAYLOAD NAME KEY FILE
export PYTHONPATH := lambda:.
PYTHON := .venv/bin/python

# The embedded cloud needs more than the scripts do.
REQUIREMENTS = $(if $(filter-out 0,$(LOCAL)),requirements-local.txt,requirements.txt)
# As the shell's variables, so that a space or a quote in one is the script's to refuse.
JOB_ARGUMENT := $(if $(JOB),--job="$$JOB")
RUN_ARGUMENT := $(if $(RUN),--run="$$RUN")
WAIT_ARGUMENT := $(if $(filter-out 0,$(WAIT)),--wait)
YES_ARGUMENT := $(if $(filter-out 0,$(YES)),--yes)
PLAN_ARGUMENT := $(if $(filter-out 0,$(PLAN)),--plan)

.PHONY: help
help: ## list the targets (changes nothing)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  JOB=name RUN=id WAIT=1 LOCAL=1 where they apply, e.g. make launch JOB=monte-carlo WAIT=1"

.PHONY: demo
demo: LOCAL = 1
demo: venv ## the whole system on this machine, no AWS account: apply, train, fetch, clean
	@$(PYTHON) -m scripts.demo

.PHONY: drill
drill: LOCAL = 1
drill: venv ## break every layer that ends a run, alone and with another, and show what ends it
	@$(PYTHON) -m scripts.drill

.PHONY: test
test: venv-dev ## every test: unit, integration, contract, terraform, e2e
	@.ci/test

.PHONY: test-fast
test-fast: venv-dev ## the tests that need no cloud: unit, integration, contract
	@.ci/test-fast

.PHONY: check
check: venv-dev ## formatting, lint and types; rewrites nothing
	@.ci/check

.PHONY: prove
prove: venv-dev ## prove the IAM policies: every need granted, every grant needed; checkov, parliament
	@$(PYTHON) -m tests.proof

.PHONY: bench
bench: venv-dev ## print launch latency, package size, round trips and machine times
	@$(PYTHON) -m tests.bench

.PHONY: init
init: venv ## terraform init, from the registry or a provider mirror
	@$(PYTHON) -m scripts.terraform init

.PHONY: deploy
deploy: venv ## show what will change, ask, apply; PLAN=1 shows the whole plan
	@$(PYTHON) -m scripts.terraform apply $(YES_ARGUMENT) $(PLAN_ARGUMENT)

.PHONY: local-up
local-up: LOCAL = 1
local-up: venv ## start the embedded cloud for LOCAL=1 commands
	@$(PYTHON) -m scripts.local.cloud up $(if $(LOCAL_PORT),--port="$$LOCAL_PORT")

.PHONY: local-down
local-down: LOCAL = 1
local-down: venv ## stop the embedded cloud and all it runs
	@$(PYTHON) -m scripts.local.cloud down

.PHONY: upload-config
upload-config: venv ## check the jobs and upload what changed
	@$(PYTHON) -m scripts.upload_config $(JOB_ARGUMENT)

.PHONY: launch
launch: venv ## start a training; WAIT=1 follows it and exits with its result
	@$(PYTHON) -m scripts.launch $(JOB_ARGUMENT) $(WAIT_ARGUMENT)

.PHONY: status
status: venv ## list runs and stacks
	@$(PYTHON) -m scripts.status $(JOB_ARGUMENT)

.PHONY: logs
logs: venv ## show a run's log, by default the newest run's
	@$(PYTHON) -m scripts.logs $(JOB_ARGUMENT) $(RUN_ARGUMENT) $(WAIT_ARGUMENT)

.PHONY: results
results: venv ## fetch a run's results to results/<job>/<run-id>/
	@$(PYTHON) -m scripts.results $(JOB_ARGUMENT) $(RUN_ARGUMENT)

.PHONY: stop
stop: venv ## end a run early, gently: its results are stored first; RUN=id
	@$(PYTHON) -m scripts.stop $(JOB_ARGUMENT) $(RUN_ARGUMENT) $(WAIT_ARGUMENT)

.PHONY: extend
extend: venv ## give a run more time, within the caps; RUN=id MINUTES=30
	@$(PYTHON) -m scripts.extend $(JOB_ARGUMENT) $(RUN_ARGUMENT) --minutes="$${MINUTES:-30}"

.PHONY: schedules
schedules: venv ## list the next five times of each schedule; JSON=1 for machines
	@$(PYTHON) -m scripts.schedules $(if $(filter-out 0,$(JSON)),--json)

.PHONY: fire
fire: venv ## set a trigger off; TRIGGER=button CLICK=DOUBLE, TRIGGER=schedule NAME=nightly, …
	@$(PYTHON) -m scripts.fire --trigger="$$TRIGGER" --click="$$CLICK" --serial="$$SERIAL" $(JOB_ARGUMENT) \
	  --payload="$$PAYLOAD" --name="$$NAME" --key="$$KEY" --file="$$FILE"

.PHONY: clean-stacks
clean-stacks: venv ## delete stacks whose run is over; ALL=1 also live ones, after asking
	@$(PYTHON) -m scripts.clean_stacks $(if $(filter-out 0,$(ALL)),--all) $(YES_ARGUMENT) $(WAIT_ARGUMENT)

.PHONY: destroy
destroy: venv ## terraform destroy; refuses while runs live, and to delete results
	@$(PYTHON) -m scripts.destroy $(YES_ARGUMENT) $(PLAN_ARGUMENT)

.PHONY: package
package: ## build the function's zip (terraform apply does it by itself)
	@python3 scripts/package_lambda.py

.PHONY: format
format: venv-dev ## rewrite HCL and Python in the one format
	@.ci/format

.PHONY: lock
lock: ## write the requirements' locks (versions and hashes) again, after a change of a .in
	@python3 scripts/lock.py $(if $(filter-out 0,$(UPGRADE)),--upgrade)

# Not in the list: what the others stand on.
NEEDS_PYTHON := command -v python3 >/dev/null || \
  { echo "error: there is no python3 on PATH; install 3.11 or newer" >&2; exit 1; }
.PHONY: venv venv-dev
venv:
	@$(NEEDS_PYTHON)
	@python3 scripts/venv.py $(REQUIREMENTS)
venv-dev:
	@$(NEEDS_PYTHON)
	@python3 scripts/venv.py requirements-dev.txt
