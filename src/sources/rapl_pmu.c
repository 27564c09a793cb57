/* SPDX-License-Identifier: Apache-2.0 */
/* See rapl_pmu.h. */
#include "sources/rapl_pmu.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#define DEVICES_DIR "bus/event_source/devices"

/* "bus/event_source/devices/power_core/events/energy-cores.scale" and room. */
#define PMU_PATH_MAX 96

/* 2^64 counts must fit 64 bits of microjoules; and half of them be more than anybody draws between two reads (2^-40 J:
 * 8 MJ), since a larger step counts as one back. Every kernel so far says 32. */
#define SHIFT_MIN 20
#define SHIFT_MAX 40

/* perf's 8 bits of event number (format/event: config:0-7) */
#define EVENT_MAX 0xff

static const struct {
    const char *name;
    enum domain_kind kind;
} known_events[] = {
    {"energy-pkg", DOMAIN_PACKAGE}, {"energy-cores", DOMAIN_CORE}, {"energy-gpu", DOMAIN_UNCORE},
    {"energy-ram", DOMAIN_DRAM},    {"energy-psys", DOMAIN_PSYS},  {"energy-core", DOMAIN_CORE},
};

static bool pmu_path(char *out, const char *pmu, const char *file, const char *suffix)
{
    int n = snprintf(out, PMU_PATH_MAX, DEVICES_DIR "/%s/%s%s", pmu, file, suffix);

    return n > 0 && n < PMU_PATH_MAX;
}

int rapl_pmu_parse_event(struct text text, uint64_t *ret_config)
{
    struct text value = text_trim(text);
    uint64_t config;

    if (!text_starts(value, "event="))
        return -EINVAL;
    value.p += 6;
    value.n -= 6;
    int r = parse_hex64(value, &config);
    if (r < 0)
        return r;
    if (config > EVENT_MAX)
        return -ERANGE;
    *ret_config = config;
    return 0;
}

int rapl_pmu_parse_scale(struct text text, uint32_t *ret_shift)
{
    double scale;
    int exponent;

    int r = parse_f64(text_trim(text), &scale);
    if (r < 0)
        return r;
    /* A power of two is 0.5 * 2^exponent, exactly: decimal 2^-n has few enough digits to be read to the last bit. */
    if (!(scale > 0) || frexp(scale, &exponent) != 0.5 || exponent > 1 - SHIFT_MIN || exponent < 1 - SHIFT_MAX)
        return -ERANGE;
    *ret_shift = (uint32_t)(1 - exponent);
    return 0;
}

static int read_text(const struct fsroot *sys, const char *pmu, const char *file, const char *suffix, char *text,
                     size_t size)
{
    char path[PMU_PATH_MAX];
    ssize_t n = pmu_path(path, pmu, file, suffix) ? fsroot_read_line(sys, path, text, size, NULL) : -ENAMETOOLONG;

    return n < 0 ? (int)n : 0;
}

static int read_event(const struct fsroot *sys, const char *pmu, size_t known, struct rapl_pmu_event *ret_event)
{
    char file[48], text[64];
    struct rapl_pmu_event event = {.kind = known_events[known].kind};

    snprintf(file, sizeof(file), "events/%s", known_events[known].name);
    int r = read_text(sys, pmu, file, "", text, sizeof(text));
    if (r >= 0)
        r = rapl_pmu_parse_event(text_of(text), &event.config);
    if (r >= 0)
        r = read_text(sys, pmu, file, ".scale", text, sizeof(text));
    if (r >= 0)
        r = rapl_pmu_parse_scale(text_of(text), &event.shift);
    if (r >= 0)
        r = read_text(sys, pmu, file, ".unit", text, sizeof(text));
    if (r < 0)
        return r;
    if (!text_is(text_of(text), "Joules"))
        return -EINVAL;
    *ret_event = event;
    return 0;
}

static int read_mask(const struct fsroot *sys, const char *pmu, char *text, uint64_t *mask)
{
    char path[PMU_PATH_MAX];

    memset(mask, 0, RAPL_PMU_MASK_WORDS * sizeof(*mask));
    if (!pmu_path(path, pmu, "cpumask", ""))
        return -ENAMETOOLONG;
    ssize_t n = fsroot_read(sys, path, text, RAPL_PMU_MASK_TEXT, NULL);
    if (n < 0)
        return (int)n;
    return parse_cpulist(text_trim((struct text){text, (size_t)n}), mask, CPUS_MAX);
}

int rapl_pmu_read(const struct fsroot *sys, const char *name, struct rapl_pmu *ret_pmu, struct carnot_err *err)
{
    struct rapl_pmu pmu = {.name = name};
    char path[PMU_PATH_MAX];
    uint64_t type = 0;

    if (!pmu_path(path, name, "type", "") || !fsroot_exists(sys, path))
        return carnot_err_set(err, ENODEV, "no PMU \"%s\" below %s/" DEVICES_DIR, name, sys->path);
    int r = fsroot_read_u64(sys, path, &type, NULL);
    if (r < 0 || type > UINT32_MAX)
        return carnot_err_set(err, EPROTO, "%s/%s holds no PMU type", sys->path, path);
    pmu.type = (uint32_t)type;
    r = read_mask(sys, name, pmu.mask_text, pmu.mask);
    if (r < 0)
        return carnot_err_errno(err, r, "cannot tell from %s/" DEVICES_DIR "/%s/cpumask which CPUs to ask", sys->path,
                                name);
    for (size_t i = 0; i < ELEMENTSOF(known_events) && pmu.n_events < RAPL_PMU_EVENTS_MAX; i++)
        pmu.n_events += read_event(sys, name, i, &pmu.events[pmu.n_events]) == 0;
    if (pmu.n_events == 0)
        return carnot_err_set(err, EPROTO,
                              "%s/" DEVICES_DIR "/%s/events names no energy event in joules; please report the machine",
                              sys->path, name);
    *ret_pmu = pmu;
    return 0;
}

int rapl_pmu_refresh_mask(const struct fsroot *sys, struct rapl_pmu *pmu)
{
    char text[RAPL_PMU_MASK_TEXT];
    uint64_t mask[RAPL_PMU_MASK_WORDS];

    int r = read_mask(sys, pmu->name, text, mask);
    if (r < 0)
        return r;
    if (strcmp(text, pmu->mask_text) == 0)
        return 0;
    memcpy(pmu->mask, mask, sizeof(mask));
    memcpy(pmu->mask_text, text, strlen(text) + 1);
    return 1;
}
