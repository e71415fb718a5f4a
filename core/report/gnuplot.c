/* SPDX-License-Identifier: MIT */
#include "report/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

static void become_gnuplot(const char *script, const char *streamed, int out) {
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(out, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    execlp("gnuplot", "gnuplot", "-e", streamed, script, (char *)NULL);
    _exit(127);
}

/* All that comes out of the pipe; false when there is no memory for it. */
static bool take(int from, FILE *picture) {
    char bytes[4096];
    ssize_t count;
    while ((count = read(from, bytes, sizeof bytes)) > 0 || (count < 0 && errno == EINTR))
        if (count > 0)
            fwrite(bytes, 1, (size_t)count, picture);
    return count == 0 && !ferror(picture);
}

/* What gnuplot draws; false when it is not there or did not succeed. */
static bool draw(const char *script, const char *format, FILE *picture) {
    char streamed[40];
    int ends[2], ended = -1;
    snprintf(streamed, sizeof streamed, "streamed = '%s'", format);
    if (pipe2(ends, O_CLOEXEC))
        return false;
    const pid_t pid = fork();
    if (pid == 0)
        become_gnuplot(script, streamed, ends[1]);
    close(ends[1]);
    const bool taken = pid > 0 && take(ends[0], picture);
    close(ends[0]);
    while (pid > 0 && waitpid(pid, &ended, 0) < 0 && errno == EINTR)
        ;
    return taken && WIFEXITED(ended) && WEXITSTATUS(ended) == 0;
}

static int save(const char *path, const char *bytes, size_t count, struct dtr_error *error) {
    FILE *file = fopen(path, "w");
    if (!file)
        return dtr_fail(error, DTR_E_SYSTEM, "%s: %s", path, strerror(errno));
    fwrite(bytes, 1, count, file);
    if (dtr_file_close(file))
        return DTR_OK;
    const int status = dtr_fail(error, DTR_E_SYSTEM, "%s: %s", path, strerror(errno));
    unlink(path); /* half a picture is none */
    return status;
}

int dtr_gnuplot(const char *script, const char *format, const char *path, bool *drawn_p,
                struct dtr_error *error) {
    char *bytes = NULL;
    size_t count = 0;
    FILE *picture = open_memstream(&bytes, &count);
    if (!picture)
        return dtr_fail_memory(error);
    const bool drawn = draw(script, format, picture);
    int status = fclose(picture) ? dtr_fail_memory(error) : DTR_OK;
    if (!status && drawn && count)
        status = save(path, bytes, count, error);
    free(bytes);
    if (!status)
        *drawn_p = drawn && count;
    return status;
}
