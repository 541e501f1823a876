"""`python -m sweep.cluster check` finds secrets by their shapes, their names and the commands they are given to; not references."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from planted import altered, found_in, said_at

COMMANDS = [
    "export WANDB_API_KEY=0123456789abcdef0123",
    "WANDB_API_KEY='0123456789abcdef0123' python -m sweep.launch",
    "wandb login 0123456789abcdef0123",
    "wandb login --relogin 0123456789abcdef0123",
    "wandb login --host=https://wandb.example.org --key 0123456789abcdef0123",
    "echo sk-abcdefghijklmnopqrstuv > key",
    "export OPENAI_API_KEY=sk-proj-abcdefghijkl",
    "export ANTHROPIC_API_KEY=abcdefghijkl",
    "export AZURE_CLIENT_SECRET=abc~def",
    "export AZURE_STORAGE_KEY=abcdef==",
    "export AZURE_STORAGE_CONNECTION_STRING='DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abcdef=='",
    "azcopy copy x 'https://a.blob.core.windows.net/c?sv=2022&sig=abcdefghijklmnopqrst%3D'",
    "az login --service-principal -u app -p hunter2 --tenant t",
    "docker login -u me -p hunter2 registry.example.com",
    "docker login -u me -phunter2",
    "docker login --username me --password hunter2",
    "docker login -u me --password=hunter2",
    "sshpass -p hunter2 ssh a@b",
    "curl -H 'Authorization: Bearer abcdefghijkl' https://example.com",
    'curl --oauth2-bearer x -H "authorization: token abcdefghijkl" https://example.com',
    "curl -u me:hunter2 https://example.com",
    "export DB_PASSWORD=hunter2",
    "PGPASSWORD=hunter2 psql",
    "export MYSQL_ROOT_PASSWORD=12345",
    "redis-server --requirepass hunter2",
    "ray start --redis-password=hunter2",
    "git clone https://abcdefghijklmnop1234@github.com/a/b",
    "hf auth login --token abcdefgh",
    "export HF_TOKEN=hf_abcdefghij",
    "export SLACK=xoxb-123456789012-abcdef",
    "echo eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl",
    "echo AIza0123456789abcdefghijklmnopqrstuvwxy",
    "echo glpat-0123456789abcdef",
    "aws configure set aws_secret_access_key abc",
    "ngrok config add-authtoken abcdef",
    "echo 'machine api.wandb.ai login user password abcdef' > ~/.netrc",
    "export KEY_OF=1 MLFLOW_TRACKING_TOKEN=abc$SUFFIX",
]
REFERENCES = [
    "export WANDB_API_KEY=$WANDB_API_KEY",
    'export WANDB_API_KEY="${WANDB_API_KEY}"',
    "export HF_TOKEN=$(cat ~/.cache/huggingface/token)",
    "wandb login",
    "wandb login $WANDB_API_KEY",
    "wandb login --relogin && true",
    "docker login -u me --password-stdin < ~/password",
    "aws ecr get-login-password | docker login --username AWS --password-stdin 1.dkr.ecr.us-west-2.amazonaws.com",
    "docker inspect -p 3",
    'curl -H "Authorization: Bearer $TOKEN" https://example.com',
    "TOKEN=$(curl -X PUT http://169.254.169.254/latest/api/token -H 'X-aws-ec2-metadata-token-ttl-seconds: 60')",
    "export GOOGLE_APPLICATION_CREDENTIALS=/home/ray/key.json",
    "export SSH_KEY=~/.ssh/id_ed25519",
    "export TOKENIZERS_PARALLELISM=false HF_HUB_DISABLE_IMPLICIT_TOKEN=1",
    "export WANDB_API_KEY=<your key>",
    "curl -fsSL https://nvidia.github.io/libnvidia-container/gpgkey | gpg --dearmor -o /usr/share/keyrings/nvidia.gpg",
    "export SSH_PUBLIC_KEY='ssh-ed25519 AAAA'",
]


def with_command(text: str) -> str:
    return altered(
        "on_premises.yaml",
        (
            "  - mountpoint -q /mnt/shared && test -w /mnt/shared",
            f"  - mountpoint -q /mnt/shared && test -w /mnt/shared\n  - {json.dumps(text)}",
        ),
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_secret_in_a_command_is_found_at_its_line_and_not_repeated(command: str, tmp_path: Path) -> None:
    text = with_command(command)
    found = [finding for finding in found_in(text, tmp_path) if finding.check == "secret"]
    assert found and all(command.split()[0] in line for line in said_at(found, text, "secret"))
    assert not any(part in str(finding) for finding in found for part in ("0123456789", "hunter2", "abcdef", "12345"))


@pytest.mark.parametrize("command", REFERENCES)
def test_a_reference_is_no_secret(command: str, tmp_path: Path) -> None:
    assert [finding for finding in found_in(with_command(command), tmp_path) if finding.check == "secret"] == []


HEAD = "          - name: head\n"
AUTOSCALING = "  enableInTreeAutoscaling: true\n"


@pytest.mark.parametrize(
    "old, new",
    [
        pytest.param(
            HEAD, HEAD + "            env: [{name: WANDB_API_KEY, value: abcdef}]\n", id="a variable of a pod"
        ),
        pytest.param(HEAD, HEAD + "            env: [{name: DB_PASSWORD, value: 12345}]\n", id="a number"),
        pytest.param(
            'dashboard-host: "127.0.0.1"', 'dashboard-host: "127.0.0.1"\n      redis-password: abcdef', id="a parameter"
        ),
        pytest.param(
            AUTOSCALING, AUTOSCALING + "  gcsFaultToleranceOptions: {redisPassword: {value: abcdef}}\n", id="KubeRay's"
        ),
        pytest.param(
            "# Runs and", "apiVersion: v1\nkind: ConfigMap\ndata: {API_TOKEN: abcdef}\n---\n#", id="a ConfigMap"
        ),
        pytest.param(
            "# Runs and", "apiVersion: v1\nkind: ConfigMap\ndata: {x: 'password: abcdef'}\n---\n#", id="a file in one"
        ),
    ],
)
def test_a_secret_in_a_manifest_is_found(old: str, new: str, tmp_path: Path) -> None:
    text = altered("kuberay.yaml", (old, new))
    found = found_in(text, tmp_path)
    assert {finding.check for finding in found} == {"secret"}, list(map(str, found))
    assert any(("abcdef" in line or "12345" in line) for line in said_at(found, text, "secret"))
    assert "abcdef" not in "".join(map(str, found))


def test_a_job_is_given_a_secret_by_its_runtime_environment(tmp_path: Path) -> None:
    environment = "  runtimeEnvYAML: |\n    env_vars:\n      WANDB_API_KEY: abc\n"
    text = altered("kuberay_job.yaml", ("  backoffLimit: 0\n", "  backoffLimit: 0\n" + environment))
    (finding,) = found_in(text, tmp_path)
    assert finding.check == "secret" and "runtimeEnvYAML" in text.splitlines()[finding.line - 1]


@pytest.mark.parametrize(
    "variable",
    [
        "{name: WANDB_API_KEY, valueFrom: {secretKeyRef: {name: wandb, key: api_key}}}",
        "{name: HF_TOKEN, value: $(OTHER_TOKEN)}",
        "{name: HF_TOKEN, value: ''}",
        "{name: AZURE_CLIENT_ID, value: 00000000-0000-0000-0000-000000000000}",
    ],
)
def test_a_variable_that_refers_to_a_secret_is_none(variable: str, tmp_path: Path) -> None:
    assert found_in(altered("kuberay.yaml", (HEAD, HEAD + f"            env: [{variable}]\n")), tmp_path) == []


@pytest.mark.parametrize("option", ["--env WANDB_API_KEY=abcdef", "-e HF_TOKEN=abcdef"])
def test_a_secret_among_a_containers_options_is_found(option: str, tmp_path: Path) -> None:
    text = altered("gpu.yaml", ("    - --volume /mnt", f"    - {option}\n    - --volume /mnt"))
    (finding,) = found_in(text, tmp_path)
    assert finding.check == "secret" and option in text.splitlines()[finding.line - 1]


def test_a_secret_in_a_comment_is_found_and_a_word_about_one_is_not(tmp_path: Path) -> None:
    text = altered(
        "kuberay.yaml",
        ("# Runs and", "# password: ask the admin; WANDB_API_KEY=secret\n# was sk-abcdefghijklmnop\n# Runs and"),
    )
    (finding,) = found_in(text, tmp_path)
    assert finding.check == "secret" and "# was" in text.splitlines()[finding.line - 1] and "abcdef" not in str(finding)
