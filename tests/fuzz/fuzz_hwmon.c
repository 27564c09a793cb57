/* SPDX-License-Identifier: Apache-2.0 */
/* Chips, devices and labels of sensors from the input's lines: domain names must come out unique and plain; and the
 * first line as a sensor's contents. */
#include <string.h>

#include "check.h"
#include "sources/hwmon_sensors.h"

#define SENSORS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void copy_line(char *out, size_t size, struct text *rest)
{
    struct text line = {"", 0};

    scan_line(rest, &line);
    snprintf(out, size, "%.*s", (int)min_size(line.n, size), line.n ? line.p : "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = {(const char *)data, size}, line = {"", 0};
    struct hwmon_sensor sensors[SENSORS] = {0};
    struct domain domains[SENSORS];
    uint64_t value;

    scan_line(&rest, &line);
    hwmon_parse_value(line, true, &value);
    if (hwmon_parse_value(line, false, &value) == 0)
        CHECK(value <= HWMON_MAX_UW);
    for (unsigned i = 0; i < SENSORS; i++) {
        copy_line(sensors[i].chip, sizeof(sensors[i].chip), &rest);
        copy_line(sensors[i].device, sizeof(sensors[i].device), &rest);
        copy_line(sensors[i].label, sizeof(sensors[i].label), &rest);
        sensors[i].number = i / 2;
        sensors[i].channel = i % 2 + 1;
        sensors[i].energy = strlen(sensors[i].label) % 2;
        sensors[i].has_cap = i % 2;
    }
    hwmon_sensors_domains(sensors, SENSORS, NULL, domains);
    for (int i = 0; i < SENSORS; i++) {
        for (int k = 0; k < i; k++)
            CHECK(strcmp(domains[i].name, domains[k].name) != 0);
        CHECK(!strpbrk(domains[i].name, "\"\\\n{} "));
        CHECK(domains[i].package >= -1);
    }
    domains_mark_total(domains, SENSORS);
    return 0;
}
