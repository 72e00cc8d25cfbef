"""The drills: what is done to a machine, and what must hold when it is off."""

from __future__ import annotations

from tests.boot import actions
from tests.boot.checks import (
    Holds,
    attempts,
    by_itself,
    first,
    healthy,
    logs,
    off_after,
    say,
    stores,
)
from tests.boot.drill import KERNEL, TRAINER_BEGAN, USER_DATA, Drill
from tests.boot.image import NEWEST
from trainer.runtime.agent.limits import END_SECONDS

SHORT = {"termination-method": "at-fixed-time", "time-limit": 5}
"""Minutes from the launch: a boot and the way to the trainer take up to three, emulated."""

AGENT = '"$(systemctl show --property=MainPID --value parris-agent)"'
WAIT = "sleep 900\n"

STUBBORN = "trap '' TERM HUP; while :; do sleep 1; done"
DAEMON = rf"echo \$\$ >/sys/fs/cgroup/cgroup.procs; {STUBBORN}"
"""A daemon that has left the agent's unit is killed with no unit, but at the very end alone."""
FORCED_SECONDS = 75
"""Within which a machine is off that has something on it which will not end. Without force systemd
would wait 90 s for that, after what a healthy end takes."""

CHECKS = """
timeout 300 cloud-init status --wait --long
units=(/run/systemd/transient/parris-*.service)
for unit in /etc/systemd/system/parris-*.service; do [[ -e $unit ]] && units+=("$unit"); done
# Without the last option a misspelt key is a line of its own, and the status 0.
systemd-analyze verify --man=no --recursive-errors=no "${units[@]}" &&
  echo "check: ${#units[@]} units are right for $(systemctl --version | head -n 1)"
bash check_image.sh && echo "check: the image has what it must have"
"""
SUCCESS = f"{CHECKS}echo model > $PARRIS_OUTPUT_DIR/model.txt\n"
CHECK_FILES = {"check_image.sh": "scripts/check_image.sh"}

RESTORE = f"""
n=$PARRIS_CHECKPOINT_DIR/n
if [[ -e $n ]]; then
  echo "attempt $PARRIS_ATTEMPT, resumed $PARRIS_RESUMED, goes on after $(<$n)"
  cp $n $PARRIS_OUTPUT_DIR/
  exit
fi
echo 7 >$n
mark checkpoint
{WAIT}"""

DRILLS = (
    Drill(
        name="success",
        about="a training that ends well; units, user data and image are checked too",
        script=SUCCESS,
        files=CHECK_FILES,
        holds=Holds(
            state="succeeded",
            more=(
                healthy,
                logs("2 units are right for systemd 252"),
                stores("output/model.txt"),
            ),
        ),
    ),
    Drill(
        name="newest-debian",
        about="the same on the newest Debian: its systemd takes every unit and property",
        script=SUCCESS,
        files=CHECK_FILES,
        suite=NEWEST,
        holds=Holds(state="succeeded", more=(healthy, logs("2 units are right for systemd 257"))),
    ),
    Drill(
        name="failure",
        about="a training that exits with status 3",
        script="echo about to fail\nexit 3\n",
        holds=Holds(state="failed", words=("status 3", "about to fail")),
    ),
    Drill(
        name="own-shutdown",
        about="the script powers the machine off itself, inside an if",
        script="if true; then shutdown -h now; fi\n",
        holds=Holds(
            state="interrupted", words=("succeeded is unknown",), more=(stores("log.txt"),)
        ),
    ),
    Drill(
        name="time-limit",
        about="a training that is not over in time",
        script=f"trap '' TERM\n{WAIT}",
        config=SHORT,
        holds=Holds(
            state="timed-out",
            words=("deadline",),
            more=(off_after(USER_DATA, 300 + END_SECONDS),),
        ),
    ),
    Drill(
        name="memory",
        about="a training that takes all memory",
        script="python3 -c 'a = []\nwhile True: a.append(bytearray(1 << 24))'\n",
        holds=Holds(state="failed", words=("ran out of memory",)),
    ),
    Drill(
        name="disk-full",
        about="a training that fills the disk, and goes on printing",
        script="fallocate --length $(($(df --output=avail -B1 / | tail -1))) /fill\n"
        "cat /dev/zero >/fill-up\nwhile echo line; do sleep 0.1; done\n",
        holds=Holds(state="failed", words=("disk is full",)),
    ),
    Drill(
        name="killed-agent",
        about="kill -9 of the agent by the trainer",
        script=f"mark trainer ends\nkill -KILL {AGENT}\n{WAIT}",
        holds=Holds(
            state="failed",
            words=("killed",),
            more=(stores("outcome.json", "log.txt"), say("parris", "killed")),
        ),
    ),
    Drill(
        name="stopped-agent",
        about="kill -STOP of the agent: the money limit alone is left",
        script=f"mark trainer ends\nkill -STOP {AGENT}\n{WAIT}",
        config=SHORT,
        limit=1500,
        holds=Holds(
            state="timed-out",
            end=None,
            more=(by_itself, off_after(USER_DATA, 300 + END_SECONDS)),
        ),
    ),
    Drill(
        name="no-s3",
        about="S3 refuses from the start",
        script="true\n",
        action=actions.let_s3("refuses"),
        mark=KERNEL,
        holds=Holds(state="failed", end=None, words=("fetch", "nobody answers")),
    ),
    Drill(
        name="s3-gone",
        about="S3 refuses from the middle of the training on",
        script="sleep 20\n",
        action=actions.let_s3("refuses"),
        holds=Holds(state="succeeded", more=(say("parris outcome: "),)),
    ),
    Drill(
        name="s3-hangs",
        about="S3 takes connections and answers nothing",
        script="sleep 20\n",
        action=actions.let_s3("hangs"),
        holds=Holds(state="succeeded", more=(say("parris outcome: "),)),
    ),
    Drill(
        name="network-gone",
        about="the network goes away during the training",
        script="sleep 20\n",
        action=actions.cut_network,
        holds=Holds(state="succeeded", more=(say("parris outcome: "),)),
    ),
    Drill(
        name="power-button",
        about="EC2 stops the instance during the training",
        script=WAIT,
        action=actions.press_power_button,
        holds=Holds(state="interrupted", words=("power off",), more=(stores("log.txt"),)),
    ),
    Drill(
        name="early-button",
        about="EC2 stops the instance as user data begins",
        script=WAIT,
        action=actions.press_power_button,
        mark=USER_DATA,
        holds=Holds(end=None, more=(off_after(USER_DATA, 90),)),
    ),
    Drill(
        name="extend",
        about="the receipt gives the run more time",
        # Logins are shut out from five minutes before the power-off on.
        script="until [[ -e /run/nologin ]]; do sleep 1; done; mark no logins\n"
        "while [[ -e /run/nologin ]]; do sleep 1; done; mark logins again\n",
        config={"termination-method": "at-fixed-time", "time-limit": 6},
        action=actions.extend,
        mark="drill: no logins",
        holds=Holds(
            state="succeeded",
            more=(say("the machine's timer now ends in"), say("drill: logins again")),
        ),
    ),
    Drill(
        name="stop",
        about="the receipt asks the run to end",
        script=WAIT,
        action=actions.stop,
        holds=Holds(state="stopped", words=("make stop",), more=(stores("log.txt"),)),
    ),
    Drill(
        name="spot-notice",
        about="EC2 gives notice that it takes the spot machine back",
        script=WAIT,
        config={"market": "spot", "retry": {"on": []}},  # one machine is all there is here
        action=actions.give_spot_notice,
        holds=Holds(
            state="interrupted",
            words=("notice",),
            more=(stores("log.txt"), off_after(TRAINER_BEGAN, 120)),
        ),
    ),
    Drill(
        name="next-machine",
        about="EC2 takes the spot machine; a second one restores its checkpoint and ends well",
        script=RESTORE,
        config={"market": "spot"},
        action=actions.take_spot_machine,
        mark="drill: checkpoint",
        machines=2,
        holds=Holds(
            state="succeeded",
            more=(
                attempts("spot", "trainer"),
                logs("attempt 2, resumed 1, goes on after 7"),
                stores("output/n"),
                first(stores("checkpoints/n"), off_after("drill: checkpoint", 120), by_itself),
            ),
        ),
    ),
    Drill(
        name="reboot",
        about="sudo reboot by the trainer",
        script=f"mark trainer ends\nsudo reboot\n{WAIT}",
        holds=Holds(state="interrupted", words=("told to restart",), boots=1, more=(by_itself,)),
    ),
    Drill(
        name="reset",
        about="the kernel resets the machine at once (sysrq b)",
        script=f"sync\nmark trainer ends\necho b >/proc/sysrq-trigger\n{WAIT}",
        # Emulated, QEMU itself takes minutes for the reset: the end is no figure of the machine's.
        holds=Holds(
            state="interrupted", words=("was restarted",), end=None, boots=2, more=(by_itself,)
        ),
    ),
    Drill(
        name="stubborn-unit",
        about="a unit of the trainer's ignores SIGTERM",
        script=f'systemd-run --unit=stubborn bash -c "{STUBBORN}"\n',
        holds=Holds(state="succeeded", end=FORCED_SECONDS),
    ),
    Drill(
        name="stubborn-daemon",
        about="a daemon of the trainer's ignores SIGTERM",
        script=f'setsid --fork bash -c "{DAEMON}" </dev/null &>/dev/null\n',
        holds=Holds(state="succeeded", end=FORCED_SECONDS),
    ),
)
