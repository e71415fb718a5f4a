/* SPDX-License-Identifier: MIT */
#include "run/key.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int dtr_key_create(char text[DTR_KEY_TEXT], struct dtr_error *error) {
    uint8_t key[DTR_KEY_BYTES];
    if (sodium_init() < 0)
        return dtr_fail(error, DTR_E_SYSTEM, "libsodium cannot be used here");
    randombytes_buf(key, sizeof key);
    sodium_bin2hex(text, DTR_KEY_TEXT, key, sizeof key);
    sodium_memzero(key, sizeof key);
    return DTR_OK;
}

/* Blanks and line ends may follow, nothing else. */
static bool parse(char *text, size_t length, uint8_t key[DTR_KEY_BYTES]) {
    size_t bytes = 0;
    while (length && strchr(" \t\r\n", text[length - 1]) && text[length - 1])
        length--;
    return length == DTR_KEY_TEXT - 1 &&
           !sodium_hex2bin(key, DTR_KEY_BYTES, text, length, NULL, &bytes, NULL) &&
           bytes == DTR_KEY_BYTES;
}

static int read_open(int fd, const char *path, const struct dtr_log *log,
                     uint8_t key[DTR_KEY_BYTES], struct dtr_error *error) {
    char text[DTR_KEY_TEXT + 16];
    struct stat info;
    if (fstat(fd, &info) < 0)
        return dtr_fail(error, DTR_E_CONFIG, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return dtr_fail(error, DTR_E_CONFIG, "%s: is not a regular file", path);
    if (info.st_mode & (S_IRWXG | S_IRWXO))
        dtr_log(log, DTR_LOG_WARN, "%s: others can use this key; chmod 600 keeps it to you", path);
    const ssize_t length = read(fd, text, sizeof text);
    const bool good =
        length > 0 && length < (ssize_t)sizeof text && parse(text, (size_t)length, key);
    sodium_memzero(text, sizeof text);
    if (length < 0)
        return dtr_fail(error, DTR_E_CONFIG, "%s: %s", path, strerror(errno));
    if (!good)
        return dtr_fail(error, DTR_E_CONFIG,
                        "%s: is no key file; `detransformer key new` prints a key of %d "
                        "hexadecimal digits",
                        path, DTR_KEY_TEXT - 1);
    return DTR_OK;
}

int dtr_key_read(const char *path, const struct dtr_log *log, uint8_t key[DTR_KEY_BYTES],
                 struct dtr_error *error) {
    if (sodium_init() < 0)
        return dtr_fail(error, DTR_E_SYSTEM, "libsodium cannot be used here");
    if (!path) {
        memset(key, 0, DTR_KEY_BYTES);
        return DTR_OK;
    }
    /* Not blocking: opening a pipe that nobody writes to would wait for ever. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dtr_fail(error, DTR_E_CONFIG, "%s: %s", path, strerror(errno));
    const int status = read_open(fd, path, log, key, error);
    close(fd);
    return status;
}
