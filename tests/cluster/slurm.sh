#!/usr/bin/env bash
# A Slurm cluster of this machine alone, thrown away after use: loopback, no systemd, no cgroups, a key of its own.
#   slurm.sh start DIR NODES BASEPORT      then SLURM_CONF=DIR/slurm.conf; ports BASEPORT to BASEPORT + 10 + NODES
#   slurm.sh stop DIR
#   slurm.sh kill-node DIR NODE            SIGKILL to its daemon and all its jobs: a machine that crashed
#   slurm.sh kill-daemon DIR NODE          SIGKILL to its daemon alone: a machine out of reach whose jobs go on
#   slurm.sh start-node DIR NODE
set -euo pipefail
verb=$1 dir=$2
export SLURM_CONF=$dir/slurm.conf

wait_for() { # SECONDS COMMAND…
    local tries=$(($1 * 20))
    shift
    for ((i = 0; i < tries; i++)); do "$@" > /dev/null 2>&1 && return; sleep 0.05; done
    echo "timed out: $*" >&2
    return 1
}

start_node() {
    slurmd -N "$1" -D >> "$dir/slurmd.$1.out" 2>&1 &
    echo $! > "$dir/pid.slurmd.$1"
}

all_idle() { [ "$(sinfo -h -N -o %t | grep -cx idle)" = "$nodes" ]; }

case $verb in
start)
    nodes=$3 port=$4 user=$(id -un)
    mkdir -p "$dir"/{state,log,munge,socket}
    chmod 755 "$dir" "$dir/socket"
    chmod 700 "$dir/munge"
    head -c 1024 /dev/urandom > "$dir/munge/key"
    chmod 400 "$dir/munge/key"
    # munged wants no folder above that others may write: --force.
    munged --force --foreground --num-threads=2 --key-file="$dir/munge/key" --socket="$dir/socket/s" \
        --pid-file="$dir/munge/pid" --seed-file="$dir/munge/seed" --log-file="$dir/munge/log" >> "$dir/munged.out" 2>&1 &
    echo $! > "$dir/pid.munged"
    wait_for 10 munge -n -S "$dir/socket/s"
    cat > "$dir/slurm.conf" <<CONF
ClusterName=tchvision
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
# A job that is put back waits a second longer than this; less than 5 is not taken.
AuthInfo=socket=$dir/socket/s,cred_expire=5
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool.%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdTimeout=5
SlurmctldTimeout=10
InactiveLimit=0
KillWait=5
MinJobAge=300
MaxArraySize=${MAX_ARRAY_SIZE:-1001}
ReturnToService=2
JobRequeue=1
RebootProgram=/bin/true
SlurmdParameters=config_overrides
TmpFS=$dir/tmp.%n
GresTypes=gpu
CONF
    for ((i = 0; i < nodes; i++)); do
        mkdir -p "$dir/spool.n$i" "$dir/tmp.n$i"
        echo "NodeName=n$i NodeHostname=localhost NodeAddr=127.0.0.1 Port=$((port + 10 + i)) CPUs=1 RealMemory=4000 Gres=gpu:2" \
            >> "$dir/slurm.conf"
    done
    echo "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO" >> "$dir/slurm.conf"
    # GPUs that are none: Slurm wants devices, and gives jobs their CUDA_VISIBLE_DEVICES.
    printf 'Name=gpu File=%s\n' /dev/null /dev/zero > "$dir/gres.conf"
    slurmctld -D >> "$dir/slurmctld.out" 2>&1 &
    echo $! > "$dir/pid.slurmctld"
    for ((i = 0; i < nodes; i++)); do start_node "n$i"; done
    wait_for 30 all_idle || { tail -n 5 "$dir"/log/* "$dir"/*.out >&2; exit 1; }
    ;;
start-node) start_node "$3" ;;
kill-daemon) kill -9 "$(cat "$dir/pid.slurmd.$3")" ;;
kill-node)
    kill -9 "$(cat "$dir/pid.slurmd.$3")" || true
    for step in $(pgrep -x slurmstepd || true); do
        # Those that write this node's log.
        ls -l "/proc/$step/fd" 2> /dev/null | grep -qF "$dir/log/slurmd.$3.log" || continue
        children=$(pgrep -P "$step" || true)
        kill -9 "$step" || true
        for child in $children; do kill -9 -- "-$child" 2> /dev/null || kill -9 "$child" 2> /dev/null || true; done
    done
    ;;
stop)
    timeout 5 scancel -u "$(id -un)" 2> /dev/null || true
    for ((i = 0; i < 60; i++)); do
        left=$(timeout 2 squeue -h -o %i 2> /dev/null) && [ -n "$left" ] || break
        sleep 0.1
    done
    # What they would save is thrown away.
    for file in "$dir"/pid.slurmd.* "$dir"/pid.slurmctld "$dir"/pid.munged; do
        [ -f "$file" ] && kill -9 "$(cat "$file")" 2> /dev/null || true
    done
    ;;
esac
