"""Jobs as they lie on disk: trainer/ is the default job, trainer/jobs/<name>/ are the others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hcl2
from hcl2 import SerializationOptions
from lark.exceptions import LarkError  # what python-hcl2 parses with, and raises from

from parris.errors import InvalidConfig, plain
from parris.events.request import DEFAULT_JOB, JOB_NAME
from parris.jobs.config import CONFIG_FILENAME, ORIGINAL_TEMPLATE, TrainingConfig, read_config
from parris.jobs.files import GRID_FILENAME, decode, file_problems, scripts_problems
from parris.jobs.grid import read_grid
from parris.jobs.parameters import unknown_names
from parris.launch.render import render_template
from scripts.cli.console import Refused
from scripts.deployment.outputs import ROOT
from trainer.runtime.agent.script import last_power_off

TRAINER = ROOT / "trainer"
_NOT_THE_DEFAULT_JOBS = {"jobs", "runtime"}
_TRIGGERS = {
    "schedules": ("schedule", "{ expression = …, job = … }"),
    "data_triggers": ("data trigger", "{ bucket = …, job = … }"),
    "button_actions": ("click", "{ action = …, job = … }"),
    "button_jobs": ("button", "the name of a job"),
}
"""Variables that name jobs: what one of theirs is called, and its form."""
_USER_DATA_BYTES = 10_000
"""Of a run: user-data.sh as it is packaged, and the run's values (test_jobs.py measures it)."""
_JUNK_NAMES = {"__pycache__", ".DS_Store", ".venv", ".ipynb_checkpoints", ".git"}


def job_folders(trainer: Path = TRAINER) -> dict[str, Path]:
    """Return every job's folder by its name."""
    folders = {DEFAULT_JOB: trainer} if (trainer / CONFIG_FILENAME).exists() else {}
    jobs = trainer / "jobs"
    if jobs.is_dir():
        folders |= {path.name: path for path in sorted(jobs.iterdir()) if path.is_dir()}
    return folders


def choose(folders: Mapping[str, Path], job: str | None) -> dict[str, Path]:
    """Return the folders to work on: of `job`, or of all.

    Raises:
        Refused: if there is no such job; the text lists those there are.
    """
    if not folders:
        raise Refused(
            f"there is no job: neither trainer/{CONFIG_FILENAME} nor trainer/jobs/<name>/"
        )
    if job is None:
        return dict(folders)
    if job not in folders:
        raise Refused(f"there is no folder trainer/jobs/{job}; jobs: {', '.join(folders)}")
    return {job: folders[job]}


def job_files(job: str, folder: Path) -> dict[str, Path]:
    """Return the job's files by path below its folder, without what editors and Python leave."""
    files = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if belongs(job, parts) and path.is_file():
            files["/".join(parts)] = path
    return files


def belongs(job: str, parts: Sequence[str]) -> bool:
    """Return whether a file is the job's, given the parts of its path below the job's folder."""
    if job == DEFAULT_JOB and parts[0] in _NOT_THE_DEFAULT_JOBS:
        return False
    return _JUNK_NAMES.isdisjoint(parts) and not parts[-1].endswith(".pyc")


def check_job(job: str, folder: Path) -> tuple[TrainingConfig | None, list[str]]:
    """Return the job's configuration and every fault in its files, each naming its place."""
    place = _place(folder)
    if not JOB_NAME.fullmatch(job) or (job == DEFAULT_JOB and folder.parent.name == "jobs"):
        return None, [
            f"{place}: not a name for a job (letters, digits, . _ -; not {DEFAULT_JOB!r})"
        ]
    files = job_files(job, folder)
    if CONFIG_FILENAME not in files:
        return None, [f"{place}: it has no {CONFIG_FILENAME}"]
    faults = [f"{place}: {fault}" for fault in _unreadable(files)]
    if faults:
        return None, faults
    sizes = {name: path.stat().st_size for name, path in files.items()}
    faults = [f"{place}: {fault}" for fault in file_problems(sizes)]
    try:
        config = read_config(files[CONFIG_FILENAME].read_bytes(), f"{place}/{CONFIG_FILENAME}")
    except InvalidConfig as error:
        return None, faults + [f"{error.source}: {problem}" for problem in error.problems]
    problems = scripts_problems(*config.scripts, sizes) + _check_template(config, files)
    faults += [f"{config_place(folder)}: {problem}" for problem in problems]
    return config, faults + _check_grid(job, config, files, place)


def _check_grid(
    job: str, config: TrainingConfig, files: Mapping[str, Path], place: str
) -> list[str]:
    """Return what is wrong with the grid that the job's events start, if it has one."""
    if GRID_FILENAME not in files:
        return []
    source = f"{place}/{GRID_FILENAME}"
    try:
        names = read_grid(files[GRID_FILENAME].read_bytes(), source).names
    except InvalidConfig as error:
        return [f"{error.source}: {problem}" for problem in error.problems]
    return [f"{source}: {problem}" for problem in unknown_names(names, config.parameters, job)]


def _unreadable(files: Mapping[str, Path]) -> list[str]:
    """Return why files could not be uploaded, whatever is in them."""
    problems = []
    for name, path in files.items():
        if plain(name) != name:  # among others a name that is not UTF-8
            problems.append(f"{plain(name)}: its name has characters that no key may have")
            continue
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            problems.append(f"{name}: {error.strerror}")
    return problems


def config_place(folder: Path) -> str:
    """Return how to name the configuration of the job in `folder` to a person."""
    return f"{_place(folder)}/{CONFIG_FILENAME}"


def notes(folder: Path, config: TrainingConfig) -> list[str]:
    """Return what is worth knowing of a job that has no fault: its script's own power-off."""
    script = folder / config.script
    found = last_power_off(script.read_bytes()) if script.is_file() else None
    if found is None:
        return []
    return [
        f"{_place(script)}, line {found.line}: `{found.command}` is not needed, since the machine "
        "powers off by itself when the script ends; it is left out of each run, where it would "
        "hide how the training ended"
    ]


def check_triggers(variables: Mapping[str, Any], known: Iterable[str], source: str) -> list[str]:
    """Return what is wrong with the triggers in `variables`: a job that does not exist, say."""
    known = list(known)
    problems = []
    for variable, (what, form) in _TRIGGERS.items():
        triggers = {} if variables.get(variable) is None else variables[variable]
        if not isinstance(triggers, Mapping):
            problems.append(f"{source}: {variable}: not a map of names to {form}")
            continue
        for name, trigger in triggers.items():
            if isinstance(trigger, str) and variable == "button_jobs":
                job = trigger
            elif isinstance(trigger, Mapping) and variable != "button_jobs":
                job = trigger.get("job", DEFAULT_JOB)
            else:
                problems.append(f"{source}: {what} {name}: not {form}")
                continue
            if job not in known:
                jobs = ", ".join(known)
                problems.append(
                    f'{source}: {what} {name}: job "{job}" does not exist; jobs: {jobs}'
                )
    return problems


def read_tfvars(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """Return the variables in each file that Terraform loads by itself, by file name.

    Raises:
        Refused: if one cannot be read, or is not HCL (or JSON, where its name says so).
    """
    names = ["terraform.tfvars", "terraform.tfvars.json"]
    names += sorted(path.name for path in root.glob("*.auto.tfvars*"))
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        path = root / name
        if not path.exists():
            continue
        try:
            found[name] = _read_tfvars(path)
        except OSError as error:
            raise Refused(f"{name}: cannot be read: {error.strerror}") from error
        except (LarkError, ValueError, RecursionError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise Refused(f"{name}: cannot be read as a variable file: {first}") from error
    return found


def _read_tfvars(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("not an object")
        return content
    with path.open() as file:
        options = SerializationOptions(strip_string_quotes=True, explicit_blocks=False)
        read: dict[str, Any] = hcl2.load(file, serialization_options=options)
    return read


def _check_template(config: TrainingConfig, files: Mapping[str, Path]) -> list[str]:
    key, name = "cloudformation-template-filename", config.template
    if not name or (name == ORIGINAL_TEMPLATE and name not in files):
        return []
    if name not in files:
        return [f"{key}: there is no file {name} beside it"]
    try:
        # The user data of a run is of the same size to a few hundred bytes.
        text = decode(files[name].read_bytes(), name)
        render_template(text, "x" * _USER_DATA_BYTES, 1, name)
    except InvalidConfig as error:
        return [f"{key}: {name}: {problem}" for problem in error.problems]
    return []


def _place(folder: Path) -> str:
    return str(folder.relative_to(ROOT)) if folder.is_relative_to(ROOT) else str(folder)
