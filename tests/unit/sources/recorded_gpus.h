/* SPDX-License-Identifier: Apache-2.0 */
/* GPUs and their indexes in recorded expositions (golden/exporter/): what an inventory must find too. */
#ifndef CARNOT_TESTS_SOURCES_RECORDED_GPUS_H
#define CARNOT_TESTS_SOURCES_RECORDED_GPUS_H

#include "recorded.h"

#include "base/parse.h"

struct recorded_gpu {
    char uuid[64];     /* of the whole GPU; AMD: the board's serial number */
    char instance[16]; /* GPU instance or partition; "" for a whole GPU */
    uint64_t index;
    uint64_t units; /* multiprocessors; 0: the line tells none */
};

static inline void recorded_label(struct text line, const char *name, char *out, size_t size)
{
    struct text part, key;

    out[0] = '\0';
    scan_until(&line, '{', &part);
    while (scan_until(&line, ',', &part)) {
        if (!scan_until(&part, '=', &key) || !text_is(key, name) || part.n < 2)
            continue;
        part = (struct text){part.p + 1, part.n - 1};
        for (size_t n = 0; n < part.n && part.p[n] != '"' && n + 1 < size; n++) {
            out[n] = part.p[n];
            out[n + 1] = '\0';
        }
        return;
    }
}

/* Calls check for each GPU of that exposition that has an index and whose uuid begins so; returns how many there were,
 * -1 when there is no exposition. */
static inline int recorded_gpus(const char *file, const char *uuid_begin,
                                void (*check)(const struct recorded_gpu *gpu, void *userdata), void *userdata)
{
    char *exposition = recorded_read(file);
    struct text rest = text_of(exposition ? exposition : ""), line;
    int n = 0;

    while (scan_line(&rest, &line)) {
        struct recorded_gpu gpu = {0};
        char index[16];
        bool units = text_starts(line, "ceems_compute_unit_gpu_sm_count{");

        if (!units && !text_starts(line, "ceems_compute_unit_gpu_index_flag{"))
            continue;
        recorded_label(line, "gpuuuid", gpu.uuid, sizeof(gpu.uuid));
        recorded_label(line, "gpuiid", gpu.instance, sizeof(gpu.instance));
        recorded_label(line, "index", index, sizeof(index));
        if (!text_starts(text_of(gpu.uuid), uuid_begin) || parse_u64(text_of(index), &gpu.index) < 0)
            continue;
        for (struct text value = line; units;) {
            struct text word;
            if (!scan_word(&value, &word))
                break;
            parse_u64(word, &gpu.units);
        }
        check(&gpu, userdata);
        n++;
    }
    bool there = exposition;
    free(exposition);
    return there ? n : -1;
}

#endif
