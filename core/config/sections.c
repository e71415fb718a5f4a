/* SPDX-License-Identifier: MIT */
#include "config/sections.h"

#include <string.h>

/* As enum dtr_dtype counts them. */
#define DTYPES "f32|f16|bf16|int8"

/* As enum dtr_algorithm counts them, but for the first. */
#define ALGORITHMS "auto|direct|pairwise|ring|doubling|bruck|star|one-shot"

#define AT(_section, _member) .offset = offsetof(struct dtr_section_##_section, _member)

static const struct dtr_param experiment[] = {
    {.key = "name",
     .fallback = "",
     .help = "What the experiment is called in its results; default: the file's name.",
     .type = DTR_TEXT,
     AT(experiment, name)},
    {.key = "requests",
     .fallback = "0",
     .range = "0..1000000000",
     .help = "How many batches go through the model; 0: one pass over the input.",
     .type = DTR_INT,
     AT(experiment, requests)},
    {.key = "warmup",
     .fallback = "1",
     .range = "0..1000000000",
     .help = "Requests before those, which are not measured.",
     .type = DTR_INT,
     AT(experiment, warmup)},
    {.key = "seed",
     .fallback = "1",
     .range = "0..",
     .help = "Of random weights and random input.",
     .type = DTR_INT,
     AT(experiment, seed)},
    {.key = "results",
     .fallback = "",
     .help = "The folder for the results; default: results/NAME-TIME in the working directory.",
     .type = DTR_PATH,
     AT(experiment, results)},
    {.key = NULL},
};

static const struct dtr_param model[] = {
    {.key = "config", .help = "The model's config.json.", .type = DTR_PATH, AT(model, config)},
    {.key = "weights",
     .range = "random",
     .help = "A safetensors file, the index of several (.json), or the word random.",
     .type = DTR_PATH,
     AT(model, weights)},
    {.key = "vocab",
     .fallback = "",
     .help = "The vocabulary (vocab.txt); needed for text.",
     .type = DTR_PATH,
     AT(model, vocab)},
    {.key = "cased",
     .fallback = "no",
     .help = "Whether the vocabulary tells upper from lower case.",
     .type = DTR_BOOL,
     AT(model, cased)},
    {.key = "task",
     .fallback = "encode",
     .range = "encode|classify|fill-mask|answer",
     .help = "What is done with the hidden states.",
     .type = DTR_ENUM,
     AT(model, task)},
    {.key = "debert_division",
     .fallback = "0",
     .range = "0..65536",
     .help = "Slices of the hidden state, for random weights; 0: as the config says.",
     .type = DTR_INT,
     AT(model, division)},
    {.key = "num_debert_blocks",
     .fallback = "0",
     .range = "0..65536",
     .help = "Groups of layers, for random weights; 0: as the config says.",
     .type = DTR_INT,
     AT(model, num_blocks)},
    {.key = "debert_attention",
     .fallback = "config",
     .range = "config|full|split",
     .help = "The width of the sub-blocks' attention, for random weights; config: as the config "
             "says.",
     .type = DTR_ENUM,
     AT(model, attention)},
    {.key = "debert_intermediate_size",
     .fallback = "0",
     .range = "0..1000000000",
     .help = "The sub-blocks' feed-forward columns taken together, for random weights; 0: as the "
             "config says.",
     .type = DTR_INT,
     AT(model, intermediate_size)},
    {.key = NULL},
};

static const struct dtr_param input[] = {
    {.key = "text",
     .fallback = "",
     .help = "One text; a tab separates a pair.",
     .type = DTR_TEXT,
     AT(input, text)},
    {.key = "file",
     .fallback = "",
     .help = "A file with one text a line; a tab separates a pair.",
     .type = DTR_PATH,
     AT(input, file)},
    {.key = "hidden",
     .fallback = "",
     .help = "A safetensors file with hidden f32 [tokens, h] and optionally lengths i64 [batch].",
     .type = DTR_PATH,
     AT(input, hidden)},
    {.key = "random",
     .fallback = "no",
     .help = "Random tokens instead.",
     .type = DTR_BOOL,
     AT(input, random)},
    {.key = "sequence_length",
     .fallback = "128",
     .unit = "tokens",
     .range = "1..65536",
     .help = "The most tokens of a sequence, special ones included; exact for random.",
     .type = DTR_INT,
     AT(input, sequence_length)},
    {.key = "batch",
     .fallback = "1",
     .range = "1..16384",
     .help = "Sequences in a request.",
     .type = DTR_INT,
     AT(input, batch)},
    {.key = NULL},
};

static const struct dtr_param cluster[] = {
    {.key = "devices",
     .fallback = "1",
     .range = "1..65536",
     .help =
         "How many there are, the leader included; default with addresses: one more than those.",
     .type = DTR_INT,
     AT(cluster, devices)},
    {.key = "launch",
     .fallback = "local",
     .help = "local, remote, or a transport that starts the devices.",
     .type = DTR_TEXT,
     AT(cluster, launch)},
    {.key = "addresses",
     .fallback = "",
     .help = "With launch = remote, HOST:PORT of each worker, separated by blanks.",
     .type = DTR_LIST,
     AT(cluster, addresses)},
    {.key = "key_file",
     .fallback = "",
     .help = "With launch = remote, the key that all devices share.",
     .type = DTR_PATH,
     AT(cluster, key_file)},
    {.key = "lost_after_ms",
     .fallback = "700",
     .unit = "ms",
     .range = "20..3600000",
     .help = "A device that gives no sign of life for so long is lost; a shorter stall of its "
             "network is none.",
     .type = DTR_INT,
     AT(cluster, lost_after_ms)},
    {.key = "hung_after_ms",
     .fallback = "10000",
     .unit = "ms",
     .range = "0..3600000",
     .help = "A device is also lost when it computes at one step of a layer for so long; 0: never.",
     .type = DTR_INT,
     AT(cluster, hung_after_ms)},
    {.key = NULL},
};

static const struct dtr_param device[] = {
    {.key = "threads",
     .fallback = "0",
     .range = "0..4096",
     .help = "Compute threads; 0: as many as cores are given, or else the machine's processors, "
             "shared by the devices on it.",
     .type = DTR_INT,
     AT(device, threads)},
    {.key = "cores",
     .fallback = "any",
     .help =
         "Where the threads are pinned, on the device's machine; any: nowhere; auto: to a share "
         "of its cores, the devices on it having one each; or cores such as 0-3,6 by hwloc's "
         "logical numbers.",
     .type = DTR_TEXT,
     AT(device, cores)},
    {.key = "memory",
     .fallback = "0",
     .help = "The most memory the device may use; 0: not limited.",
     .type = DTR_SIZE,
     AT(device, memory)},
    {.key = "share",
     .fallback = "1",
     .range = "0..1000000",
     .help = "Weighs the device's part of heads, columns, tokens and sub-blocks; 0: no part.",
     .type = DTR_REAL,
     AT(device, share)},
    {.key = "divisions",
     .fallback = "",
     .help = "The divisions whose sub-blocks the device holds; default: as the shares say.",
     .type = DTR_LIST,
     AT(device, divisions)},
    {.key = NULL},
};

static const struct dtr_param kernel[] = {
    {.key = "plugin",
     .fallback = "auto",
     .help = "The plugin that computes; auto: the one that suits the device best.",
     .type = DTR_TEXT,
     AT(kernel, plugin)},
    {.key = "dtype",
     .fallback = "f32",
     .range = DTYPES,
     .help =
         "How weights are kept and multiplied. With bf16 and int8 the attention may round what it "
         "multiplies to bf16.",
     .type = DTR_ENUM,
     AT(kernel, dtype)},
    {.key = NULL},
};

static const struct dtr_param transport[] = {
    {.key = "plugin",
     .fallback = "auto",
     .help = "The plugin that moves messages; auto: the best that reaches all devices.",
     .type = DTR_TEXT,
     AT(transport, plugin)},
    {.key = "wire",
     .fallback = "f32",
     .range = DTYPES,
     .help = "How hidden states travel.",
     .type = DTR_ENUM,
     AT(transport, wire)},
    {.key = "all_gather",
     .fallback = "auto",
     .range = ALGORITHMS,
     .help = "How an all-gather goes; auto: the way that is quickest at its size.",
     .type = DTR_ENUM,
     AT(transport, all_gather)},
    {.key = "all_to_all",
     .fallback = "auto",
     .range = ALGORITHMS,
     .help = "How an all-to-all goes; auto: the way that is quickest at its size.",
     .type = DTR_ENUM,
     AT(transport, all_to_all)},
    {.key = "gather",
     .fallback = "auto",
     .range = ALGORITHMS,
     .help = "How a gather goes; auto: the way that is quickest at its size.",
     .type = DTR_ENUM,
     AT(transport, gather)},
    {.key = "scatter",
     .fallback = "auto",
     .range = ALGORITHMS,
     .help = "How a scatter goes; auto: the way that is quickest at its size.",
     .type = DTR_ENUM,
     AT(transport, scatter)},
    {.key = "broadcast",
     .fallback = "auto",
     .range = ALGORITHMS,
     .help = "How a broadcast goes; auto: the way that is quickest at its size.",
     .type = DTR_ENUM,
     AT(transport, broadcast)},
    {.key = "reduce_scatter",
     .fallback = "auto",
     .range = ALGORITHMS,
     .help = "How a reduce-scatter goes; auto: the way that is quickest at its size.",
     .type = DTR_ENUM,
     AT(transport, reduce_scatter)},
    {.key = "all_reduce",
     .fallback = "auto",
     .range = ALGORITHMS,
     .help = "How an all-reduce goes; auto: the way that is quickest at its size.",
     .type = DTR_ENUM,
     AT(transport, all_reduce)},
    {.key = NULL},
};

static const struct dtr_param planner[] = {
    {.key = "plugin",
     .fallback = "auto",
     .help = "The plugin that chooses placement and strategies; auto: the best there is.",
     .type = DTR_TEXT,
     AT(planner, plugin)},
    {.key = "objective",
     .fallback = "latency",
     .range = "latency|throughput|memory",
     .help = "What is to be least: the latency of a request; the time for which each keeps the "
             "busiest device or port, which bounds a stream of them; the memory of any device.",
     .type = DTR_ENUM,
     AT(planner, objective)},
    {.key = "profile",
     .fallback = "",
     .help = "Measured costs (detransformer profile); without it a planner that needs them has "
             "them measured first.",
     .type = DTR_PATH,
     AT(planner, profile)},
    {.key = NULL},
};

#define SECTION(_name, _help)                          \
    {                                                  \
        .name = #_name, .help = (_help), .table = {    \
            .rows = _name,                             \
            .stride = sizeof _name[0],                 \
            .size = sizeof(struct dtr_section_##_name) \
        }                                              \
    }

static const struct dtr_section sections[DTR_SECTIONS] = {
    [DTR_SECTION_EXPERIMENT] = SECTION(experiment, "How often, and where to."),
    [DTR_SECTION_MODEL] = SECTION(model, "What is computed."),
    [DTR_SECTION_INPUT] =
        SECTION(input, "What goes in: exactly one of text, file, hidden, random."),
    [DTR_SECTION_CLUSTER] = SECTION(cluster, "The devices, and who starts them."),
    [DTR_SECTION_DEVICE] = SECTION(device, "What holds for every device."),
    [DTR_SECTION_KERNEL] = SECTION(kernel, "Who computes."),
    [DTR_SECTION_TRANSPORT] = SECTION(transport, "Who moves messages."),
    [DTR_SECTION_PLANNER] = SECTION(planner, "Who decides."),
};

const struct dtr_section *dtr_section(enum dtr_section_id id) {
    return &sections[id];
}

const struct dtr_section *dtr_section_find(const char *name) {
    for (size_t i = 0; i < DTR_SECTIONS; i++)
        if (!strcmp(sections[i].name, name))
            return &sections[i];
    return NULL;
}
