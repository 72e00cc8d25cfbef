"""What a trainer ran with is kept in `packages.txt`, as far as it can be found."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.unit.agent.machine import Machine
from trainer.runtime.agent import environment

SMI = """#!/bin/bash
echo '| NVIDIA-SMI 550.54.15    Driver Version: 550.54.15      CUDA Version: 12.4     |'
echo '| 0  Driver Version: 1 |'
"""
RUN = "import time; time.sleep(2)"


def make_venv(folder: Path, *packages: str, **config: str) -> Path:
    """Make what looks like a virtual environment that can run, with `packages` in it."""
    place = folder / "lib/python3.11/site-packages"
    place.mkdir(parents=True)
    for name in packages:
        (place / name).mkdir()
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to(sys.executable)
    lines = [f"{key.replace('_', '-')} = {value}\n" for key, value in config.items()]
    (folder / "pyvenv.cfg").write_text("".join(["home = /usr/bin\nversion = 3.11.7\n", *lines]))
    return folder


def kept(machine: Machine) -> list[str]:
    return (machine.stored("packages.txt") or b"").decode().splitlines()


@pytest.mark.processes
def test_packages_of_an_environment_below_source_are_kept(machine: Machine) -> None:
    make_venv(machine.home / "source/venv", "Foo_Bar-1.2.dist-info", "torch-2.4.0+cu124.dist-info")
    machine.put("nvidia-smi", SMI)
    outcome = machine.run("#!/bin/bash\nvenv/bin/python -c 'import time; time.sleep(1)'\n")
    assert (outcome["state"], outcome["warnings"]) == ("succeeded", [])
    lines = kept(machine)
    assert lines[0] == "# what the trainer ran with"
    assert {"# nvidia-driver 550.54.15", "# cuda 12.4"} <= set(lines)
    assert any(line.startswith("# kernel ") for line in lines)
    assert lines[-3:] == ["# python 3.11.7 of venv", "foo-bar==1.2", "torch==2.4.0+cu124"]


@pytest.mark.processes
@pytest.mark.parametrize("called", ["{0}/bin/python", "PATH={0}/bin:$PATH python", "../py"])
def test_an_interpreter_elsewhere_is_seen_while_it_runs(
    machine: Machine, tmp_path: Path, called: str
) -> None:
    elsewhere = make_venv(tmp_path / "else where", "numpy-2.1.0.dist-info")
    script = called.format(f"'{elsewhere}'")
    if called == "../py":  # a link to a folder, from where the trainer is
        (machine.home / "py").symlink_to(elsewhere)
        script = "../py/bin/python"
    machine.run(f"#!/bin/bash\n{script} -c '{RUN}'\n")
    assert "numpy==2.1.0" in kept(machine)
    assert len([line for line in kept(machine) if line.startswith("# python ")]) == 1


@pytest.mark.processes
def test_what_cannot_be_written_or_found_is_no_failure(machine: Machine) -> None:
    (machine.home / "packages.txt").mkdir()
    machine.put("nvidia-smi", "#!/bin/bash\nexit 9\n")
    outcome = machine.run("#!/bin/bash\ntrue\n")
    assert (outcome["state"], outcome["warnings"]) == ("succeeded", [])
    assert machine.stored("packages.txt") is None


@pytest.mark.processes
def test_a_graphics_driver_that_hangs_delays_nothing(machine: Machine) -> None:
    machine.put("nvidia-smi", "#!/bin/bash\nsleep 60\n")
    began = time.monotonic()
    assert machine.run("#!/bin/bash\ntrue\n")["state"] == "succeeded"
    assert time.monotonic() - began < 20
    assert not [line for line in kept(machine) if "cuda" in line]
    machine.unplug()


def test_the_systems_packages_count_where_the_environment_takes_them(tmp_path: Path) -> None:
    system = tmp_path / "usr/local/lib/python3.11/dist-packages"
    system.mkdir(parents=True)
    for name in ("numpy-1.0.dist-info", "old-0.1-py3.11.egg-info", "readme.txt", "x.dist-info"):
        (system / name).mkdir()
    inner = make_venv(
        tmp_path / "venv",
        "numpy-2.0.dist-info",
        home=str(tmp_path / "usr/bin"),
        include_system_site_packages="true",
    )
    assert environment.read_packages(inner) == ("3.11.7", ["numpy==2.0", "old==0.1"])
    assert environment.read_packages(tmp_path / "usr") == ("3.11", ["numpy==1.0", "old==0.1"])
    assert environment.read_packages(tmp_path / "none") == ("unknown", [])


def test_folders_that_a_pth_file_adds_count_and_what_lies_nearer_wins(tmp_path: Path) -> None:
    (tmp_path / "else where/far-3.dist-info").mkdir(parents=True)
    (tmp_path / "else where/near-1.dist-info").mkdir()
    inner = make_venv(tmp_path / "venv", "near-2.dist-info")
    lines = f"# x\nimport os\n\n{tmp_path}/else where\n/no/such\n"
    (inner / "lib/python3.11/site-packages/more.pth").write_text(lines)
    assert environment.read_packages(inner)[1] == ["far==3", "near==2"]


def test_environments_are_looked_for_a_little_way_down(tmp_path: Path) -> None:
    make_venv(tmp_path / "a/b/.venv")
    make_venv(tmp_path / "a/b/c/d/too-deep")
    make_venv(tmp_path / "a/b/.venv/inside")
    assert list(environment.find_environments(tmp_path)) == [tmp_path / "a/b/.venv"]


def test_the_file_is_bounded_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = make_venv(tmp_path / "v\x1bv", *(f"p{number}-1.dist-info" for number in range(100)))
    whole = environment.describe([inside], tmp_path, {})
    assert "# python 3.11.7 of v?v\n" in whole
    assert whole.count("==") == 100
    monkeypatch.setattr(environment, "MAX_BYTES", 400)
    text = environment.describe([inside], tmp_path, {})
    assert len(text) < 420
    assert text.endswith("==1\n# cut short\n")
