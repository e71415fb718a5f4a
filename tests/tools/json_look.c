/* SPDX-License-Identifier: MIT
 *
 * json_look.c -- json_look FILE [PATH]...: checks that FILE is one JSON value, and prints what each
 * PATH leads to, a line each: "devices.0.kernel"; "devices.#" is the number of elements.  Of an
 * object it prints the keys.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

static char *read_all(const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t size = 0;
    const ssize_t length = file ? getdelim(&text, &size, '\0', file) : -1;
    const bool whole = length > 0 && feof(file) && strlen(text) == (size_t)length;
    if (file)
        fclose(file);
    if (!whole) {
        free(text);
        return NULL;
    }
    return text;
}

static void print(const cJSON *item) {
    const char *separator = "";
    if (cJSON_IsObject(item)) {
        const cJSON *child;
        cJSON_ArrayForEach(child, item) {
            printf("%s%s", separator, child->string);
            separator = " ";
        }
    } else if (cJSON_IsString(item)) {
        fputs(item->valuestring, stdout);
    } else {
        char *text = cJSON_PrintUnformatted(item);
        fputs(text ? text : "", stdout);
        cJSON_free(text);
    }
    putchar('\n');
}

/* Cuts the path to pieces. */
static bool look(const cJSON *item, char *path) {
    for (char *word; item && (word = strsep(&path, "."));) {
        if (strcmp(word, "#") == 0 && !path) {
            printf("%d\n", cJSON_GetArraySize(item));
            return true;
        }
        item = cJSON_IsArray(item) ? cJSON_GetArrayItem(item, atoi(word))
                                   : cJSON_GetObjectItemCaseSensitive(item, word);
    }
    if (item)
        print(item);
    return item != NULL;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs("usage: json_look FILE [PATH]...\n", stderr);
        return 2;
    }
    char *text = read_all(argv[1]);
    cJSON *json = text ? cJSON_ParseWithOpts(text, NULL, true) : NULL;
    bool fine = json != NULL;
    if (!fine)
        printf("%s: is not JSON\n", argv[1]);
    for (int i = 2; fine && i < argc; i++)
        if (!look(json, argv[i])) {
            printf("%s: there is no path %d\n", argv[1], i - 1);
            fine = false;
        }
    cJSON_Delete(json);
    free(text);
    return fine ? 0 : 1;
}
