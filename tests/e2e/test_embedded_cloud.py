"""The embedded cloud itself: real processes, real IAM, real metadata, nothing left behind."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from scripts.local import cloud as embedded
from scripts.local import processes
from tests.e2e.embedded_world import IMAGE_PARAMETER, World, eventually, template

REPOSITORY = Path(__file__).resolve().parents[2]


def test_user_data_runs_with_the_instance_role_and_powers_the_machine_off(world: World) -> None:
    script = """#!/bin/bash
set -euo pipefail
export AWS_DEFAULT_REGION=us-east-1
aws sts get-caller-identity --query Arn --output text > "$PARRIS_HOME/who"
aws s3 cp "$PARRIS_HOME/who" s3://results/whole/who
env > "$PARRIS_HOME/environment"
aws s3 cp "$PARRIS_HOME/environment" s3://results/whole/environment
shutdown -h now
"""
    instance = world.launch("whole", script)
    world.wait_for_state(instance, "terminated")
    role = f"arn:aws:sts::000000000000:assumed-role/machine/{instance}"
    assert world.read("whole/who") == f"{role}\n"
    variables = dict(
        line.split("=", 1) for line in (world.read("whole/environment") or "").splitlines()
    )
    assert not {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"} & variables.keys()
    assert variables["HOME"].startswith(str(world.home))
    assert world.describe(instance)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert world.alive(instance) == set()
    assert "upload: " in world.console(instance)


def test_an_instance_is_described_as_it_was_launched(world: World) -> None:
    script = "#!/bin/bash\necho up\n"
    market = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}
    own = {"InstanceType": "c5.large", "Tags": [{"Key": "Name", "Value": "mine"}]}
    instance = world.launch("described", script, instance=own, InstanceMarketOptions=market)
    found = world.describe(instance)
    assert found["State"]["Name"] == "running"  # the end of user data ends nothing
    assert found["InstanceType"] == "c5.large"
    assert found["InstanceLifecycle"] == "spot"
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    assert found["MetadataOptions"]["HttpPutResponseHopLimit"] == 2
    assert found["IamInstanceProfile"]["Arn"].endswith(":instance-profile/machine")
    tags = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
    assert tags["Name"] == "mine"
    assert tags["parris:job"] == tags["aws:cloudformation:stack-name"] == "described"
    assert tags["aws:cloudformation:logical-id"] == "Instance"

    def attribute(name: str) -> Any:
        answer: Any = world.ec2.describe_instance_attribute(
            InstanceId=instance,
            Attribute=name,  # type: ignore[arg-type]
        )
        return answer[name[0].upper() + name[1:]]["Value"]

    assert attribute("instanceInitiatedShutdownBehavior") == "terminate"
    assert base64.b64decode(attribute("userData")).decode() == script
    volume_id = found["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    volume = world.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
    assert (volume["Encrypted"], volume["VolumeType"], volume["Size"]) == (True, "gp3", 30)
    assert volume["Tags"] == [{"Key": "Name", "Value": "a volume"}]
    world.ec2.terminate_instances(InstanceIds=[instance])
    world.wait_for_state(instance, "terminated")
    with pytest.raises(ClientError, match="does not exist"):
        world.ec2.describe_volumes(VolumeIds=[volume_id])


def test_the_instance_role_may_not_write_another_bucket(world: World) -> None:
    instance = world.launch(
        "denied",
        "#!/bin/bash\necho no | aws --region us-east-1 s3 cp - s3://secrets/no\npoweroff\n",
    )
    world.wait_for_state(instance, "terminated")
    assert "AccessDenied" in world.console(instance)
    assert world.read("no", bucket="secrets") is None


def test_power_off_reaches_daemons_and_lets_them_finish(world: World) -> None:
    script = """#!/bin/bash
setsid --fork bash -c 'trap "sleep 0.5; echo DAEMON SAVED; exit" TERM; while :; do sleep 0.1; done'
env -i setsid --fork /bin/bash -c 'trap "" TERM; echo STUBBORN; while :; do /bin/sleep 0.1; done'
sleep 1
echo READY
shutdown now
sleep 600
"""
    instance = world.launch("daemons", script)
    world.wait_for_console(instance, "READY")
    assert len(running("echo STUBBORN")) == 1  # it ignores SIGTERM, and hides from its environment
    world.wait_for_state(instance, "terminated")
    assert "DAEMON SAVED" in world.console(instance)
    assert world.alive(instance) == set()
    assert running("echo STUBBORN") == set()


def running(text: str) -> set[int]:
    """Return the shells that were given `text` to run."""
    found = set()
    for pid in processes.parents_of_all():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if command[1:2] == [b"-c"] and text.encode() in command[2]:
            found.add(pid)
    return found


def test_forced_power_off_asks_nobody(world: World) -> None:
    script = "#!/bin/bash\ntrap 'echo ASKED' TERM\npoweroff --force\nsleep 600\n"
    instance = world.launch("forced", script)
    world.wait_for_state(instance, "terminated")
    assert "ASKED" not in world.console(instance)


def test_power_commands_check_their_arguments_and_replace_each_other(world: World) -> None:
    script = """#!/bin/bash
poweroff now; echo "poweroff now: $?"
shutdown -h soon; echo "soon: $?"
shutdown --poweroff +90; echo "armed: $?"
shutdown -c; echo "cancelled: $?"
shutdown -P +90
sudo shutdown -h now
"""
    instance = world.launch("commands", script)
    world.wait_for_state(instance, "terminated")
    console = world.console(instance)
    assert "Too many arguments.\npoweroff now: 1" in console
    assert "Failed to parse time specification: soon\nsoon: 1" in console
    assert console.count("scheduled in 5400 s") == 2
    said = [line for line in console.splitlines() if not line.startswith("[parris]")]
    armed = said.index("armed: 0")
    assert said[armed - 1].endswith("use 'shutdown -c' to cancel.")
    assert said[armed + 1] == "cancelled: 0"


def test_a_transient_service_outlives_user_data_and_is_asked_first(world: World) -> None:
    script = """#!/bin/bash
cat > "$PARRIS_HOME/agent" <<'AGENT'
#!/bin/bash
bash -c 'trap "echo WORKER ASKED" TERM; while :; do sleep 0.1; done' &
trap 'sleep 0.5; echo AGENT SAVED; exit' TERM
echo "SERVICE secret=[$SECRET] given=$GIVEN"
while :; do sleep 0.1; done
AGENT
chmod +x "$PARRIS_HOME/agent"
export SECRET=of-user-data
systemd-run --unit=agent --collect --property=KillMode=mixed --property=TimeoutStopSec=5min \
    --setenv=GIVEN=yes "$PARRIS_HOME/agent"
echo "STARTED $?"
systemd-run --unit=broken /no/such/program; echo "BROKEN $?"
"""
    instance = world.launch("service", script)
    world.wait_for_console(instance, "SERVICE secret=[] given=yes")
    world.wait_for_console(instance, "BROKEN 1")
    assert world.state(instance) == "running"
    world.ec2.stop_instances(InstanceIds=[instance])
    assert world.state(instance) in ("stopping", "stopped")
    world.wait_for_state(instance, "stopped")
    console = world.console(instance)
    assert "AGENT SAVED" in console
    assert "WORKER ASKED" not in console
    assert world.alive(instance) == set()
    world.ec2.start_instances(InstanceIds=[instance])
    world.wait_for_state(instance, "running")
    assert world.console(instance).count("STARTED 0") == 1  # user data runs at the first boot only


def test_deleting_a_stack_kills_the_tree_and_lets_it_upload(world: World) -> None:
    script = """#!/bin/bash
trap 'echo last words | aws --region us-east-1 s3 cp - s3://results/deleted/last; exit' TERM
(setsid sleep 1000 &)
echo WAITING
while :; do sleep 0.1; done
"""
    instance = world.launch("deleted", script)
    world.wait_for_console(instance, "WAITING")
    world.cloudformation.delete_stack(StackName="deleted")
    stack = world.describe(instance)["Tags"]
    stack_id = next(tag["Value"] for tag in stack if tag["Key"] == "aws:cloudformation:stack-id")
    world.cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=stack_id, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    assert world.state(instance) == "terminated"
    assert world.alive(instance) == set()
    assert world.read("deleted/last") == "last words\n"


def test_changed_user_data_replaces_the_instance(world: World) -> None:
    first = world.launch("replaced", "#!/bin/bash\necho RUN 1\nsleep 600\n")
    world.wait_for_console(first, "RUN 1")
    world.cloudformation.update_stack(
        StackName="replaced", TemplateBody=template("#!/bin/bash\necho RUN 2\nsleep 600\n")
    )
    world.cloudformation.get_waiter("stack_update_complete").wait(
        StackName="replaced", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    second = world.instance_of("replaced")
    assert second != first
    world.wait_for_console(second, "RUN 2")
    assert world.state(first) == "terminated"
    assert world.alive(first) == set()


def test_metadata_needs_a_session_token(world: World) -> None:
    script = """#!/bin/bash
echo "ENDPOINT $AWS_EC2_METADATA_SERVICE_ENDPOINT"
sleep 600
"""
    instance = world.launch("metadata", script)
    world.wait_for_console(instance, "ENDPOINT http://127.0.0.1:")
    lines = world.console(instance).splitlines()
    endpoint = next(line.split()[1] for line in lines if line.startswith("ENDPOINT"))

    def ask(path: str, method: str = "GET", **headers: str) -> str:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(  # noqa: S310
            f"{endpoint}/latest/{path}", method=method, headers=names
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return str(answer.read().decode())

    def refused(path: str, method: str = "GET", **headers: str) -> int:
        with pytest.raises(urllib.error.HTTPError) as error:
            ask(path, method, **headers)
        return error.value.code

    assert refused("meta-data/instance-id") == 401
    assert refused("meta-data/instance-id", X_aws_ec2_metadata_token="made-up") == 401
    assert refused("api/token", "PUT") == 400
    token = ask("api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
    session = {"X_aws_ec2_metadata_token": token}
    assert ask("meta-data/instance-id", **session) == instance
    assert ask("meta-data/placement/region", **session) == "us-east-1"
    document = json.loads(ask("dynamic/instance-identity/document", **session))
    assert (document["instanceId"], document["instanceType"]) == (instance, "m5.large")
    assert ask("user-data", **session) == script
    assert refused("meta-data/spot/instance-action", **session) == 404
    role = ask("meta-data/iam/security-credentials/", **session)
    credentials = json.loads(ask(f"meta-data/iam/security-credentials/{role}", **session))
    assert (credentials["Code"], credentials["Type"]) == ("Success", "AWS-HMAC")
    world.cloudformation.delete_stack(StackName="metadata")
    world.wait_for_state(instance, "terminated")
    with pytest.raises(urllib.error.URLError, match="refused"):
        ask("meta-data/instance-id", **session)


def test_ec2_cannot_assume_a_role_that_does_not_trust_it(world: World) -> None:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    document = json.dumps({"Statement": [trust]})
    world.iam.create_role(RoleName="function", AssumeRolePolicyDocument=document)
    world.iam.create_instance_profile(InstanceProfileName="function")
    world.iam.add_role_to_instance_profile(InstanceProfileName="function", RoleName="function")
    script = "#!/bin/bash\naws --region us-east-1 sts get-caller-identity\npoweroff\n"
    profile = {"Name": "function"}
    instance = world.launch("distrusted", script, IamInstanceProfile=profile)
    world.wait_for_state(instance, "terminated")
    assert "Unable to locate credentials" in world.console(instance)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"IamInstanceProfile": {"Name": "nobody"}},
            "Value (nobody) for parameter iamInstanceProfile.name is invalid. "
            "Invalid IAM Instance Profile name",
        ),
        (
            {"instance": {"LaunchTemplate": {"LaunchTemplateId": "lt-0", "Version": "1"}}},
            "The launch template 'lt-0' does not exist",
        ),
        ({"instance": {"SubnetId": "subnet-0"}}, "The subnet ID 'subnet-0' does not exist"),
        ({"ImageId": "ami-new"}, 'Invalid id: "ami-new" (expecting "ami-...")'),
        (
            {"UserData": base64.b64encode(b"#" * 16385).decode()},
            "User data is limited to 16384 bytes",
        ),
    ],
)
def test_a_bad_launch_fails_the_stack_in_the_words_of_aws(
    world: World, data: dict[str, Any], words: str
) -> None:
    world.cloudformation.create_stack(
        StackName="bad", TemplateBody=template("", **data), OnFailure="DO_NOTHING"
    )
    eventually(
        lambda: (
            world.cloudformation.describe_stacks(StackName="bad")["Stacks"][0]["StackStatus"]
            == "CREATE_FAILED"
        ),
        "the stack fails",
    )
    reasons = [
        event.get("ResourceStatusReason", "")
        for event in world.cloudformation.describe_stack_events(StackName="bad")["StackEvents"]
        if event["LogicalResourceId"] == "Instance"
    ]
    world.cloudformation.delete_stack(StackName="bad")
    assert words in reasons


def test_state_changes_reach_the_default_event_bus(world: World) -> None:
    queue = world.sqs.create_queue(QueueName="seen")["QueueUrl"]
    arn = world.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    for source in ("aws.ec2", "aws.cloudformation"):
        pattern = json.dumps({"source": [source]})
        world.events.put_rule(Name=source, EventPattern=pattern)
        world.events.put_targets(
            Rule=source, Targets=[{"Id": "1", "Arn": arn["Attributes"]["QueueArn"]}]
        )
    instance = world.launch("seen", "#!/bin/bash\nshutdown now\n")
    world.wait_for_state(instance, "terminated")
    world.cloudformation.delete_stack(StackName="seen")
    seen: list[dict[str, Any]] = []

    def statuses() -> list[str]:
        answer = world.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        seen.extend(json.loads(message["Body"]) for message in answer.get("Messages", []))
        kind = "CloudFormation Stack Status Change"
        return [e["detail"]["status-details"]["status"] for e in seen if e["detail-type"] == kind]

    eventually(lambda: "DELETE_COMPLETE" in statuses(), "the stack's end on the bus")
    assert {"CREATE_IN_PROGRESS", "CREATE_COMPLETE", "DELETE_IN_PROGRESS"} <= set(statuses())
    kind = "EC2 Instance State-change Notification"
    states = [
        e["detail"]["state"]
        for e in seen
        if e["detail-type"] == kind and e["detail"]["instance-id"] == instance
    ]
    assert sorted(states) == sorted(["pending", "running", "shutting-down", "terminated"])


def test_every_image_a_run_may_ask_for_has_a_parameter(world: World) -> None:
    names = [
        IMAGE_PARAMETER,
        IMAGE_PARAMETER.replace("x86_64", "arm64"),
        "/aws/service/deeplearning/ami/x86_64/"
        "base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id",
    ]
    images = {
        name: world.ssm.get_parameter(Name=name)["Parameter"].get("Value", "") for name in names
    }
    found = world.ec2.describe_images(ImageIds=list(images.values()))["Images"]
    architectures = {image["ImageId"]: image["Architecture"] for image in found}
    assert [architectures[images[name]] for name in names] == ["x86_64", "arm64", "x86_64"]


def test_down_leaves_no_process_and_no_file_of_the_dead_cloud(tmp_path: Path) -> None:
    home = tmp_path / "a home"  # with a space
    started = embedded.up(home, port=0)
    assert embedded.up(home).pid == started.pid  # twice is once
    world = World(home)
    world.prepare()
    instance = world.launch("left", "#!/bin/bash\n(setsid sleep 1000 &)\necho UP\nsleep 1000\n")
    world.wait_for_console(instance, "UP")
    (home / "terraform.tfstate").write_text("{}")
    assert world.call_function(b"def handle(event, context): return 1") == b"1"
    assert len(world.alive(instance)) >= 3
    # The machine, the function's process, and the one that has the aws CLI loaded.
    parents = processes.parents_of_all()
    children = {pid for pid, parent in parents.items() if parent == started.pid}
    assert len(children) == 3
    assert embedded.down(home) is True
    assert world.alive(instance) == set()
    assert members_of_group(started.pid) == set()
    eventually(lambda: not children & processes.parents_of_all().keys(), "no child is left")
    assert processes.started(started.pid) is None
    assert embedded.read_cloud(home) is None
    assert sorted(path.name for path in home.iterdir()) == ["cloud.log", "lock"]
    assert embedded.down(home) is False


def members_of_group(group: int) -> set[int]:
    return {pid for pid in processes.parents_of_all() if os.getpgid(pid) == group}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_death_of_the_server_is_the_death_of_its_machines(
    tmp_path: Path, number: signal.Signals
) -> None:
    started = embedded.up(tmp_path, port=0)
    try:
        world = World(tmp_path)
        world.prepare()
        instance = world.launch("left", "#!/bin/bash\n(setsid sleep 1000 &)\necho UP\nsleep 1000\n")
        world.wait_for_console(instance, "UP")
        os.kill(started.pid, number)
        eventually(lambda: embedded.read_cloud(tmp_path) is None, "the server is gone")
        eventually(lambda: not world.alive(instance), "the machine is gone")
        with pytest.raises(embedded.CloudError, match="not up; start it with: make local-up"):
            embedded.environment(tmp_path)
    finally:
        embedded.down(tmp_path)


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.local.cloud", *arguments, "--home", str(home)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_port_that_cannot_be_is_refused(tmp_path: Path) -> None:
    answer = run(tmp_path, "up", "--port", "99999")
    assert answer.returncode == 1
    assert answer.stderr == "error: port 99999 is not one of 0 to 65535; 0 takes a free one\n"


def test_ctrl_c_while_the_cloud_starts_leaves_nothing(tmp_path: Path) -> None:
    for attempt in range(5):  # on a busy machine the cloud may be up before Ctrl-C is sent
        home = tmp_path / f"cloud-{attempt}"
        up = subprocess.Popen(
            [sys.executable, "-m", "scripts.local.cloud", "up", "--port", "0", "--home", str(home)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # What a shell starts in the background ignores Ctrl-C, and its children do too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        while up.poll() is None and not (home / "cloud.json").exists():
            time.sleep(0.001)  # a server is up within half a second: no time for a slower look
        up.send_signal(signal.SIGINT)
        _, said = up.communicate(timeout=30)
        if up.returncode:
            break
        embedded.down(home)
    assert (up.returncode, "Traceback" in said) == (130, False), said

    def is_empty() -> bool:
        left = subprocess.run(["pgrep", "--full", str(home)], capture_output=True, check=False)
        return left.stdout == b""

    # Its helper ends when it sees that the server has, which takes a busy machine a moment.
    eventually(is_empty, "no process of it is left", 10)


def test_a_taken_port_is_one_line_with_its_cure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = run(tmp_path, "up", "--port", str(port))
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: port {port} is not free")
    assert "LOCAL_PORT=" in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert run(tmp_path, "down").stdout == "The embedded cloud is not up.\n"


def test_local_environ_leaves_nothing_of_the_real_account(world: World) -> None:
    mine = {
        "PATH": "/bin",
        "AWS_PROFILE": "work",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ACCESS_KEY_ID": "real",
        "AWS_ENDPOINT_URL_S3": "https://example.org",
    }
    changed = embedded.local_environ(mine, world.home)
    assert changed["PATH"] == "/bin"
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"} & changed.keys()
    assert "real" not in changed.values()


def test_the_cloud_listens_on_loopback_only(world: World) -> None:
    cloud = embedded.read_cloud(world.home)
    assert cloud is not None
    addresses = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        address, state = line.split()[1], line.split()[3]
        if int(address.split(":")[1], 16) == cloud.port and state == "0A":
            addresses.add(address.split(":")[0])
    assert addresses == {"0100007F"}
