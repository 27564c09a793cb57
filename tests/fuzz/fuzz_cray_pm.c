/* SPDX-License-Identifier: Apache-2.0 */
/* The first line as a counter's file name, the rest as its contents. */
#include <string.h>

#include "check.h"
#include "sources/cray_pm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = {(const char *)data, size}, line = {"", 0};
    struct cray_pm_value value = {1, 2}, again;
    struct domain domain;
    char text[96];

    scan_line(&rest, &line);
    snprintf(text, sizeof(text), "%.*s", (int)min_size(line.n, sizeof(text)), line.n ? line.p : "");
    if (cray_pm_domain(text, NULL, &domain)) {
        CHECK(domain.name[0] && strspn(domain.name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(domain.name));
        CHECK(domain.package >= -1);
    }
    if (cray_pm_parse(rest, "J", &value) < 0) {
        CHECK(value.value == 1 && value.sampled_us == 2);
        return 0;
    }
    snprintf(text, sizeof(text), "%llu J %llu us\n", (unsigned long long)value.value,
             (unsigned long long)value.sampled_us);
    CHECK(cray_pm_parse(text_of(text), "J", &again) == 0);
    CHECK(again.value == value.value && again.sampled_us == value.sampled_us);
    return 0;
}
