/* SPDX-License-Identifier: MIT
 *
 * mpi_collectives.c -- all-gather and all-reduce of f32 on whatever MPI library it is compiled with:
 *
 *     mpicc -O2 -o mpi_collectives bench/peers/mpi_collectives.c
 *     mpirun -n 4 ./mpi_collectives REPEATS WARMUP BYTES...
 *
 * A line for each: the collective, bytes of the result, the slowest rank's mean in microseconds.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void run_once(int reduce, float *in, float *out, int values, int ranks) {
    if (reduce)
        MPI_Allreduce(in, out, values, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    else
        MPI_Allgather(in, values / ranks, MPI_FLOAT, out, values / ranks, MPI_FLOAT,
                      MPI_COMM_WORLD);
}

static void measure(int reduce, int repeats, int warmup, size_t bytes, int rank, int ranks) {
    const int values = (int)(bytes / sizeof(float));
    float *in = calloc((size_t)values, sizeof *in), *out = calloc((size_t)values, sizeof *out);
    double begin_s = 0, mean_s, slowest_s;
    if (!in || !out)
        MPI_Abort(MPI_COMM_WORLD, 1);
    memset(in, 0, bytes);
    for (int i = 0; i < warmup + repeats; i++) {
        if (i == warmup) {
            MPI_Barrier(MPI_COMM_WORLD);
            begin_s = MPI_Wtime();
        }
        run_once(reduce, in, out, values, ranks);
    }
    mean_s = (MPI_Wtime() - begin_s) / repeats;
    MPI_Reduce(&mean_s, &slowest_s, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%s %zu %.1f\n", reduce ? "all-reduce" : "all-gather", bytes, slowest_s * 1e6);
    free(in);
    free(out);
}

int main(int argc, char **argv) {
    int rank, ranks;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (int reduce = 0; reduce < 2; reduce++)
        for (int i = 3; i < argc; i++)
            measure(reduce, atoi(argv[1]), atoi(argv[2]), (size_t)strtoull(argv[i], NULL, 10), rank,
                    ranks);
    MPI_Finalize();
    return 0;
}
