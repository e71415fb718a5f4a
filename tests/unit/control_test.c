/* SPDX-License-Identifier: MIT
 *
 * control_test.c -- the control channel with a hostile other end: frames that are cut short,
 * changed or made up end in an error, without reading past their end and without memory for what
 * they merely promise.
 */
#include "unit.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plan/lower.h"
#include "plan/strategy.h"
#include "run/channel.h"
#include "run/protocol.h"
#include "run/worker.h"

enum { ROOM = 1 << 16, MUTATIONS = 3000, DEVICES = 3 };

/* --- memory: the largest piece that was asked for ----------------------------------------------
 */

static size_t largest;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);

static void note(size_t bytes) {
    if (bytes > __atomic_load_n(&largest, __ATOMIC_RELAXED))
        __atomic_store_n(&largest, bytes, __ATOMIC_RELAXED);
}

void *__wrap_malloc(size_t bytes) {
    note(bytes);
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    note(count * bytes);
    return __real_calloc(count, bytes);
}

/* New memory is zeros, which what reads on too far takes for good numbers, until it is found out.
 */
void *__wrap_realloc(void *memory, size_t bytes) {
    note(bytes);
    return memory ? __real_realloc(memory, bytes) : __real_calloc(1, bytes);
}

/* --- bytes that end where memory ends ----------------------------------------------------------
 */

static uint8_t *edge;

static void make_edge(void) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *map =
        mmap(NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mprotect(map + ROOM, page, PROT_NONE), 0);
    edge = map + ROOM;
}

static const uint8_t *at_edge(const uint8_t *bytes, size_t length) {
    assert_true(length <= ROOM);
    if (length)
        memcpy(edge - length, bytes, length);
    return edge - length;
}

static uint64_t random_state = 7;

static uint32_t any(uint32_t below) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % below;
}

/* A few bytes become others; mostly such that look like numbers. */
static void mutate(uint8_t *bytes, size_t length) {
    static const uint32_t words[] = {0,          1,          2,       0x7fffffff,
                                     0x80000000, 0xffffffff, 0x10000, 0x7ff00000};
    for (uint32_t i = 0, times = 1 + any(3); i < times && length; i++) {
        const size_t at = any((uint32_t)length);
        const uint32_t word = words[any(sizeof words / sizeof words[0])];
        if (any(2) || at % 4 || at + 4 > length)
            bytes[at] = (uint8_t)any(256);
        else
            memcpy(bytes + at, &word, sizeof word);
    }
}

/* --- a device to read for ----------------------------------------------------------------------
 */

struct stage {
    struct dtr_log log;
    struct dtr_plugins *plugins;
    struct dtr_experiment *experiment; /* of one device */
    struct dtr_device *device;
    struct dtr_session_options options;
    struct dtr_words words;
    struct dtr_plan *plan; /* of DEVICES devices */
};

static char *describe(uint32_t devices) {
    char *text;
    const char *tests = getenv("DTR_TESTS");
    assert_true(asprintf(&text,
                         "[model]\nconfig = %s/fixtures/full-4/config.json\n"
                         "weights = %s/fixtures/full-4/model.safetensors\ntask = classify\n"
                         "[input]\nrandom = yes\nsequence_length = 24\nbatch = 2\n"
                         "[cluster]\ndevices = %u\n[kernel]\nplugin = reference\n"
                         "[transport]\nplugin = shm\n[planner]\nplugin = fixed\n"
                         "[planner.fixed]\nstrategy = bp+sp\n",
                         tests, tests, devices) > 0);
    return text;
}

static struct dtr_plan *make_plan(const struct dtr_model_shape *shape, uint32_t devices) {
    struct dtr_device_info info[DEVICES] = {{0}};
    for (uint32_t i = 0; i < devices; i++)
        info[i].share = 1;
    struct dtr_plan *plan = dtr_plan_create(shape, devices, dtr_strategy_count(), NULL);
    assert_non_null(plan);
    assert_int_equal(dtr_plan_place(plan, info, sizeof info[0], NULL), DTR_OK);
    memset(plan->open, 1, plan->strategies);
    return plan;
}

static int set_up(void **state) {
    struct stage *stage = calloc(1, sizeof *stage);
    struct dtr_error error = {0};
    assert_non_null(stage);
    stage->log = (struct dtr_log){.level = DTR_LOG_ERROR, .fd = 2};
    make_edge();
    char *text = describe(1);
    assert_int_equal(dtr_plugins_create(NULL, &stage->log, &stage->plugins, &error), DTR_OK);
    if (dtr_experiment_parse("one", text, strlen(text), stage->plugins, &stage->log,
                             &stage->experiment, &error))
        fail_msg("%s", error.text);
    free(text);
    stage->options = (struct dtr_session_options){.sequences_max = 2, .length_max = 24};
    const struct dtr_model_source source = dtr_experiment_model(stage->experiment);
    assert_int_equal(dtr_device_open(stage->experiment, &source, stage->plugins, 0, &stage->options,
                                     &stage->log, &stage->device, &error),
                     DTR_OK);
    struct dtr_plan *plan = make_plan(&stage->device->model->shape, 1);
    assert_int_equal(dtr_device_load(stage->device, plan, &error), DTR_OK);
    dtr_plan_free(plan);
    stage->plan = make_plan(&stage->device->model->shape, DEVICES);
    *state = stage;
    return 0;
}

static int tear_down(void **state) {
    struct stage *stage = *state;
    dtr_plan_free(stage->plan);
    dtr_device_close(stage->device);
    dtr_experiment_free(stage->experiment);
    dtr_plugins_free(stage->plugins);
    free(stage->words.words);
    free(stage);
    return 0;
}

/* --- reading -----------------------------------------------------------------------------------
 */

/* Reads one kind of frame; what is accepted is also used as the program uses it. */
typedef int read_frame(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error);

static int read_hello(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    (void)stage;
    return dtr_read_hello(reader, error);
}

static int read_setup(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_setup setup;
    struct dtr_experiment *experiment;
    int status = dtr_read_setup(reader, &setup, error);
    if (!status)
        status = dtr_experiment_parse("sent", setup.experiment, strlen(setup.experiment),
                                      stage->plugins, &stage->log, &experiment, error);
    if (!status)
        dtr_experiment_free(experiment);
    return status;
}

static int read_address(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_address address;
    const int status = dtr_read_address(reader, &address, error);
    if (!status)
        assert_true(strlen(address.text) < DTR_ADDRESS_MAX &&
                    memcmp(address.digest, stage->device->model->digest, 32) < 256);
    return status;
}

static int read_group(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    const char *addresses[DEVICES];
    uint32_t numbers[DEVICES];
    struct dtr_group group = {.size = sizeof group};
    const int status = dtr_read_group(reader, DEVICES, &group, addresses, numbers, error);
    (void)stage;
    if (!status)
        assert_true(group.devices <= DEVICES && group.device < group.devices);
    for (uint32_t i = 0; !status && i < group.devices; i++)
        assert_true(strlen(addresses[i]) < ROOM);
    return status;
}

static int read_probes(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_probe *probes;
    uint32_t count;
    const int status = dtr_read_probes(reader, &probes, &count, error);
    (void)stage;
    if (!status)
        free(probes);
    return status;
}

static int read_probed(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    const char *kernel;
    double seconds[2];
    (void)stage;
    return dtr_read_probed(reader, 2, &kernel, seconds, error);
}

static int read_link(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_link_frame frame;
    (void)stage;
    return dtr_read_link(reader, &frame, error);
}

static int read_ready(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_ready ready;
    (void)stage;
    return dtr_read_ready(reader, &ready, error);
}

static int read_request(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_request_frame frame;
    struct dtr_program *program;
    /* No room left from other frames. */
    free(stage->words.words);
    stage->words = (struct dtr_words){0};
    int status = dtr_read_request(reader, stage->device, &stage->words, &frame, error);
    if (!status)
        status = dtr_device_program(stage->device, &frame.request, frame.strategy, frame.tiles,
                                    &program, error);
    if (status)
        return status;
    const struct dtr_tokens_input tokens = {frame.request.ids, frame.request.types};
    uint32_t step;
    assert_null(dtr_schedule_check(program->schedule, &step));
    return dtr_executor_run(stage->device->executor, program, &tokens, error);
}

static int read_done(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    struct dtr_done done;
    (void)stage;
    return dtr_read_done(reader, &done, error);
}

static int read_failed(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    (void)stage;
    int suspect;
    dtr_read_failed(reader, error, &suspect);
    /* It always leaves an error: the one that was sent or that none could be read. */
    assert_true(error->status < 0);
    return error->status == DTR_E_CORRUPT ? error->status : DTR_OK;
}

static int read_plan(struct stage *stage, struct dtr_reader *reader, struct dtr_error *error) {
    const struct dtr_model_shape *shape = &stage->device->model->shape;
    const uint32_t lengths[] = {5, 9};
    struct dtr_plan *plan;
    int status = dtr_plan_decode(reader->bytes, reader->length, shape, DEVICES,
                                 dtr_strategy_count(), &plan, error);
    if (status)
        return status;
    for (uint32_t device = 0; device < DEVICES && !status; device++) {
        const struct dtr_lowering lowering = {
            .model = shape, .plan = plan, .device = device, .sequences = 2, .lengths = lengths};
        struct dtr_schedule *schedule;
        uint32_t step;
        status = dtr_lower(&lowering, &schedule, error);
        if (status)
            break;
        assert_null(dtr_schedule_check(schedule, &step));
        dtr_schedule_free(schedule);
    }
    dtr_plan_free(plan);
    return status;
}

/* --- writing what is right ---------------------------------------------------------------------
 */

static void write_hello(struct stage *stage, struct dtr_writer *writer) {
    (void)stage;
    dtr_write_hello(writer);
}

static void write_setup_for(struct stage *stage, struct dtr_writer *writer, uint32_t devices) {
    char *text = describe(devices);
    dtr_write_setup(
        writer,
        &(struct dtr_setup){.device = 1,
                            .options = stage->options,
                            .log_level = DTR_LOG_ERROR,
                            .experiment = text,
                            .config = "{}",
                            .supply = {.labels = 2, .types = (const uint8_t *)text, .count = 40}});
    free(text);
}

static void write_setup(struct stage *stage, struct dtr_writer *writer) {
    write_setup_for(stage, writer, DEVICES);
}

static void write_address(struct stage *stage, struct dtr_writer *writer) {
    dtr_write_address(writer, &(struct dtr_address){.text = "1/2/cafe",
                                                    .transport = "shm 1",
                                                    .digest = stage->device->model->digest});
}

static void write_group(struct stage *stage, struct dtr_writer *writer) {
    const char *const addresses[DEVICES] = {"1/2/cafe", "3/4/cafe", "5/6/cafe"};
    const uint32_t numbers[DEVICES] = {0, 2, 5};
    const uint8_t key[32] = {1, 2, 3};
    (void)stage;
    dtr_write_group(writer,
                    &(struct dtr_group){.size = sizeof(struct dtr_group),
                                        .devices = DEVICES,
                                        .device = 1,
                                        .addresses = addresses,
                                        .epoch = 1,
                                        .key = key},
                    numbers);
}

static void write_probes(struct stage *stage, struct dtr_writer *writer) {
    const struct dtr_probe probes[] = {{.kind = 0, .rows = 3, .out = 4, .in = 5},
                                       {.kind = 1, .rows = 3, .out = 8, .in = 4}};
    (void)stage;
    dtr_write_probes(writer, probes, 2);
}

static void write_probed(struct stage *stage, struct dtr_writer *writer) {
    const double seconds[] = {1e-3, 2e-6};
    (void)stage;
    dtr_write_probed(writer, "reference", seconds, 2);
}

static void write_link(struct stage *stage, struct dtr_writer *writer) {
    (void)stage;
    dtr_write_link(writer, &(struct dtr_link_frame){.peer = 1, .link = {1e-4, 1e8}});
}

static void write_ready(struct stage *stage, struct dtr_writer *writer) {
    (void)stage;
    dtr_write_ready(
        writer, &(struct dtr_ready){.weight_bytes = 1000, .kernel = "reference", .cores = "0-1"});
}

static void write_request(struct stage *stage, struct dtr_writer *writer) {
    const uint32_t lengths[] = {3, 5}, select[] = {0, 3};
    uint32_t ids[8], types[8] = {0}, strategy[2] = {0, 1};
    for (uint32_t i = 0; i < 8; i++)
        ids[i] = i;
    assert_int_equal(stage->device->plan->groups, 2);
    dtr_write_request(writer,
                      &(struct dtr_request_frame){.number = 1,
                                                  .strategy = strategy,
                                                  .tiles = 1,
                                                  .request = {.sequences = 2,
                                                              .lengths = lengths,
                                                              .ids = ids,
                                                              .types = types,
                                                              .select = select,
                                                              .selected = 2}},
                      stage->device->model, 2);
}

static void write_done(struct stage *stage, struct dtr_writer *writer) {
    const uint32_t length = 4, strategy[2] = {0, 0};
    const struct dtr_request request = {.sequences = 1, .lengths = &length};
    struct dtr_program *program;
    assert_int_equal(dtr_device_program(stage->device, &request, strategy, 1, &program, NULL),
                     DTR_OK);
    dtr_write_done(writer, &(struct dtr_done){.number = 1}, program, true);
}

static void write_failed(struct stage *stage, struct dtr_writer *writer) {
    struct dtr_error failure = {0};
    (void)stage;
    dtr_fail(&failure, DTR_E_SYSTEM, "out of order");
    dtr_write_failed(writer, &failure, -1);
}

static void write_plan(struct stage *stage, struct dtr_writer *writer) {
    uint8_t *bytes;
    size_t length;
    assert_int_equal(dtr_plan_encode(stage->plan, &bytes, &length, NULL), DTR_OK);
    dtr_write_bytes(writer, bytes, length);
    free(bytes);
}

/* --- all kinds of frames -----------------------------------------------------------------------
 */

static const struct frame {
    const char *name;
    void (*write)(struct stage *stage, struct dtr_writer *writer);
    read_frame *read;
} frames[] = {
    {"hello", write_hello, read_hello},       {"setup", write_setup, read_setup},
    {"address", write_address, read_address}, {"group", write_group, read_group},
    {"probes", write_probes, read_probes},    {"probed", write_probed, read_probed},
    {"link", write_link, read_link},          {"ready", write_ready, read_ready},
    {"request", write_request, read_request}, {"done", write_done, read_done},
    {"failed", write_failed, read_failed},    {"plan", write_plan, read_plan},
};

enum { FRAMES = sizeof frames / sizeof frames[0] };

static int read_bytes(struct stage *stage, const struct frame *frame, const uint8_t *bytes,
                      size_t length) {
    struct dtr_error error = {0};
    struct dtr_reader reader = {.bytes = at_edge(bytes, length), .length = length};
    const int status = frame->read(stage, &reader, &error);
    if (status && !error.text[0])
        fail_msg("%s: an error without a sentence", frame->name);
    return status;
}

static void test_right(void **state) {
    for (size_t i = 0; i < FRAMES; i++) {
        struct dtr_writer writer = {0};
        frames[i].write(*state, &writer);
        if (read_bytes(*state, &frames[i], writer.bytes, writer.length))
            fail_msg("%s: what is right is refused", frames[i].name);
        dtr_writer_free(&writer);
    }
}

static void test_short(void **state) {
    for (size_t i = 0; i < FRAMES; i++) {
        struct dtr_writer writer = {0};
        frames[i].write(*state, &writer);
        for (size_t length = 0; length < writer.length; length++)
            if (!read_bytes(*state, &frames[i], writer.bytes, length))
                fail_msg("%s: %zu of %zu bytes are accepted", frames[i].name, length,
                         writer.length);
        dtr_writer_free(&writer);
    }
}

static void test_changed(void **state) {
    largest = 0;
    for (size_t i = 0; i < FRAMES; i++) {
        struct dtr_writer writer = {0};
        frames[i].write(*state, &writer);
        uint8_t *bytes = malloc(writer.length);
        assert_non_null(bytes);
        for (int j = 0; j < MUTATIONS; j++) {
            memcpy(bytes, writer.bytes, writer.length);
            mutate(bytes, writer.length);
            read_bytes(*state, &frames[i], bytes, writer.length);
        }
        free(bytes);
        dtr_writer_free(&writer);
    }
    assert_in_range(largest, 1, 8 << 20);
}

static void test_made_up(void **state) {
    uint8_t bytes[256];
    largest = 0;
    for (size_t i = 0; i < FRAMES; i++)
        for (int j = 0; j < MUTATIONS; j++) {
            const size_t length = any(sizeof bytes);
            for (size_t k = 0; k < length; k++)
                bytes[k] = (uint8_t)any(any(2) ? 256 : 4);
            read_bytes(*state, &frames[i], bytes, length);
        }
    assert_in_range(largest, 1, 8 << 20);
}

static void test_numbers(void **state) {
    (void)state;
    static const struct {
        uint32_t bound, bytes; /* of three */
    } cases[] = {{1, 1},   {2, 1},     {3, 1},     {30522, 6},      {256, 3},
                 {257, 4}, {65536, 6}, {65537, 7}, {UINT32_MAX, 12}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint32_t numbers[] = {0, cases[i].bound / 2, cases[i].bound - 1};
        uint32_t read[3] = {7, 7, 7};
        struct dtr_writer writer = {0};
        dtr_write_numbers(&writer, numbers, 3, cases[i].bound);
        assert_int_equal(writer.length, cases[i].bytes);
        struct dtr_reader reader = {.bytes = writer.bytes, .length = writer.length};
        dtr_read_numbers(&reader, read, 3, cases[i].bound);
        assert_true(dtr_reader_done(&reader));
        assert_memory_equal(read, numbers, sizeof read);
        reader = (struct dtr_reader){.bytes = writer.bytes, .length = writer.length - 1};
        dtr_read_numbers(&reader, read, 3, cases[i].bound);
        assert_true(reader.broken);
        dtr_writer_free(&writer);
    }
}

/* A link carries so much and no more, and takes its time. */
static void test_links(void **state) {
    static const struct {
        struct dtr_link link;
        int status;
    } cases[] = {
        {{0, 0}, DTR_OK},
        {{1e-4, 1e8}, DTR_OK},
        {{1e-4, INFINITY}, DTR_E_CORRUPT},
        {{1e-4, NAN}, DTR_E_CORRUPT},
        {{1e-4, -1}, DTR_E_CORRUPT},
        {{INFINITY, 1e8}, DTR_E_CORRUPT},
        {{NAN, 1e8}, DTR_E_CORRUPT},
        {{-1e-4, 1e8}, DTR_E_CORRUPT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dtr_writer writer = {0};
        struct dtr_link_frame frame;
        struct dtr_error error = {0};
        dtr_write_link(&writer, &(struct dtr_link_frame){.peer = 1, .link = cases[i].link});
        struct dtr_reader reader = {.bytes = writer.bytes, .length = writer.length};
        assert_int_equal(dtr_read_link(&reader, &frame, &error), cases[i].status);
        dtr_writer_free(&writer);
    }
}

/* Whatever weighs the devices, there is a schedule or an error. */
static void test_shares(void **state) {
    static const double shares[] = {0, DBL_TRUE_MIN, DBL_MIN, 1, 1e300, DBL_MAX, INFINITY, NAN};
    enum { SHARES = sizeof shares / sizeof shares[0] };
    struct stage *stage = *state;
    for (uint32_t i = 0; i < SHARES * SHARES * SHARES; i++) {
        struct dtr_writer writer = {0};
        stage->plan->share[0] = shares[i % SHARES];
        stage->plan->share[1] = shares[i / SHARES % SHARES];
        stage->plan->share[2] = shares[i / SHARES / SHARES];
        write_plan(stage, &writer);
        read_bytes(stage, &frames[FRAMES - 1], writer.bytes, writer.length);
        dtr_writer_free(&writer);
    }
    for (uint32_t i = 0; i < DEVICES; i++)
        stage->plan->share[i] = 1;
}

/* --- a worker ----------------------------------------------------------------------------------
 */

struct worker {
    pthread_t thread;
    struct stage *stage;
    int fd, leader_fd;
    int status;
};

static void *serve(void *arg) {
    struct worker *worker = arg;
    struct dtr_error error = {0};
    const struct dtr_log quiet = {.level = DTR_LOG_ERROR, .fd = 2};
    worker->status = dtr_worker_serve(worker->fd, NULL, worker->stage->plugins, &quiet, &error);
    return NULL;
}

static void start(struct stage *stage, struct worker *worker) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    *worker = (struct worker){.stage = stage, .fd = ends[0], .leader_fd = ends[1]};
    assert_int_equal(pthread_create(&worker->thread, NULL, serve, worker), 0);
}

/* Hangs up; the worker's status. */
static int finish(struct worker *worker) {
    shutdown(worker->leader_fd, SHUT_WR);
    pthread_join(worker->thread, NULL);
    close(worker->leader_fd);
    /* What would have ended it if it had been stuck does not end its next session. */
    assert_int_equal(alarm(0), 0);
    return worker->status;
}

static void tell(const struct worker *worker, const void *bytes, size_t length) {
    const ssize_t sent = send(worker->leader_fd, bytes, length, MSG_NOSIGNAL);
    assert_true(sent == (ssize_t)length || sent < 0);
}

static void tell_frame(const struct worker *worker, uint32_t type, uint32_t promised,
                       const void *bytes, size_t length) {
    const uint32_t header[] = {0x52544431, type, promised};
    tell(worker, header, sizeof header);
    if (length)
        tell(worker, bytes, length);
}

static void test_worker_noise(void **state) {
    uint8_t noise[200];
    for (int i = 0; i < 100; i++) {
        struct worker worker;
        start(*state, &worker);
        for (size_t j = 0; j < sizeof noise; j++)
            noise[j] = (uint8_t)any(256);
        tell(&worker, noise, 1 + any(sizeof noise));
        assert_true(finish(&worker) < 0);
    }
}

static void test_worker_frames(void **state) {
    uint8_t bytes[300];
    for (int i = 0; i < 200; i++) {
        struct worker worker;
        const uint32_t length = any(sizeof bytes);
        start(*state, &worker);
        for (size_t j = 0; j < sizeof bytes; j++)
            bytes[j] = (uint8_t)any(any(2) ? 256 : 3);
        /* Now and then more than is there. */
        tell_frame(&worker, any(DTR_FRAME_TYPES + 2), any(3) ? length : length + any(1000), bytes,
                   length);
        const int status = finish(&worker);
        assert_true(status <= 0);
    }
}

static void test_worker_promises(void **state) {
    static const uint32_t lengths[] = {200u << 20, (256u << 20) + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct worker worker;
        largest = 0;
        start(*state, &worker);
        tell_frame(&worker, DTR_FRAME_SETUP, lengths[i], "abc", 3);
        assert_true(finish(&worker) < 0);
        assert_in_range(largest, 1, 8 << 20);
    }
}

/* Beyond the set-up, which is right. */
static void test_worker_later(void **state) {
    struct dtr_writer writer = {0};
    write_setup_for(*state, &writer, 2);
    for (int i = 0; i < 60; i++) {
        struct worker worker;
        uint8_t bytes[200];
        const uint32_t length = any(sizeof bytes);
        start(*state, &worker);
        tell_frame(&worker, DTR_FRAME_SETUP, (uint32_t)writer.length, writer.bytes, writer.length);
        for (size_t j = 0; j < sizeof bytes; j++)
            bytes[j] = (uint8_t)any(any(2) ? 256 : 3);
        tell_frame(&worker, i % 2 ? DTR_FRAME_GROUP : any(DTR_FRAME_TYPES), length, bytes, length);
        assert_true(finish(&worker) < 0);
    }
    dtr_writer_free(&writer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),         cmocka_unit_test(test_short),
        cmocka_unit_test(test_changed),       cmocka_unit_test(test_made_up),
        cmocka_unit_test(test_numbers),       cmocka_unit_test(test_shares),
        cmocka_unit_test(test_links),         cmocka_unit_test(test_worker_noise),
        cmocka_unit_test(test_worker_frames), cmocka_unit_test(test_worker_promises),
        cmocka_unit_test(test_worker_later),
    };
    signal(SIGALRM, SIG_IGN);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
