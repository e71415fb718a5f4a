/* SPDX-License-Identifier: MIT
 *
 * safetensors_test.c -- checkpoint files: what is well-formed is read exactly, and whatever is not
 * is refused with a sentence that names the file and the tensor.
 */
#include "folder.h"

#include <math.h>

#include "base/half.h"
#include "model/checkpoint.h"

/* A file of a header and `payload` bytes that count up. */
static size_t make_file(uint8_t *file, const char *header, size_t payload) {
    const uint64_t length = strlen(header);
    memcpy(file, &length, sizeof length);
    memcpy(file + sizeof length, header, length);
    for (size_t i = 0; i < payload; i++)
        file[sizeof length + length + i] = (uint8_t)i;
    return sizeof length + length + payload;
}

#define TENSOR(name, dtype, shape, begin, end)                                                   \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end \
    "]}"
#define A TENSOR("a", "F32", "[2,2]", "0", "16")

static const struct {
    const char *header;
    size_t payload;
    const char *sentence;
} corrupt[] = {
    {"{" A "}", 15, "is truncated: tensor 'a' ends 1 bytes behind the file's end"},
    {"{" A "}", 0, "is truncated: tensor 'a' ends 16 bytes behind the file's end"},
    {"{" A "}", 17, "1 bytes at the end belong to no tensor"},
    {"{}", 4, "4 bytes at the end belong to no tensor"},
    {"{" A "," TENSOR("b", "F32", "[2]", "8", "16") "}", 16, "tensors 'a' and 'b' overlap"},
    {"{" A "," TENSOR("b", "F32", "[2]", "20", "28") "}", 28,
     "4 bytes before tensor 'b' are unused"},
    {"{" A "," A "}", 16, "the key 'a' is there twice"},
    {"{" A "," TENSOR("\\u0061", "F32", "[1]", "16", "20") "}", 20, "the key 'a' is there twice"},
    {"{" TENSOR("a", "F32", "[2,3]", "0", "16") "}", 16,
     "tensor 'a' has 16 bytes, which is not F32 of [2, 3]"},
    {"{" TENSOR("a", "F16", "[2,2]", "0", "16") "}", 16,
     "tensor 'a' has 16 bytes, which is not F16 of [2, 2]"},
    {"{" TENSOR("a", "F32", "[4294967296,4294967296]", "0", "0") "}", 0,
     "tensor 'a' has 0 bytes, which is not F32 of [4294967296, 4294967296]"},
    {"{" TENSOR("a", "C64", "[2]", "0", "16") "}", 16, "tensor 'a' has an unknown dtype"},
    {"{" TENSOR("a", "f32", "[4]", "0", "16") "}", 16, "tensor 'a' has an unknown dtype"},
    {"{" TENSOR("a", "F32", "[-4]", "0", "16") "}", 16, "tensor 'a' has a malformed shape"},
    {"{" TENSOR("a", "F32", "[4.5]", "0", "18") "}", 18, "tensor 'a' has a malformed shape"},
    {"{" TENSOR("a", "F32", "[1e300]", "0", "16") "}", 16, "tensor 'a' has a malformed shape"},
    {"{" TENSOR("a", "F32", "[\\\"4\\\"]", "0", "16") "}", 16, "is not valid JSON near line 1"},
    {"{" TENSOR("a", "F32", "4", "0", "16") "}", 16, "tensor 'a' has a malformed shape"},
    {"{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1,4]", "0", "16") "}", 16,
     "tensor 'a' has a malformed shape"},
    {"{" TENSOR("a", "F32", "[4]", "16", "0") "}", 16, "tensor 'a' has malformed data_offsets"},
    {"{" TENSOR("a", "F32", "[4]", "-16", "0") "}", 16, "tensor 'a' has malformed data_offsets"},
    {"{" TENSOR("a", "F32", "[4]", "0", "18446744073709551616") "}", 16,
     "tensor 'a' has malformed data_offsets"},
    {"{" TENSOR("a", "F32", "[4]", "0", "9007199254740993") "}", 16,
     "tensor 'a' has malformed data_offsets"},
    {"{" TENSOR("a", "F32", "[4]", "0", "16,32") "}", 16, "tensor 'a' has malformed data_offsets"},
    {"{" TENSOR("a", "F32", "[4]", "0", "9007199254740991") "}", 16,
     "is truncated: tensor 'a' ends 9007199254740975 bytes behind the file's end"},
    {"{\"a\":[1,2]}", 0, "the entry of tensor 'a' is malformed"},
    {"{\"a\":null}", 0, "the entry of tensor 'a' is malformed"},
    {"{\"a\":{}}", 0, "tensor 'a' has an unknown dtype"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0,
     "the entry of tensor 'a' is malformed"},
    {"{" TENSOR("a\\u001b[2J", "F32", "[4]", "0", "16") "}", 16,
     "the name of a tensor holds a control character"},
    {"{" A "", 16, "is not valid JSON near line 1"},
    {"{\n" A "\n}\n}", 16, "is not valid JSON near line 4"},
    {"[]", 0, "is not a safetensors file"},
    {" {" A "}", 16, "is not a safetensors file"},
    {"", 16, "is not a safetensors file"},
};

/* The sentence must begin with the path and end as told. */
static void assert_refused(const char *path, const char *sentence) {
    struct dtr_safetensors *file = NULL;
    struct dtr_error error = {0};
    char expected[600];
    snprintf(expected, sizeof expected, "%s: %s", path, sentence);
    assert_int_equal(dtr_safetensors_open(path, &file, &error), DTR_E_CONFIG);
    assert_string_equal(error.text, expected);
    assert_null(file);
}

static void corrupt_files_are_refused(void **state) {
    struct folder *folder = *state;
    uint8_t bytes[1000];
    for (size_t i = 0; i < sizeof corrupt / sizeof *corrupt; i++) {
        size_t count = make_file(bytes, corrupt[i].header, corrupt[i].payload);
        folder_write(folder, "corrupt.safetensors", bytes, count);
        assert_refused(folder->file, corrupt[i].sentence);
    }
}

static void wrong_lengths_are_refused(void **state) {
    struct folder *folder = *state;
    uint8_t bytes[1000];
    const size_t count = make_file(bytes, "{" A "}", 16);
    folder_write(folder, "short", bytes, 0);
    assert_refused(folder->file, "is too short for a safetensors file");
    folder_write(folder, "short", bytes, 7);
    assert_refused(folder->file, "is too short for a safetensors file");
    folder_write(folder, "short", bytes, 20);
    assert_refused(folder->file, "is truncated: its header has 57 bytes, the whole file 20");
    memset(bytes, 0xff, 8);
    folder_write(folder, "long", bytes, count);
    assert_refused(folder->file, "is not a safetensors file");
    assert_refused(folder_file(folder, "absent"), "cannot be opened: No such file or directory");
    assert_refused(folder->path, "is not a regular file");
}

/* No byte of the header may be able to make the reader crash, whatever it becomes. */
static void damaged_headers_do_no_harm(void **state) {
    struct folder *folder = *state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"}," A "," TENSOR("b", "BF16", "[4]", "16", "24") "}";
    static const uint8_t values[] = {0, '"', '[', ']', '{', '}', ',', '9', '-', 'e', '\\', 0xff};
    uint8_t bytes[1000];
    const size_t count = make_file(bytes, header, 24);
    unsigned opened = 0, refused = 0;
    for (size_t at = 0; at < count - 24; at++)
        for (size_t i = 0; i < sizeof values; i++) {
            const uint8_t kept = bytes[at];
            bytes[at] = values[i];
            folder_write(folder, "damaged", bytes, count);
            bytes[at] = kept;
            struct dtr_safetensors *file = NULL;
            struct dtr_error error = {0};
            if (dtr_safetensors_open(folder->file, &file, &error)) {
                assert_int_equal(error.status, DTR_E_CONFIG);
                assert_memory_equal(error.text, folder->file, strlen(folder->file));
                refused++;
            } else {
                opened++;
            }
            dtr_safetensors_close(file);
        }
    assert_true(refused > 1000);
    assert_true(opened > 10);
}

static void deep_nesting_is_refused(void **state) {
    struct folder *folder = *state;
    enum { DEPTH = 100000 };
    uint8_t *bytes = malloc(DEPTH + 100);
    char *header = malloc(DEPTH + 10);
    assert_true(bytes && header);
    strcpy(header, "{\"a\":");
    memset(header + 5, '[', DEPTH);
    header[5 + DEPTH] = '\0';
    folder_write(folder, "deep", bytes, make_file(bytes, header, 0));
    assert_refused(folder->file, "is not valid JSON near line 1");
    free(header);
    free(bytes);
}

static void every_type_is_read(void **state) {
    struct folder *folder = *state;
    static const float f32[] = {1.0f, -2.5f, INFINITY, 1e-40f};
    static const uint16_t f16[] = {0x3c00, 0xc100, 0x7c00, 0x0001, 0x03ff, 0x7bff, 0x8000};
    static const uint16_t bf16[] = {0x3f80, 0xc020, 0xff80};
    const struct dtr_stored_tensor tensors[] = {
        {.name = "f32",
         .type = DTR_STORED_F32,
         .rank = 2,
         .shape = {2, 2},
         .data = (const uint8_t *)f32,
         .bytes = sizeof f32},
        {.name = "f16",
         .type = DTR_STORED_F16,
         .rank = 1,
         .shape = {7},
         .data = (const uint8_t *)f16,
         .bytes = sizeof f16},
        {.name = "bf16",
         .type = DTR_STORED_BF16,
         .rank = 1,
         .shape = {3},
         .data = (const uint8_t *)bf16,
         .bytes = sizeof bf16},
        {.name = "empty", .type = DTR_STORED_I64, .rank = 2, .shape = {0, 5}, .bytes = 0},
    };
    struct dtr_error error = {0};
    struct dtr_safetensors *file;
    char path[100];
    strcpy(path, folder_file(folder, "types.safetensors"));
    assert_int_equal(dtr_safetensors_write(path, tensors, 4, &error), DTR_OK);
    assert_int_equal(dtr_safetensors_open(path, &file, &error), DTR_OK);
    assert_int_equal(file->count, 4);
    float out[7];
    const struct dtr_stored_tensor *tensor = dtr_safetensors_find(file, "f32");
    assert_int_equal(tensor->rank, 2);
    dtr_stored_floats(tensor, 1, 3, out);
    assert_memory_equal(out, f32 + 1, 3 * sizeof *out);
    static const float halves[] = {1.0f, -2.5f, INFINITY, 0x1p-24f, 0x1.ff8p-15f, 65504.0f, -0.0f};
    dtr_stored_floats(dtr_safetensors_find(file, "f16"), 0, 7, out);
    assert_memory_equal(out, halves, sizeof halves);
    static const float brain[] = {1.0f, -2.5f, -INFINITY};
    dtr_stored_floats(dtr_safetensors_find(file, "bf16"), 0, 3, out);
    assert_memory_equal(out, brain, sizeof brain);
    assert_int_equal(dtr_safetensors_find(file, "empty")->shape[1], 5);
    assert_null(dtr_safetensors_find(file, "f64"));
    dtr_safetensors_close(file);
    assert_true(isnan(dtr_f16_to_f32(0x7e00)));
}

/* Against the definition, for every number that there is. */
static void every_half_is_exact(void **state) {
    (void)state;
    for (uint32_t half = 0; half < 0x7c00; half++) {
        const int exponent = (int)(half >> 10), fraction = (int)(half & 0x3ff);
        const double value =
            exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
        assert_true((double)dtr_f16_to_f32((uint16_t)half) == value);
        assert_true((double)dtr_f16_to_f32((uint16_t)(half | 0x8000)) == -value);
    }
}

static void unwritable_places_are_told(void **state) {
    struct folder *folder = *state;
    struct dtr_error error = {0};
    const char *path = folder_file(folder, "absent/x.safetensors");
    assert_int_equal(dtr_safetensors_write(path, NULL, 0, &error), DTR_E_SYSTEM);
    assert_non_null(strstr(error.text, "cannot be created"));
}

/* --- sharded checkpoints ---------------------------------------------------------------------- */

static void write_shard(struct folder *folder, const char *name, const char *header,
                        size_t payload) {
    uint8_t bytes[1000];
    folder_write(folder, name, bytes, make_file(bytes, header, payload));
}

static void write_index(struct folder *folder, const char *weight_map) {
    char text[600];
    int length = snprintf(text, sizeof text, "{\"metadata\":{},\"weight_map\":%s}", weight_map);
    folder_write(folder, "model.safetensors.index.json", text, (size_t)length);
}

static void shards_are_joined(void **state) {
    struct folder *folder = *state;
    write_shard(folder, "1.safetensors", "{" A "}", 16);
    write_shard(folder, "2.safetensors", "{" TENSOR("c", "F32", "[1]", "0", "4") "}", 4);
    write_index(folder, "{\"c\":\"2.safetensors\",\"a\":\"1.safetensors\"}");
    struct dtr_checkpoint *checkpoint;
    struct dtr_error error = {0};
    assert_int_equal(dtr_checkpoint_open(folder->file, &checkpoint, &error), DTR_OK);
    assert_int_equal(checkpoint->count, 2);
    assert_int_equal(checkpoint->files, 2);
    assert_int_equal(dtr_checkpoint_find(checkpoint, "c")->tensor->bytes, 4);
    assert_non_null(strstr(dtr_checkpoint_find(checkpoint, "a")->file->path, "/1.safetensors"));
    assert_null(dtr_checkpoint_find(checkpoint, "b"));
    dtr_checkpoint_close(checkpoint);
}

static void bad_indexes_are_refused(void **state) {
    struct folder *folder = *state;
    static const struct {
        const char *map, *sentence;
    } bad[] = {
        {"{\"a\":\"../1.safetensors\"}", "must be the name of a file beside it"},
        {"{\"a\":\"/etc/passwd\"}", "must be the name of a file beside it"},
        {"{\"a\":\"\"}", "must be the name of a file beside it"},
        {"{\"a\":7}", "must be the name of a file beside it"},
        {"{\"a\":\"9.safetensors\"}", "9.safetensors: cannot be opened"},
        {"{\"a\":\"bad.safetensors\"}", "bad.safetensors: is truncated: tensor 'a'"},
        {"{\"b\":\"1.safetensors\"}", "1.safetensors: tensor 'b' is missing"},
        {"{\"a\":\"1.safetensors\",\"a\":\"1.safetensors\"}", "tensor 'a' is there twice"},
        {"{}", "has no weight_map"},
        {"[]", "has no weight_map"},
    };
    write_shard(folder, "1.safetensors", "{" A "}", 16);
    write_shard(folder, "bad.safetensors", "{" A "}", 12);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_index(folder, bad[i].map);
        struct dtr_checkpoint *checkpoint;
        struct dtr_error error = {0};
        assert_int_equal(dtr_checkpoint_open(folder->file, &checkpoint, &error), DTR_E_CONFIG);
        assert_non_null(strstr(error.text, bad[i].sentence));
        assert_memory_equal(error.text, folder->path, strlen(folder->path));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(corrupt_files_are_refused, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(wrong_lengths_are_refused, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(damaged_headers_do_no_harm, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(deep_nesting_is_refused, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(every_type_is_read, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(unwritable_places_are_told, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(shards_are_joined, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(bad_indexes_are_refused, folder_make, folder_remove),
        cmocka_unit_test(every_half_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
