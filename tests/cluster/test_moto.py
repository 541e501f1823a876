"""cluster/gpu.yaml against a simulated AWS, in this process: what Ray bootstraps and starts, up to where it would use SSH."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws import node_provider
from ray.autoscaler._private.commands import _bootstrap_config
from ray.autoscaler._private.providers import _get_node_provider
from ray.autoscaler.tags import (
    NODE_KIND_HEAD,
    NODE_KIND_WORKER,
    TAG_RAY_LAUNCH_CONFIG,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

GPU_YAML = Path(__file__).parents[2] / "cluster" / "gpu.yaml"
INSTANCE_TYPES = functools.cache(
    node_provider.list_ec2_instances
)  # half a minute's work on a slow machine, always the same
ANYWHERE = {"CidrIp": "0.0.0.0/0"}


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """EC2 of the file's region; Ray's key and cache go to a folder of the test's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setattr(node_provider, "list_ec2_instances", INSTANCE_TYPES)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with mock_aws():
        yield boto3.client("ec2")


def filled_in(ec2: Any) -> dict[str, Any]:
    """The file with its placeholders replaced as the README says."""
    group = ec2.create_security_group(GroupName="unlearning-sweep", Description="SSH from one network")["GroupId"]
    for rule in ({"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "203.0.113.0/24"}]},
                 {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}):  # fmt: skip
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    boto3.client("iam").create_instance_profile(InstanceProfileName="sweep-head")
    image = ec2.describe_images(Filters=[{"Name": "name", "Values": ["*ubuntu*"]}])["Images"][0]["ImageId"]
    text = GPU_YAML.read_text().replace("sg-0123456789abcdef0", group).replace("ami-0123456789abcdef0", image)
    return yaml.safe_load(text)


def instances(ec2: Any) -> list[dict[str, Any]]:
    return [
        i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"] if i["State"]["Name"] == "running"
    ]


def start(provider: Any, config: dict[str, Any], name: str) -> None:
    kind = NODE_KIND_HEAD if name == config["head_node_type"] else NODE_KIND_WORKER
    tags = {TAG_RAY_NODE_KIND: kind, TAG_RAY_USER_NODE_TYPE: name, TAG_RAY_LAUNCH_CONFIG: "hash"}
    tags |= {TAG_RAY_NODE_NAME: f"ray-{config['cluster_name']}-{kind}", TAG_RAY_NODE_STATUS: "uninitialized"}
    provider.create_node(config["available_node_types"][name]["node_config"], tags, 1)


def test_ray_starts_what_the_file_says_in_our_security_group_and_adds_no_rule(aws: Any) -> None:
    wanted = filled_in(aws)
    before = aws.describe_security_groups()["SecurityGroups"]
    config = _bootstrap_config(wanted, no_config_cache=True)
    provider = _get_node_provider(config["provider"], config["cluster_name"])
    for name in config["available_node_types"]:
        start(provider, config, name)
    found = {next(t["Value"] for t in i["Tags"] if t["Key"] == TAG_RAY_USER_NODE_TYPE): i for i in instances(aws)}
    group, image = wanted["available_node_types"]["head"]["node_config"]["SecurityGroupIds"][0], wanted[
        "available_node_types"]["head"]["node_config"]["ImageId"]  # fmt: skip
    assert found.keys() == {"head", "gpu_spot", "gpu_on_demand"}
    assert {n: i["InstanceType"] for n, i in found.items()} == {
        "head": "m6i.large", "gpu_spot": "g5.xlarge", "gpu_on_demand": "g5.xlarge"
    }  # fmt: skip
    assert {i["ImageId"] for i in found.values()} == {image}
    assert {g["GroupId"] for i in found.values() for g in i["SecurityGroups"]} == {group}
    assert [n for n, i in found.items() if i.get("InstanceLifecycle") == "spot"] == ["gpu_spot"]
    assert [n for n, i in found.items() if "IamInstanceProfile" in i] == ["head"]
    assert aws.describe_security_groups()["SecurityGroups"] == before, "Ray changed the rules of a security group"
    provider.terminate_nodes(provider.non_terminated_nodes({}))
    assert instances(aws) == []


def test_without_our_group_ray_opens_ssh_to_everyone(aws: Any) -> None:
    """Why every node type names one. When this fails Ray has mended its default."""
    config = filled_in(aws)
    for node in config["available_node_types"].values():
        del node["node_config"]["SecurityGroupIds"]
    _bootstrap_config(config, no_config_cache=True)
    rules = [rule for g in aws.describe_security_groups()["SecurityGroups"] for rule in g["IpPermissions"]]
    assert [rule["FromPort"] for rule in rules if ANYWHERE in rule["IpRanges"]] == [22]


def test_the_file_as_it_stands_starts_nothing(aws: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """Its security group is a placeholder, which nobody has."""
    with pytest.raises(AssertionError):
        _bootstrap_config(yaml.safe_load(GPU_YAML.read_text()), no_config_cache=True)
    said = capfd.readouterr().err
    assert "Failed to detect a security group with id equal to any of the configured SecurityGroupIds" in said
    assert instances(aws) == []
