/* SPDX-License-Identifier: Apache-2.0 */
/* Lines and names of Cray's pm_counters (HPE, "User Access to Compute Node Power Data"). */
#include "sources/cray_pm.h"

#include <errno.h>
#include <stdio.h>

#include "sources/socket_package.h"

static int parse_number(struct text word, uint64_t *ret)
{
    int r = parse_u64(word, ret);

    return r == -EINVAL ? -EPROTO : r;
}

int cray_pm_parse(struct text t, const char *unit, struct cray_pm_value *ret)
{
    struct cray_pm_value out = {0};
    struct text rest = text_trim(t), word;

    if (!scan_word(&rest, &word))
        return -ENODATA;
    int r = parse_number(word, &out.value);
    if (r < 0)
        return r;
    if (!scan_word(&rest, &word) || !text_is(word, unit))
        return -EPROTO;
    if (scan_word(&rest, &word)) {
        r = parse_number(word, &out.sampled_us);
        if (r < 0)
            return r;
        if (!scan_word(&rest, &word) || !text_is(word, "us") || scan_word(&rest, &word))
            return -EPROTO;
    }
    *ret = out;
    return 0;
}

struct part {
    const char *prefix;
    enum domain_kind kind;
    bool socket;       /* the number is a socket's */
    bool may_be_whole; /* without a number it counts all of them */
};

static const struct part parts[] = {
    {"cpu", DOMAIN_PACKAGE, true, true},
    {"memory", DOMAIN_DRAM, true, true},
    {"accel", DOMAIN_GPU, false, false},
};

bool cray_pm_domain(const char *file, const struct topology *topology, struct domain *ret)
{
    struct domain domain = {
        .kind = DOMAIN_HOST, .quality = QUALITY_MEASURED, .package = -1, .die = -1, .node = -1, .name = "host-cray"};
    struct text name = text_of(file);

    if (text_is(name, "energy")) {
        *ret = domain;
        return true;
    }
    if (!text_ends(name, "_energy"))
        return false;
    name.n -= sizeof("_energy") - 1;
    for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
        const struct part *part = &parts[i];
        size_t len = strlen(part->prefix);
        uint64_t number;
        if (!text_starts(name, part->prefix))
            continue;
        domain.kind = part->kind;
        struct text digits = {name.p + len, name.n - len};
        if (digits.n == 0) {
            snprintf(domain.name, sizeof(domain.name), "%s-cray", part->prefix);
            *ret = domain;
            return part->may_be_whole;
        }
        if (parse_u64(digits, &number) < 0 || number > 4095) /* no node has more of anything than CPUs */
            return false;
        if (part->socket)
            domain.package = socket_package(topology, (uint32_t)number);
        snprintf(domain.name, sizeof(domain.name), "%s-%u-cray", part->prefix, (unsigned)number);
        *ret = domain;
        return true;
    }
    return false;
}
