# SPDX-License-Identifier: MIT
#
# gloo_collectives.py -- all-gather and all-reduce of f32 on gloo, as PyTorch has it.  One process a device:
#
#     MASTER_ADDR=... MASTER_PORT=... RANK=... WORLD_SIZE=... GLOO_SOCKET_IFNAME=eth0 \
#         gloo_collectives.py REPEATS WARMUP BYTES...
#
# Rank 0 prints a line for each: the collective, bytes of the result, the slowest rank's mean in microseconds.
import sys
import time

import torch
import torch.distributed as dist


def measure(what, repeats, warmup, size):
    ranks = dist.get_world_size()
    whole = torch.zeros(size // 4)
    part = torch.zeros(size // 4 // ranks)
    parts = list(whole.chunk(ranks))
    for i in range(warmup + repeats):
        if i == warmup:
            dist.barrier()
            begin = time.perf_counter()
        if what == "all-reduce":
            dist.all_reduce(whole)
        else:
            dist.all_gather(parts, part)
    mean = torch.tensor([(time.perf_counter() - begin) / repeats])
    dist.all_reduce(mean, dist.ReduceOp.MAX)
    return mean.item()


torch.set_num_threads(1)
dist.init_process_group("gloo")
repeats, warmup = map(int, sys.argv[1:3])
for what in "all-gather", "all-reduce":
    for size in map(int, sys.argv[3:]):
        mean = measure(what, repeats, warmup, size)
        if dist.get_rank() == 0:
            print(what, size, "%.1f" % (mean * 1e6), flush=True)
dist.barrier()
