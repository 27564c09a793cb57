/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_amd.h. */
#include "fake_amd.h"

#include <fcntl.h>

#include "base/parse.h"

#define SCRIPT_MAX 16384

static const char *const names[FAKE_FIELDS] = {
    "domain",    "bus",       "device", "function",      "unique",       "socket",     "steps",     "step-nj",
    "current-w", "average-w", "cpu",    "energy-result", "power-result", "bdf-result", "id-result",
};

static void parse_gpu(struct fake_amd *amd, struct text line)
{
    struct text which, key;
    uint64_t index, value;

    if (!scan_word(&line, &which) || !scan_word(&line, &key) || scan_u64(&line, &value) < 0)
        return;
    for (size_t i = 0; i < FAKE_AMD_GPUS_MAX; i++)
        for (size_t f = 0; f < FAKE_FIELDS; f++)
            if (text_is(key, names[f]) && (text_is(which, "*") || (parse_u64(which, &index) == 0 && index == i)))
                amd->gpu[i][f] = value;
}

static void parse_line(struct fake_amd *amd, struct text line)
{
    struct text key;
    uint64_t value;

    if (!scan_word(&line, &key))
        return;
    if (text_is(key, "gpu"))
        parse_gpu(amd, line);
    else if (scan_u64(&line, &value) < 0)
        return;
    else if (text_is(key, "gpus"))
        amd->gpus = min_u64(value, FAKE_AMD_GPUS_MAX);
    else if (text_is(key, "init"))
        amd->init = value;
    else if (text_is(key, "list"))
        amd->list = value;
    else if (text_is(key, "release"))
        amd->release = value;
}

void fake_amd_load(struct fake_amd *ret)
{
    const char *path = getenv(FAKE_AMD_SCRIPT);
    char text[SCRIPT_MAX];
    struct text rest = {text, 0}, line;

    *ret = (struct fake_amd){.release = 26};
    for (size_t i = 0; i < FAKE_AMD_GPUS_MAX; i++) {
        for (size_t f = 0; f < FAKE_FIELDS; f++)
            ret->gpu[i][f] = FAKE_AMD_UNSET;
        ret->gpu[i][FAKE_DOMAIN] = ret->gpu[i][FAKE_DEVICE] = ret->gpu[i][FAKE_FUNCTION] = 0;
        ret->gpu[i][FAKE_BUS] = i + 1;
        ret->gpu[i][FAKE_SOCKET] = i;
        ret->gpu[i][FAKE_STEP_NJ] = 15300;
        ret->gpu[i][FAKE_CPU] = 0;
        ret->gpu[i][FAKE_ENERGY_RESULT] = ret->gpu[i][FAKE_POWER_RESULT] = 0;
        ret->gpu[i][FAKE_BDF_RESULT] = ret->gpu[i][FAKE_ID_RESULT] = 0;
    }
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    rest.n = n > 0 ? (size_t)n : 0;
    while (scan_line(&rest, &line))
        parse_line(ret, line);
}
