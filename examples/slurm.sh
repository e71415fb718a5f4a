#!/bin/sh
# SPDX-License-Identifier: MIT
#
# slurm.sh -- an experiment on the nodes of a cluster, a device a node, as a batch script of Slurm's:
#
#     sbatch --nodes=4 examples/slurm.sh exp.ini [OPTION]...
#
# Needs the transport mpi on every node, built against the MPI that the cluster's srun starts, and the
# experiment and the model at the same paths everywhere.
#SBATCH --job-name=detransformer
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=00:10:00
set -eu
experiment=${1:?usage: sbatch slurm.sh EXP.ini [OPTION]...}
shift

# `srun --mpi=list` says what there is besides pmix.
exec srun --mpi="${DTR_SRUN_MPI:-pmix}" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
    detransformer run "$experiment" \
    --set "cluster.devices=$SLURM_NTASKS" \
    --set "device.threads=${SLURM_CPUS_PER_TASK:-1}" "$@"
