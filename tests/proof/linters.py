"""checkov and parliament: what they find, but for what tests/proof/findings.json gives a reason."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.proof.deployed import ROOT, Deployed
from tests.proof.tools import environment

FINDINGS = Path(__file__).with_name("findings.json")
"""By tool and check: the reason, and of what it was found."""

Found = set[tuple[str, str, str]]
"""Tool, check, and the resource or ``principal/policy`` it is about."""

_JUDGE = """
import json, sys
from parliament import analyze_policy_string
for name, text in json.load(sys.stdin).items():
    for finding in analyze_policy_string(text, name).findings:
        detail = finding.detail if isinstance(finding.detail, list) else [finding.detail]
        actions = [each["action"] if isinstance(each, dict) else str(each) for each in detail]
        print(json.dumps([finding.issue, " ".join([f"{name}:", *actions])]))
"""


def problems(deployed: Deployed) -> list[str]:
    """Return each finding without a reason, and each reason without a finding."""
    excused = json.loads(FINDINGS.read_text())
    folder = environment("iac")
    return list(judge({*_checkov(folder), *_parliament(folder, deployed)}, excused))


def judge(found: Found, excused: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Yield what is found and not excused, and what is excused and not found."""
    expected = {
        (tool, check, about)
        for tool, checks in excused.items()
        for check, entry in checks.items()
        for about in entry["found-in"]
    }
    for tool, check, about in sorted(found - expected):
        yield f"{tool} {check}: {about}; mend it, or say in {FINDINGS.name} why it is right"
    for tool, check, about in sorted(expected - found):
        yield f"stale excuse: {tool} {check}: {about}"


def _checkov(folder: Path) -> Iterable[tuple[str, str, str]]:
    said = subprocess.run(
        [
            *(str(folder / "bin/python"), str(folder / "bin/checkov"), "--directory", "."),
            *("--framework", "terraform", "--output", "json", "--compact", "--quiet"),
            *("--skip-path", "build", "--skip-path", "docs"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    if not said:
        raise AssertionError("checkov said nothing")
    for failed in json.loads(said)["results"]["failed_checks"]:
        yield "checkov", failed["check_id"], failed["resource"]


def _parliament(folder: Path, deployed: Deployed) -> Iterable[tuple[str, str, str]]:
    documents = {
        f"{principal}/{name}": json.dumps(document)
        for principal, named in deployed.policies.items()
        if principal not in ("trust", "invoke", "bucket")  # it judges policies of identities
        for name, document in named.items()
    }
    said = subprocess.run(
        [str(folder / "bin/python"), "-c", _JUDGE],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for line in said.splitlines():
        issue, name = json.loads(line)
        yield "parliament", issue, name
