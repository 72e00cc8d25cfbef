"""A run of several machines in its template: a head, and workers that know the head's address.

CloudFormation makes all of them or none. They have one launch template, and user data of their own,
which go before those of the template (EC2 API reference, RunInstances, LaunchTemplate). They begin
with the node's rank and, of a worker, the head's address (``Fn::GetAtt``). The rest is the same for
all: it stands once, compressed, as a mapping, since 16 copies would not go into a template.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from functools import partial

from ..errors import InvalidConfig
from ..jobs.config import ORIGINAL_TEMPLATE
from ..runs.names import NODE_TAG

NODES_SLOT = "      # {{nodes}}\n"
"""Where a template takes what only a run of several machines has: the end of the head's properties,
which is also the end of the resources."""

_NODE = """      Tags:
        - {{ Key: "{tag}", Value: "{rank}" }}
{placement}      UserData:
        Fn::Base64: !Join
          - ""
          - - "#!/bin/bash\\nnode='export PARRIS_NODE_RANK={rank}"
{head}            - !FindInMap [NodeBoot, Rest, Script]
"""
_HEAD = """            - " PARRIS_HEAD="
            - !GetAtt Instance.PrivateIp
"""
# Without a subnet EC2 chooses a zone for each, and between zones traffic is slow and costs.
_WORKER = """
  Worker{rank}:
    Type: AWS::EC2::Instance
    Properties:
      LaunchTemplate:
        LaunchTemplateId: !Ref Machine
        Version: !GetAtt Machine.LatestVersionNumber
      SubnetId: !If [HasSubnet, !Ref SubnetId, !Ref AWS::NoValue]
      AvailabilityZone: !If [HasSubnet, !Ref AWS::NoValue, !GetAtt Instance.AvailabilityZone]
"""
# Of their own, so that nothing of another run gets in. A rule that names its own group cannot stand
# within the group: it would depend on itself.
_GROUP = """
  Nodes:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: !Sub "Nodes of run ${{RunId}}, which let each other in and nobody else"
{vpc}      Tags:
        - {{ Key: Name, Value: !Sub "${{AWS::StackName}} ${{RunId}}" }}
        - {{ Key: "parris:deployment", Value: !Ref Deployment }}
        - {{ Key: "parris:job", Value: !Ref Job }}
        - {{ Key: "parris:run-id", Value: !Ref RunId }}
        # {{{{tags}}}}

  NodesIn:
    Type: AWS::EC2::SecurityGroupIngress
    Properties:
      GroupId: !GetAtt Nodes.GroupId
      IpProtocol: "-1"
      SourceSecurityGroupId: !GetAtt Nodes.GroupId
"""
_PLACEMENT_GROUP = """
  Cluster:
    Type: AWS::EC2::PlacementGroup
    Properties:
      Strategy: cluster
      Tags:
        - {{ Key: Name, Value: !Sub "${{AWS::StackName}} ${{RunId}}" }}
        - {{ Key: "parris:deployment", Value: !Ref Deployment }}
        - {{ Key: "parris:job", Value: !Ref Job }}
        - {{ Key: "parris:run-id", Value: !Ref RunId }}
        # {{{{tags}}}}
"""
_IN_PLACEMENT_GROUP = "      PlacementGroupName: !Ref Cluster\n"
_GROUPS = (
    '- !Split [",", !Ref SecurityGroupId]\n          - !Ref AWS::NoValue\n',
    '- !Split [",", !Join [",", [!GetAtt Nodes.GroupId, !Ref SecurityGroupId]]]\n'
    "          - [!GetAtt Nodes.GroupId]\n",
)
"""What a machine alone has for its security groups, and what nodes have."""
_BOOT = """
Mappings:
  NodeBoot:
    Rest:
      Script: {script}
"""
# A machine that cannot unpack its boot has no power-off of its own yet, and so goes off at once.
_UNPACK = """'
set -o pipefail
boot="$(mktemp)" && {{
  echo "${{node}}"
  base64 --decode <<<{packed} | gunzip
}} >"${{boot}}" && exec bash "${{boot}}"
{off}
"""
_OFF = "shutdown --poweroff now || poweroff --force"


@dataclass(frozen=True)
class Network:
    """Where the machines of one run are to be."""

    vpc: str = ""
    """Of their security group; "" for the default one."""
    is_cluster: bool = False
    """Whether in a cluster placement group."""


def with_nodes(template: str, user_data: str, count: int, network: Network) -> tuple[str, str]:
    """Return a template with the slot of nodes filled, and what its launch template boots.

    Args:
        user_data: of a run's machine, as `render.render_user_data` returns it.

    Raises:
        InvalidConfig: if it is a job's own.
    """
    if count == 1:
        return template.replace(NODES_SLOT, ""), user_data
    packed = base64.b64encode(gzip.compress(user_data.encode(), mtime=0)).decode()
    script = json.dumps(_UNPACK.format(packed=packed, off=_OFF))
    if NODES_SLOT not in template:  # the job has a file of the name that ours had
        raise InvalidConfig(ORIGINAL_TEMPLATE, ["nodes: a job's own template makes one machine"])
    template = template.replace(*_GROUPS)
    node = partial(
        _NODE.format, tag=NODE_TAG, placement=_IN_PLACEMENT_GROUP if network.is_cluster else ""
    )
    resources = node(rank=0, head="")
    for rank in range(1, count):
        resources += _WORKER.format(rank=rank) + node(rank=rank, head=_HEAD)
    resources += _GROUP.format(vpc=f"      VpcId: {network.vpc}\n" if network.vpc else "")
    if network.is_cluster:
        resources += _PLACEMENT_GROUP.format()
    whole = template.replace(NODES_SLOT, resources) + _BOOT.format(script=script)
    return whole, f"#!/bin/bash\n{_OFF}\n"
