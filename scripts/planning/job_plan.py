"""What a launch of a job now would meet, put together; it is carried out by nobody."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from parris.errors import InvalidConfig, ParrisError, PriceUnknown, UnknownJob
from parris.events.request import DEFAULT_JOB, LaunchRequest
from parris.events.router import read_request
from parris.jobs.config import CONFIG_FILENAME
from parris.jobs.points import Grid
from parris.launch import prepare
from parris.launch.room import over_budget
from parris.runs.images import default_image
from parris.runs.month import Sums, month_of, to_micros
from parris.runs.plan import RunPlan, run_id_for
from scripts.cli.console import Refused
from scripts.deployment.outputs import Deployment
from scripts.jobs import jobs, stale, uploads
from scripts.jobs.account_check import check_account
from scripts.planning import machines, obstacles, quotas, rights, rungs
from scripts.planning.reading import MACHINE, Image, InstanceType, Reading, heard
from scripts.planning.rungs import Kind


@dataclass(kw_only=True)
class JobPlan:
    """One launch, as it would be now."""

    run: RunPlan
    """Of the machine that it would begin with, priced, ended where its budget ends."""
    uploaded: bool
    """Whether the job lies in the bucket; else it is planned as it lies in this clone."""
    files: Mapping[str, int]
    """Sizes in bytes, by path below the job's folder."""
    kinds: list[Kind]
    first: Kind | None
    """What it would begin with; None if EC2 would refuse all that it may try."""
    most_usd: Decimal | None
    """What it may have cost by its deadline, whichever machines it comes to."""
    grid: Grid | None
    """Of whose trials it is one; None if a launch now begins one run."""
    image_id: str | None
    image: Image | None
    room: obstacles.Room
    month: Sums | None
    """What the month's runs have cost and have reserved; None if nobody keeps or may read it."""
    budget_usd: Decimal | None
    """Of the month; None if it has none."""
    denials: list[rights.Denial] | None
    """What the roles may not do; None if nobody was allowed to ask."""
    problems: list[str] = field(default_factory=list)
    """Why a launch now would not go through, each with its cure."""
    notes: list[str] = field(default_factory=list)

    @property
    def goes(self) -> bool:
        return not self.problems


def make_plan(
    deployment: Deployment, job: str, parameters: Mapping[str, str], now: datetime
) -> JobPlan:
    """Return what would become of a launch of `job` now, without doing anything of it.

    Raises:
        Refused: if there is no such job, or it cannot be planned: the text names each fault.
    """
    reading = Reading(deployment)
    event: dict[str, Any] = {"job": job, "event-id": "plan", "time": now.isoformat()}
    if parameters:
        event["parameters"] = dict(parameters)
    with ThreadPoolExecutor(max_workers=24, thread_name_prefix="plan") as pool:
        try:
            request = read_request(event, "plan", reading.settings.buttons)
            return _Planning(pool, reading, request, now).plan()
        except ParrisError as error:
            raise Refused(f"job {job} would not be launched: {error}") from error


class _Planning:
    """The calls in three waves: what the job says, what it meets, what its roles may."""

    def __init__(
        self, pool: Executor, reading: Reading, request: LaunchRequest, now: datetime
    ) -> None:
        self.pool, self.reading, self.request, self.now = pool, reading, request, now
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.folder: Path | None = jobs.job_folders().get(request.job)
        if self.folder is not None and not (self.folder / CONFIG_FILENAME).is_file():
            self.folder = None

    def plan(self) -> JobPlan:
        """Return the plan; in which order things are asked is what makes it quick.

        Raises:
            ParrisError: if the job cannot be planned.
        """
        asked = obstacles.ask(self.pool, self.reading)
        running = self.pool.submit(quotas.running, self.reading.ec2)
        differing = self.pool.submit(self._differing)
        run, uploaded, files = self._prepared()
        folder = None if uploaded else self.folder
        met = obstacles.meet(self.pool, self.reading, run, asked)
        checking = self.pool.submit(check_account, self.reading.deployment, run.config)
        imaging = self.pool.submit(self.reading.find_image, run)
        sizes = files.sizes
        summing = (
            self.pool.submit(self.reading.sums, month_of(self.now)) if self._has_budget else None
        )
        templating = self.pool.submit(self.reading.template, run, folder, sizes)
        kinds, types = machines.read_kinds(self.pool, self.reading, run, running, self.notes)
        faults, unasked = checking.result()
        self.problems += faults
        self.notes += unasked
        first = rungs.starts_on(kinds, run.config.retry)
        if first is None:
            self.problems += [kind.refusal for kind in kinds if kind.refusal]
        begun, run = run, self._priced(run, first or kinds[0])
        if run.image != begun.image:  # down the ladder it may be for another processor
            imaging = self.pool.submit(self.reading.find_image, run)
        month = heard(summing, "the month's budget", self.notes) if summing is not None else None
        if month is not None:
            run = self._within_month(run, month)
        image_id, image = self._judged_image(imaging, run, types)
        self._check_template(run, templating, image_id)
        denials = self._denials(run, image_id, image)
        room = met(self.notes)
        self.problems += room.problems
        self.notes += [*room.notes, *(heard(differing, "the job's folder", self.notes) or [])]
        if first is not None:  # down the ladder
            self.notes += [kind.refusal for kind in kinds if kind.refusal]
        reached = rungs.reachable(kinds, first, run.config.retry) if first else []
        return JobPlan(
            run=run,
            uploaded=uploaded,
            files=sizes,
            kinds=kinds,
            first=first,
            most_usd=rungs.worst_usd(reached, run.claimed, run.deadline, run.budget_usd),
            grid=self.reading.grid(run.job, folder, sizes),
            image_id=image_id,
            image=image,
            room=room,
            month=month,
            budget_usd=self.reading.settings.monthly_budget_usd,
            denials=denials,
            problems=list(dict.fromkeys(self.problems)),
            notes=list(dict.fromkeys([*run.notes, *self.notes])),
        )

    def _prepared(self) -> tuple[RunPlan, bool, prepare.JobFiles]:
        """Return the run as the launch function would plan it, from the bucket or else from here.

        Raises:
            ParrisError: as `prepare.prepare`.
        """
        job = self.request.job
        files = self.reading.job_files(self.pool, job, None)
        try:
            return self._prepare(files), True, files
        except UnknownJob:
            if self.folder is None:
                raise
        upload = "make upload-config" + ("" if job == DEFAULT_JOB else f" JOB={job}")
        self.problems.append(f"the bucket has no job {job} yet: {upload}")
        files = self.reading.job_files(self.pool, job, self.folder)
        return self._prepare(files), False, files

    def _prepare(self, files: prepare.JobFiles) -> RunPlan:
        return prepare.prepare(
            self.request,
            files,
            self.reading.settings,
            self.now,
            run_id=run_id_for(self.request, self.now),
            nonce=os.urandom(16).hex(),  # no run will have it
            resumed=None,
            then=None,
        )

    def _differing(self) -> list[str]:
        if self.folder is None:
            return []
        job = self.request.job
        changes = uploads.compare(self.reading.deployment, job, self.folder)
        if changes.first or not (changes.upload or changes.delete):
            return []
        names = stale.some(stale.differing(job, changes))
        return [
            f"the job's folder differs from the bucket ({names}), which is what is planned here: "
            f"make upload-config JOB={job}"
        ]

    def _priced(self, run: RunPlan, kind: Kind) -> RunPlan:
        """Return the run on a machine of `kind`, with its price, ended where its budget ends."""
        rung = kind.rungs[0]
        image = run.config.image or default_image(rung.instance_type)
        try:
            return prepare.priced(replace(run, rung=rung, image=image), kind.read_price)
        except (InvalidConfig, PriceUnknown) as error:
            self.problems.append(str(error))
            return run

    @property
    def _has_budget(self) -> bool:
        return self.reading.settings.monthly_budget_usd is not None

    def _within_month(self, run: RunPlan, sums: Sums) -> RunPlan:
        """Return the run with what would be reserved of the month's budget, if that has room."""
        settings = self.reading.settings
        if run.price is None:
            return run
        try:
            on_demand = prepare.read_most_hourly(run, self.reading.clients)
            run = prepare.shared(run, on_demand, settings.grace)
        except PriceUnknown as error:
            self.problems.append(str(error))
            return run
        wanted = sums.spent + sums.reserved + to_micros(run.reserved_usd or 0)
        if wanted > to_micros(settings.monthly_budget_usd or 0):
            self.problems.append(over_budget(sums, run, settings))
        return run

    def _judged_image(
        self,
        imaging: Future[tuple[str | None, Image | None, str]],
        run: RunPlan,
        types: Mapping[str, InstanceType],
    ) -> tuple[str | None, Image | None]:
        said = heard(imaging, "the image", self.notes)
        if said is None:
            return None, None
        identifier, image, problem = said
        kind = types.get(run.rung.instance_type)
        if image is not None and kind is not None and image.architecture:
            able = kind.architectures
            if able and image.architecture not in able:
                problem = (
                    f"image: {identifier} is for {image.architecture}, and "
                    f"{run.rung.instance_type} runs {', '.join(able)} only"
                )
        if problem:
            self.problems.append(problem)
        return identifier, image

    def _check_template(self, run: RunPlan, templating: Future[str], image: str | None) -> None:
        try:
            template = templating.result()
            prepare.stack_call(run, self.reading.settings, template, image or "ami-0", MACHINE)
        except ParrisError as error:
            self.problems.append(str(error))

    def _denials(
        self, run: RunPlan, image_id: str | None, image: Image | None
    ) -> list[rights.Denial] | None:
        reading, deployment = self.reading, self.reading.deployment
        asked = list(
            rights.questions(
                run, reading.settings, deployment.launch_role_arn, deployment.account_id
            )
        )
        if image_id is not None and image is not None:
            own = image.owner
            asked.append(rights.question_of_image(run, reading.settings, image_id, own))
        if run.config.data or run.config.secrets:
            if run.instance_profile == reading.settings.instance_profiles[0]:
                role = deployment.instance_role_arn
                asked += rights.questions_of_inputs(run, role, deployment.account_id)
            else:
                self.notes.append(
                    f"whether {run.instance_profile} may read the job's data and secrets was not "
                    "looked at: it is a role of your own"
                )
        answers = [self.pool.submit(rights.ask, reading.iam, question) for question in asked]
        unasked: list[str] = []
        found = [heard(answer, "the roles' rights", unasked) for answer in answers]
        if unasked:
            self.notes.append(unasked[0])
            return None
        denials = [denial for each in found for denial in each]
        for denial in denials:
            told = self.problems if denial.is_certain else self.notes
            told.append(f"{denial}; {denial.cure}")
        return [denial for denial in denials if denial.is_certain]
