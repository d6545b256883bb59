#!/usr/bin/env bash
# Runs the job files of examples/slurm with Debian's Slurm on this machine, and compares the results with single runs.
#
#   scripts/test-slurm.sh QCONV
#
# Needs root on Debian or Ubuntu (in a container is fine; systemd is not needed) and installs slurm-wlm and munge when they are
# not there. Elsewhere it says so and is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
qconv=$(realpath "${1:?give the path of qconv}")

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "test-slurm: skipped, needs root on Debian or Ubuntu"
    exit 0
fi
if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge; } >/dev/null 2>&1; then
        echo "test-slurm: skipped, slurm-wlm and munge cannot be installed"
        exit 0
    fi
fi

work=$(mktemp -d)
chmod 755 "$work"
stop() {
    for daemon in slurmd slurmctld munged; do
        # Only what this script has started.
        if [ -f "$work/$daemon.pid" ]; then kill "$(cat "$work/$daemon.pid")" 2>/dev/null || true; fi
    done
    rm -rf "$work"
}
trap stop EXIT

# Munge with a key and a socket of our own.
mkdir -m 755 "$work/munge"
dd if=/dev/urandom of="$work/munge/key" bs=1024 count=1 status=none
chmod 400 "$work/munge/key"
munged --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munged.pid" \
    --log-file="$work/munge/log" --seed-file="$work/munge/seed"

host=$(hostname -s)
mkdir "$work/state" "$work/spool"
cat >"$work/slurm.conf" <<CONF
ClusterName=qconv
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=1,sched_interval=1
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=8000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
# More CPUs than the machine has are fine for a test: slurmd is told not to look.
sed -i '/^SelectTypeParameters/a SlurmdParameters=config_overrides' "$work/slurm.conf"
export SLURM_CONF="$work/slurm.conf"
slurmctld
slurmd -N "$host" 2>/dev/null || slurmd
for _ in $(seq 60); do
    if [ "$(sinfo -h -o %T 2>/dev/null)" = idle ]; then break; fi
    sleep 0.5
done
if [ "$(sinfo -h -o %T)" != idle ]; then
    echo "test-slurm: the node does not come up" >&2
    tail -n 20 "$work/slurmctld.log" "$work/slurmd.log" >&2
    exit 1
fi

# The examples, in two copies: one for Slurm, one for single runs.
for copy in parts whole; do
    mkdir -p "$work/$copy"
    cp -a examples/tiny-llama examples/batch.json examples/sharded.json examples/slurm "$work/$copy"
done
cd "$work/parts/slurm"
export QCONV="$qconv"
submit() { # SPEC SBATCH ARRAY
    local job
    job=$(sbatch --parsable --array="$3" --mem=500M --export="ALL,SPEC=$work/parts/$1" "$2")
    sbatch --parsable --wait --dependency="afterok:$job" --kill-on-invalid-dep=yes --mem=500M \
        --export="ALL,SPEC=$work/parts/$1" finish.sbatch >/dev/null || { tail -n 5 ./*.log >&2; exit 1; }
}
submit batch.json batch.sbatch 1-3
submit sharded.json model.sbatch 0-6:3

"$qconv" batch "$work/whole/batch.json" --quiet
"$qconv" pipeline "$work/whole/sharded.json" --quiet

# Reports tell paths and the time a run took; everything else must be the same.
strip() {
    python3 - "$1" <<'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
report.pop("run", None)
for entry in report.get("inputs", []):
    entry["path"] = entry["path"].split("/tiny-llama/")[-1]
print(json.dumps(report, indent=1))
PYTHON
}
fail() {
    echo "test-slurm: $1" >&2
    exit 1
}
cd "$work"
diff -r parts/out/sharded whole/out/sharded || fail "the shards differ"
# Records tell when input files were last changed.
diff -r --exclude='.*-record.json' parts/out/batch whole/out/batch || fail "the batches differ"
[ "$(ls -A whole/out/batch)" = "$(ls -A parts/out/batch)" ] || fail "the batches have other files"
if command -v python3 >/dev/null; then
    for report in out/sharded.report.json out/batch.json; do
        [ "$(strip "parts/$report")" = "$(strip "whole/$report")" ] || fail "$report differs"
    done
fi
[ ! -e parts/out/.sharded.qconv-parts ] || fail "the parts were not removed"
echo "test-slurm: a batch in 3 parts and a model in 3 parts are what single runs make"
