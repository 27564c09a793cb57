/* SPDX-License-Identifier: Apache-2.0 */
/* Energy counters of a Cray EX or XC node (/sys/cray/pm_counters). The blade controller samples ten times a second and
 * counts whole joules. Its set of files changes together: the file "freshness" tells whether it did while we read. */
#include "sources/cray_pm.h"

#include <errno.h>
#include <stdio.h>

#include "model/quantity.h"
#include "sources/registry.h"

#define PM_DIR "cray/pm_counters"

/* node, CPUs, memory, eight accelerators of two dies each, and as much again */
#define COUNTERS_MAX 40

/* Reads once, and again after a change: the set lasts 100 ms and takes well under one to read. */
#define READS_MAX 4

/* A counter that stands still for as long has a controller that does not answer; the next sample is due in 0.1 s. */
#define STALE_AFTER_NS (30 * NS_PER_SEC)

#define FILE_MAX 32 /* "memory_energy", "accel15_energy" */
#define LINE_LEN 96 /* two numbers of 64 bits and two units */

struct counter {
    char path[sizeof(PM_DIR) + 1 + FILE_MAX];
    uint64_t sampled_us; /* of the last one given, 0: none */
    uint64_t given_ns;   /* monotonic, when that was */
};

struct sample {
    int status;
    struct cray_pm_value value;
};

struct cray_pm {
    const struct fsroot *sys;
    const struct topology *topology; /* while opening only */
    size_t n;
    struct domain domains[COUNTERS_MAX];
    struct counter counters[COUNTERS_MAX];
    struct sample samples[COUNTERS_MAX];
};

static int explain(const struct cray_pm *cray, const char *path, int code, struct carnot_err *err)
{
    const char *root = cray->sys->path;

    if (code == -EACCES || code == -EPERM)
        return carnot_err_set(err, code, "no right to read %s/%s: run as root, or give the program CAP_DAC_READ_SEARCH",
                              root, path);
    if (code == -EAGAIN)
        return carnot_err_set(err, code,
                              "the counters in %s/" PM_DIR " changed during each of %d readings; nothing is lost, the "
                              "next reading brings it",
                              root, READS_MAX);
    if (code == -ESTALE)
        return carnot_err_set(err, code,
                              "%s/%s has shown the same sample for over %u s: ask the administrator whether the blade "
                              "controller runs",
                              root, path, (unsigned)(STALE_AFTER_NS / NS_PER_SEC));
    if (code == -EPROTO || code == -ERANGE)
        return carnot_err_set(err, code, "%s/%s holds something other than \"NUMBER J TIME us\"", root, path);
    return carnot_err_errno(err, code, "cannot read %s/%s", root, path);
}

static int take_file(const char *name, unsigned char d_type, void *userdata)
{
    struct cray_pm *cray = userdata;
    struct domain domain;

    if (strlen(name) >= FILE_MAX || !cray_pm_domain(name, cray->topology, &domain))
        return 0;
    if (cray->n == COUNTERS_MAX)
        return -E2BIG;
    cray->domains[cray->n] = domain;
    snprintf(cray->counters[cray->n].path, sizeof(cray->counters[0].path), PM_DIR "/%s", name);
    cray->n++;
    return 0;
}

/* Insertion into the order host, cpu, cpu-0, ..., memory, accel-0, ...: domains and counters go together. */
static bool comes_before(const struct domain *a, const struct domain *b)
{
    static const int rank[] = {[DOMAIN_HOST] = 0, [DOMAIN_PACKAGE] = 1, [DOMAIN_DRAM] = 2, [DOMAIN_GPU] = 3};

    if (a->kind != b->kind)
        return rank[a->kind] < rank[b->kind];
    return strlen(a->name) != strlen(b->name) ? strlen(a->name) < strlen(b->name) : strcmp(a->name, b->name) < 0;
}

static void sort(struct cray_pm *cray)
{
    for (size_t i = 1; i < cray->n; i++) {
        for (size_t k = i; k > 0 && comes_before(&cray->domains[k], &cray->domains[k - 1]); k--) {
            struct domain domain = cray->domains[k];
            struct counter counter = cray->counters[k];
            cray->domains[k] = cray->domains[k - 1];
            cray->counters[k] = cray->counters[k - 1];
            cray->domains[k - 1] = domain;
            cray->counters[k - 1] = counter;
        }
    }
}

static int find(const struct source_args *args, struct cray_pm *cray, struct carnot_err *err)
{
    const char *root = args->env->sys.path;

    cray->sys = &args->env->sys;
    cray->topology = args->topology;
    int r = fsroot_list(cray->sys, PM_DIR, take_file, cray, NULL);
    if (r == -E2BIG)
        return carnot_err_set(err, r,
                              "%s/" PM_DIR " has more than the %d counters that Carnot handles; please report "
                              "the machine",
                              root, COUNTERS_MAX);
    if (r == -EACCES || r == -EPERM)
        return explain(cray, PM_DIR, r, err);
    if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -ENODEV)
        return carnot_err_errno(err, r, "cannot list %s/" PM_DIR, root);
    if (cray->n == 0)
        return carnot_err_set(err, ENODEV,
                              "no energy counter below %s/" PM_DIR ": only nodes of HPE Cray systems have "
                              "them",
                              root);
    sort(cray);

    int first_error = 0;
    size_t failed = 0;
    for (size_t i = 0; i < cray->n; i++) {
        _cleanup_close_ int fd = fsroot_openat(cray->sys, cray->counters[i].path, 0, NULL);
        if (fd >= 0)
            return 0;
        if (!first_error)
            failed = i;
        first_error = first_error ? first_error : fd;
    }
    return explain(cray, cray->counters[failed].path, first_error, err);
}

static int cray_probe(const struct source_args *args, struct carnot_err *err)
{
    _cleanup_free_ struct cray_pm *cray = calloc(1, sizeof(*cray));

    if (!cray)
        return carnot_err_set(err, ENOMEM, "out of memory while looking for Cray's counters");
    return find(args, cray, err);
}

static void *cray_close(void *self)
{
    free(self);
    return NULL;
}

static int cray_open(const struct source_args *args, void **ret_self, struct carnot_err *err)
{
    _cleanup_free_ struct cray_pm *cray = calloc(1, sizeof(*cray));

    if (!cray)
        return carnot_err_set(err, ENOMEM, "out of memory for Cray's counters");
    int r = find(args, cray, err);
    if (r < 0)
        return r;
    cray->topology = NULL;
    for (size_t i = 0; i < cray->n; i++) {
        cray->domains[i].source = source_cray_pm.name;
        cray->domains[i].lasting = true;
    }
    *ret_self = TAKE_PTR(cray);
    return 0;
}

static size_t cray_domains(const void *self, const struct domain **ret_domains)
{
    const struct cray_pm *cray = self;

    *ret_domains = cray->domains;
    return cray->n;
}

/* Kept as text: it is only compared. Absent on old controllers, which is the same before and after. */
static void read_freshness(const struct cray_pm *cray, char *out, size_t size)
{
    if (fsroot_read_line(cray->sys, PM_DIR "/freshness", out, size, NULL) < 0)
        out[0] = '\0';
}

static struct sample read_counter(const struct cray_pm *cray, const struct counter *counter)
{
    char line[LINE_LEN];
    struct sample sample = {0};
    ssize_t len = fsroot_read(cray->sys, counter->path, line, sizeof(line), NULL);

    if (len < 0)
        sample.status = (int)len;
    else
        sample.status = cray_pm_parse((struct text){line, (size_t)len}, "J", &sample.value);
    if (sample.status == 0 && sample.value.value > UINT64_MAX / UJ_PER_J)
        sample.status = -ERANGE;
    return sample;
}

/* All of one set: parts of one moment and a node of the next would make the rest of the node jump. */
static int read_set(struct cray_pm *cray)
{
    for (int i = 0; i < READS_MAX; i++) {
        char before[LINE_LEN], after[LINE_LEN];

        read_freshness(cray, before, sizeof(before));
        for (size_t k = 0; k < cray->n; k++)
            cray->samples[k] = read_counter(cray, &cray->counters[k]);
        read_freshness(cray, after, sizeof(after));
        if (strcmp(before, after) == 0)
            return 0;
    }
    return -EAGAIN;
}

/* The sample that was given before is nothing new. Files without a time are always taken. */
static int judge(struct counter *counter, const struct sample *sample, uint64_t now_ns)
{
    if (sample->status < 0)
        return sample->status;
    if (sample->value.sampled_us && sample->value.sampled_us == counter->sampled_us)
        return now_ns - counter->given_ns > STALE_AFTER_NS ? -ESTALE : -ENODATA;
    counter->sampled_us = sample->value.sampled_us;
    counter->given_ns = now_ns;
    return 0;
}

static int cray_read(void *self, uint64_t now_mono_ns, struct reading *out, struct carnot_err *err)
{
    struct cray_pm *cray = self;
    bool explained = false;
    int torn = read_set(cray);

    for (size_t i = 0; i < cray->n; i++) {
        struct counter *counter = &cray->counters[i];
        int status = torn < 0 ? torn : judge(counter, &cray->samples[i], now_mono_ns);

        out[i] = (struct reading){.domain = (uint32_t)i, .status = status, .mono_ns = now_mono_ns};
        if (status == 0)
            out[i].counter_uj = cray->samples[i].value.value * UJ_PER_J;
        if (status < 0 && status != -ENODATA && !explained) {
            explain(cray, counter->path, status, err);
            explained = true;
        }
    }
    return (int)cray->n;
}

static void cray_describe(const void *self, struct buf *out)
{
    const struct cray_pm *cray = self;

    for (size_t i = 0; i < cray->n; i++)
        buf_printf(out, "%s: %s, whole joules, ten samples a second\n", cray->domains[i].name, cray->counters[i].path);
}

const struct source_ops source_cray_pm = {
    .name = "cray_pm",
    .summary = "energy counters of HPE Cray nodes (/sys/cray/pm_counters)",
    .flags = SOURCE_ON_BY_DEFAULT,
    .min_interval_ns = 100 * NS_PER_MS, /* raw_scan_hz is 10 */
    .probe = cray_probe,
    .open = cray_open,
    .domains = cray_domains,
    .read = cray_read,
    .describe = cray_describe,
    .close = cray_close,
};
