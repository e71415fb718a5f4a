/* SPDX-License-Identifier: MIT */
#include "call.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[CALL_WORDS] = {
    [CALL_X] = "x",
    [CALL_W] = "w",
    [CALL_Y] = "y",
    [CALL_ROWS] = "rows",
    [CALL_OUT] = "out",
    [CALL_IN] = "in",
    [CALL_X_STRIDE] = "x_stride",
    [CALL_W_STRIDE] = "w_stride",
    [CALL_Y_STRIDE] = "y_stride",
    [CALL_BETA] = "beta",
};

enum kind { INTEGER, REAL, LETTER, POINTER };

static const struct {
    const char *name;
    enum kind kind;
    ffi_type *type;
    int64_t largest; /* INTEGER */
} types[] = {
    {"int", INTEGER, &ffi_type_sint, INT_MAX},
    {"long", INTEGER, &ffi_type_slong, LONG_MAX},
    {"int64", INTEGER, &ffi_type_sint64, INT64_MAX},
    {"size", INTEGER, sizeof(size_t) == 8 ? &ffi_type_uint64 : &ffi_type_uint32,
     sizeof(size_t) == 8 ? INT64_MAX : UINT32_MAX},
    {"float", REAL, &ffi_type_float, 0},
    {"double", REAL, &ffi_type_double, 0},
    {"char", LETTER, &ffi_type_schar, 0},
    {"pointer", POINTER, &ffi_type_pointer, 0},
};

enum { TYPES = sizeof types / sizeof types[0] };

static bool set_integer(struct call_argument *argument, int64_t number) {
    const int64_t largest = types[argument->type].largest;
    if (number > largest || number < -largest)
        return false;
    if (types[argument->type].type == &ffi_type_sint)
        argument->value.as_int = (int)number;
    else if (types[argument->type].type == &ffi_type_slong)
        argument->value.as_long = (long)number;
    else if (types[argument->type].type == &ffi_type_sint64)
        argument->value.as_int64 = number;
    else
        argument->value.as_size = (size_t)number;
    return true;
}

static void set_real(struct call_argument *argument, double number) {
    if (types[argument->type].type == &ffi_type_float)
        argument->value.as_float = (float)number;
    else
        argument->value.as_double = number;
}

static bool set_constant(struct call_argument *argument, const char *text) {
    char *end;
    errno = 0;
    switch (types[argument->type].kind) {
    case INTEGER: {
        const long long number = strtoll(text, &end, 0);
        return *text && !*end && !errno && set_integer(argument, number);
    }
    case REAL: {
        const double number = strtod(text, &end);
        if (!*text || *end || !isfinite(number))
            return false;
        set_real(argument, number);
        return true;
    }
    case LETTER:
        argument->value.as_char = (signed char)text[0];
        return strlen(text) == 1;
    default:
        argument->value.as_pointer = NULL;
        return strcmp(text, "null") == 0;
    }
}

/* The type before the colon, with its & for a reference. */
static bool parse_type(const char *word, size_t length, struct call_argument *argument) {
    argument->by_reference = length && word[length - 1] == '&';
    if (argument->by_reference)
        length--;
    for (uint32_t i = 0; i < TYPES; i++)
        if (strlen(types[i].name) == length && !strncmp(types[i].name, word, length)) {
            argument->type = i;
            return types[i].kind != POINTER || !argument->by_reference;
        }
    return false;
}

static enum call_word find_word(const char *text) {
    for (int i = 0; i < CALL_WORDS; i++)
        if (!strcmp(words[i], text))
            return (enum call_word)i;
    return CALL_CONSTANT;
}

static int parse_argument(const struct dtr_host *host, const char *text,
                          struct call_argument *argument, struct dtr_error *error) {
    const char *colon = strchr(text, ':');
    if (!colon || !parse_type(text, (size_t)(colon - text), argument))
        return host->fail(error, DTR_E_CONFIG,
                          "argument '%s': should be TYPE:VALUE with TYPE one of int, long, int64, "
                          "size, float, double, char, an & behind it for a reference, or pointer",
                          text);
    const enum kind kind = types[argument->type].kind;
    argument->word = find_word(colon + 1);
    if (argument->word == CALL_CONSTANT) {
        if (set_constant(argument, colon + 1))
            return DTR_OK;
        return host->fail(error, DTR_E_CONFIG,
                          "argument '%s': '%s' is no %s, and none of x, w, y, rows, out, in, "
                          "x_stride, w_stride, y_stride and beta",
                          text, colon + 1, types[argument->type].name);
    }
    const enum kind wanted = argument->word <= CALL_Y      ? POINTER
                             : argument->word == CALL_BETA ? REAL
                                                           : INTEGER;
    if (kind != wanted)
        return host->fail(error, DTR_E_CONFIG, "argument '%s': %s is passed as %s", text,
                          words[argument->word],
                          wanted == POINTER ? "a pointer"
                          : wanted == REAL  ? "a float or double"
                                            : "an integer");
    return DTR_OK;
}

static int check_words(const struct dtr_host *host, const struct call *call,
                       struct dtr_error *error) {
    for (int i = 0; i <= CALL_IN; i++) {
        uint32_t times = 0;
        for (uint32_t a = 0; a < call->count; a++)
            times += call->argument[a].word == (enum call_word)i;
        if (!times)
            return host->fail(error, DTR_E_CONFIG, "the arguments lack '%s'", words[i]);
        if (times > 1 && i <= CALL_Y)
            return host->fail(error, DTR_E_CONFIG, "the arguments have '%s' twice", words[i]);
    }
    return DTR_OK;
}

int call_parse(const struct dtr_host *host, const struct dtr_list *list, bool returns_status,
               struct call *call, struct dtr_error *error) {
    if (list->count > CALL_ARGUMENTS_MAX)
        return host->fail(error, DTR_E_CONFIG, "%zu arguments; at most %u can be passed",
                          list->count, CALL_ARGUMENTS_MAX);
    call->returns_status = returns_status;
    call->count = (uint32_t)list->count;
    for (uint32_t i = 0; i < call->count; i++) {
        struct call_argument *argument = &call->argument[i];
        const int status = parse_argument(host, list->words[i], argument, error);
        if (status)
            return status;
        argument->address = &argument->value;
        call->types[i] = argument->by_reference ? &ffi_type_pointer : types[argument->type].type;
        call->values[i] =
            argument->by_reference ? (void *)&argument->address : (void *)&argument->value;
        if (argument->word < CALL_WORDS)
            call->has[argument->word] = true;
    }
    const int status = check_words(host, call, error);
    if (status)
        return status;
    if (ffi_prep_cif(&call->cif, FFI_DEFAULT_ABI, call->count,
                     returns_status ? &ffi_type_sint : &ffi_type_void, call->types) != FFI_OK)
        return host->fail(error, DTR_E_CONFIG, "libffi cannot make a call with these arguments");
    return DTR_OK;
}

int call_run(struct call *call, const struct call_operands *operands) {
    for (uint32_t i = 0; i < call->count; i++) {
        struct call_argument *argument = &call->argument[i];
        if (argument->word == CALL_CONSTANT)
            continue;
        const uint64_t number = operands->number[argument->word];
        if (argument->word <= CALL_Y)
            argument->value.as_pointer = operands->pointer[argument->word];
        else if (argument->word == CALL_BETA)
            set_real(argument, (double)number);
        else if (number > INT64_MAX || !set_integer(argument, (int64_t)number))
            return DTR_E_UNSUPPORTED;
    }
    ffi_arg result = 0;
    ffi_call(&call->cif, call->function, &result, call->values);
    return call->returns_status && (int)result ? DTR_E_PLUGIN : DTR_OK;
}
