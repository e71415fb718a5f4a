/* SPDX-License-Identifier: MIT
 *
 * tokenize.c -- `detransformer tokenize --vocab FILE`: texts to token ids, a line each.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "cli/commands.h"
#include "model/tokenizer.h"

static int print_ids(const struct dtr_tokenizer *tokenizer, const char *text, size_t length,
                     struct dtr_tokens *tokens, struct dtr_error *error) {
    if (!dtr_utf8_is_valid(text, length))
        return dtr_fail(error, DTR_E_CONFIG, "this text is not UTF-8");
    const int status = dtr_tokenizer_encode(tokenizer, text, length, tokens, error);
    if (status)
        return status;
    for (size_t i = 0; i < tokens->count; i++)
        printf("%s%u", i ? " " : "", tokens->ids[i]);
    putchar('\n');
    return DTR_OK;
}

/* A line may hold anything but a line feed, zeros too. */
static int print_lines(const struct dtr_tokenizer *tokenizer, FILE *input,
                       struct dtr_error *error) {
    struct dtr_tokens tokens = {.ids = NULL};
    char *line = NULL;
    size_t capacity = 0, number = 0;
    ssize_t length;
    int status = DTR_OK;
    while (!status && (length = getline(&line, &capacity, input)) >= 0) {
        number++;
        status =
            print_ids(tokenizer, line, (size_t)length - (line[length - 1] == '\n'), &tokens, error);
        if (status)
            dtr_error_prefix(error, "standard input:%zu", number);
    }
    if (!status && !feof(input))
        status =
            dtr_fail(error, DTR_E_SYSTEM, "standard input: cannot be read: %s", strerror(errno));
    free(line);
    dtr_tokens_free(&tokens);
    return status;
}

static int run(const struct dtr_cli *cli, const struct dtr_arguments *arguments) {
    (void)cli;
    const char *vocab = dtr_argument(&dtr_command_tokenize, arguments, "vocab");
    const bool cased = dtr_argument(&dtr_command_tokenize, arguments, "cased");
    struct dtr_error error = {.status = DTR_OK};
    struct dtr_tokenizer *tokenizer = NULL;
    if (!vocab)
        dtr_fail(&error, DTR_E_CONFIG, "tokenize needs --vocab FILE");
    else if (!dtr_tokenizer_open(vocab, cased, &tokenizer, &error))
        print_lines(tokenizer, stdin, &error);
    dtr_tokenizer_close(tokenizer);
    return error.status ? dtr_cli_fail(&error) : DTR_EXIT_DONE;
}

const struct dtr_command dtr_command_tokenize = {
    .name = "tokenize",
    .summary = "texts on standard input, a line each, to token ids",
    .options =
        (const struct dtr_option[]){
            {.name = "vocab", .value = "FILE", .help = "the vocabulary: a token a line"},
            {.name = "cased", .help = "keep capitals and accents"},
            {.name = NULL},
        },
    .help = "Lines end at a line feed only.  [CLS] and [SEP] are left out; special tokens in a\n"
            "text, such as [MASK], stay whole.",
    .run = run,
};
