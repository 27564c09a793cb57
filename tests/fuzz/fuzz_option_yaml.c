/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration files: whatever they hold, settings stay within their bounds and each refusal has a sentence with the
 * file's name. */
#include <errno.h>
#include <string.h>

#include "base/option.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct settings {
    bool verbose;
    uint64_t workers, interval_ns, memory_bytes;
    double pue;
    const char *address;
    int format;
    struct option_list zones;
};

static const char *const format_names[] = {"text", "json", NULL};

#define AT(field) .offset = offsetof(struct settings, field)
static const struct carnot_option options[] = {
    {.name = "verbose", .type = OPTION_BOOL, AT(verbose)},
    {.name = "workers", .type = OPTION_U64, AT(workers), .def = "2", .min = 1, .max = 8},
    {.name = "interval", .type = OPTION_DURATION, AT(interval_ns), .def = "1s", .min = 1000},
    {.name = "memory.max", .type = OPTION_BYTES, AT(memory_bytes), .def = "1MiB"},
    {.name = "carbon.pue", .type = OPTION_F64, AT(pue), .def = "1.2", .fmin = 1, .fmax = 3},
    {.name = "web.address", .type = OPTION_STRING, AT(address), .def = ":1"},
    {.name = "web.format", .type = OPTION_ENUM, AT(format), .choices = format_names},
    {.name = "web.format.zones", .type = OPTION_LIST, AT(zones), .def = "core"},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings settings;
    const struct option_group group = {.options = options, .count = ELEMENTSOF(options), .settings = &settings};
    struct option_set set;
    struct carnot_err err = CARNOT_ERR_INIT;

    option_set_init(&set, &group, 1);
    CHECK(option_defaults(&set, &err) == 0);
    int r = option_parse_yaml(&set, "c.yaml", (const char *)data, size, &err);
    CHECK(r == 0 || r == -EINVAL || r == -ENOMEM || r == -E2BIG);
    CHECK(err.code == -r);
    CHECK(r == 0 || strncmp(err.msg, "c.yaml:", 7) == 0);

    CHECK(settings.workers >= 1 && settings.workers <= 8);
    CHECK(settings.interval_ns >= 1000);
    CHECK(settings.pue >= 1 && settings.pue <= 3);
    CHECK(settings.address);
    CHECK(settings.format == 0 || settings.format == 1);
    CHECK(settings.zones.count <= OPTION_LIST_MAX);
    for (size_t i = 0; i < settings.zones.count; i++)
        CHECK(strlen(settings.zones.items[i]) <= size + 4);
    option_set_done(&set);
    return 0;
}
