# One call a target. Those of VERBS are verbs of ./parris, which reads make's variables (JOB, WAIT,
# LOCAL, …) and refuses what it does not know; the others are for whoever changes Parris.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

VERBS := demo drill init deploy local-up local-down local-env local-mail bucket plan upload-config \
  launch grid status costs logs shell results report stop extend rerun compare jobs schedules fire clean-stacks \
  destroy
DEVELOPER := help test test-fast coverage test-boot test-report check check-image prove faults bench package \
  format lock venv \
  venv-dev

export PYTHONPATH := lambda:.
PYTHON := .venv/bin/python

# What is given on the command line: these take nothing but lock's UPGRADE=1 and test-boot's DRILLS=,
# and a word that means nothing is a mistake.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))
STRANGE := $(filter-out SHELL .SHELLFLAGS MAKE% GNUMAKEFLAGS \
  $(if $(filter lock,$(MAKECMDGOALS)),UPGRADE) \
  $(if $(filter test-boot,$(MAKECMDGOALS)),DRILLS),$(GIVEN))
$(foreach goal,$(filter $(DEVELOPER),$(or $(MAKECMDGOALS),help)),$(if $(STRANGE),$(error make \
  $(goal): $(STRANGE) is not known here; it takes no variables)))

# Before anything runs: make launch line would launch the default job, and then not find "line".
NO_TARGETS := $(filter-out $(VERBS) $(DEVELOPER),$(MAKECMDGOALS))
$(if $(NO_TARGETS),$(error $(NO_TARGETS): not a target; make help lists them, and JOB=… names a job))

.PHONY: $(VERBS) $(DEVELOPER)

help: ## list the targets (changes nothing)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  JOB=name RUN=id WAIT=1 LOCAL=1 JSON=1 where they apply, e.g."
	@echo "  make launch JOB=monte-carlo PARAMETERS='rounds=20' WAIT=1"
	@echo "  ./parris does the same without make: ./parris --help"

demo: ## the whole system on this machine, no AWS account
drill: ## break every layer that ends a run, and show what ends it

test: venv-dev ## terraform, unit, integration, contract, e2e; not boot
	@.ci/test

test-fast: venv-dev ## the tests that need no cloud: unit, integration, contract
	@.ci/test-fast

coverage: venv-dev ## make test-fast, and the lines that it did not run
	@.ci/test-fast --cov --cov-report=term-missing

test-boot: venv-dev ## boot the real machine, in a virtual one; DRILLS=a,b
	@$(PYTHON) -m tests.boot

test-report: venv-dev ## open the report in a headless Chromium, and use it
	@$(PYTHON) -m tests.browser

check: venv-dev ## formatting, lint and types; rewrites nothing
	@.ci/check

check-image: ## tell what this machine lacks to be a training machine
	@scripts/check_image.sh

prove: venv-dev ## prove the IAM policies: every need granted, and no more
	@$(PYTHON) -m tests.proof

faults: venv-dev ## break each call to AWS, and see what comes of it
	@$(PYTHON) -m tests.faults

bench: venv-dev ## print what things cost in time, each with its goal
	@$(PYTHON) -m tests.bench

init: ## terraform init, from the registry or a provider mirror
deploy: ## show what will change, ask, apply; PLAN=1 shows all of it
local-up: ## start the embedded cloud for LOCAL=1 commands
local-down: ## stop the embedded cloud and all it runs
local-env: ## print what an aws CLI needs to go to it, for eval
local-mail: ## show the e-mails that it would have sent
bucket: ## make a data trigger's bucket, which tells of its objects
plan: ## show what a launch now would cost and meet; JOB=name
upload-config: ## check the jobs and upload what changed
launch: ## start a training; WAIT=1 follows it and says how it ended
status: ## list runs and stacks; WATCH=1 shows them live
costs: ## show what a month's runs have cost; MONTH=2026-11 CSV=1
logs: ## show a run's log, by default the newest run's; SINCE=10m
shell: ## open a shell on a run's machine; needs shell = true
results: ## fetch a run's results to results/<job>/<run-id>/; ONLY=…
report: ## write one HTML file with runs, curves and costs; RUNS=a,b
stop: ## end a run early, its results stored first; RUN=id
extend: ## give a run more time, within the caps; RUN=id MINUTES=30
grid: ## start many runs of a job, and find the best; JOB=name
rerun: ## start a run again as it was; RUN=id, by default the newest
compare: ## show what differs between runs; RUNS=a,b DIFF=1
jobs: ## list the jobs: where each is, its last run, what starts it
schedules: ## list the next five times of each schedule
fire: ## set a trigger off, and say what it started; TRIGGER=…
clean-stacks: ## delete stacks whose run is over; ALL=1 also live ones
destroy: ## terraform destroy; refuses while anything would be lost

package: ## build the function's zip (terraform apply does it itself)
	@$(NEEDS_PYTHON)
	@python3 scripts/package_lambda.py

format: venv-dev ## rewrite HCL and Python in the one format
	@.ci/format

lock: ## write requirements*.txt again, after a change of a .in
	@$(NEEDS_PYTHON)
	@python3 scripts/lock.py $(if $(filter-out 0,$(UPGRADE)),--upgrade)

$(VERBS):
	@./parris --from-make $@

# Not in the list: what the others stand on.
NEEDS_PYTHON := command -v python3 >/dev/null || \
  { echo "error: there is no python3 on PATH; install 3.11 or newer" >&2; exit 1; }
venv:
	@$(NEEDS_PYTHON)
	@python3 scripts/venv.py requirements.txt
venv-dev:
	@$(NEEDS_PYTHON)
	@python3 scripts/venv.py requirements-dev.txt
