/* SPDX-License-Identifier: MIT
 *
 * call.h -- a matrix product of somebody else's: how its function is called, read from a template
 * in the experiment, and the call itself, by libffi.
 */
#ifndef DTR_FOREIGN_CALL_H
#define DTR_FOREIGN_CALL_H

#include <detransformer/plugin.h>
#include <ffi.h>
#include <stdbool.h>

#define CALL_ARGUMENTS_MAX 40u

/* What an argument can stand for; a constant is kept as its value. */
enum call_word {
    CALL_X,
    CALL_W,
    CALL_Y,
    CALL_ROWS,
    CALL_OUT,
    CALL_IN,
    CALL_X_STRIDE,
    CALL_W_STRIDE,
    CALL_Y_STRIDE,
    CALL_BETA,
    CALL_WORDS, /* how many */
    CALL_CONSTANT = CALL_WORDS
};

union call_value {
    signed char as_char;
    int as_int;
    long as_long;
    int64_t as_int64;
    size_t as_size;
    float as_float;
    double as_double;
    void *as_pointer;
};

struct call_argument {
    enum call_word word;
    uint32_t type; /* index into the list of types in call.c */
    bool by_reference;
    union call_value value; /* for this call, or the constant */
    void *address;          /* of `value`, where it goes by reference */
};

struct call {
    void (*function)(void);
    bool returns_status; /* an int that is zero for success; else nothing */
    uint32_t count;
    bool has[CALL_WORDS];
    struct call_argument argument[CALL_ARGUMENTS_MAX];
    ffi_type *types[CALL_ARGUMENTS_MAX];
    void *values[CALL_ARGUMENTS_MAX];
    ffi_cif cif;
};

/* Reads TYPE:VALUE words.  A template that cannot be right is refused. */
int call_parse(const struct dtr_host *host, const struct dtr_list *words, bool returns_status,
               struct call *call, struct dtr_error *error);

/* Numbers and pointers for the words, by enum call_word. */
struct call_operands {
    void *pointer[CALL_Y + 1];
    uint64_t number[CALL_WORDS];
};

/* DTR_E_UNSUPPORTED: a number does not fit into its argument's type; DTR_E_PLUGIN: the function
 * says that it failed. */
int call_run(struct call *call, const struct call_operands *operands);

#endif
