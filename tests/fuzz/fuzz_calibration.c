/* SPDX-License-Identifier: Apache-2.0 */
/* Any text is either a calibration or an error with a sentence that names the file. A calibration is printable, within
 * bounds, can be asked everything, and what is written of it is read again as the same. */
#include <string.h>

#include "check.h"
#include "model/calibration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_printable(const char *s)
{
    for (; *s; s++)
        CHECK(*s >= ' ' && *s <= '~');
}

static void check_bounds(const struct calibration *c)
{
    check_printable(c->method);
    check_printable(c->at);
    check_printable(c->cpu_model);
    CHECK(c->n_domains >= 1 && c->n_domains <= DOMAINS_MAX);
    CHECK(c->threads <= CPUS_MAX && c->packages <= CPUS_MAX);
    for (uint32_t i = 0; i < c->n_domains; i++) {
        const struct calibration_domain *d = &c->domains[i];

        check_printable(d->name);
        CHECK(d->name[0]);
        CHECK(d->kind <= DOMAIN_REST && d->package >= -1);
        CHECK(d->idle_uw <= CALIBRATION_MAX_UW && d->loaded_uw <= CALIBRATION_MAX_UW);
        CHECK(d->idle_uw || d->loaded_uw);
        CHECK(d->idle_busy_ppm <= 1000000 || d->idle_busy_ppm == CALIBRATION_BUSY_UNKNOWN);
    }
}

static void ask(const struct calibration *c)
{
    struct calibration_power power;
    uint64_t idle_uw, loaded_uw;
    struct buf text;

    for (int package = -1; package < 3; package++)
        if (calibration_package(c, package, 1, 3, &power))
            CHECK(power.idle_uw > 0 && (power.loaded_uw == 0 || power.loaded_uw >= power.idle_uw - 1));
    if (calibration_memory(c, &power))
        CHECK(power.idle_uw > 0 && (power.loaded_uw == 0 || power.loaded_uw >= power.idle_uw));
    calibration_node(c, &idle_uw, &loaded_uw);
    buf_init(&text, 1 << 16);
    calibration_describe(c, &text);
    CHECK(buf_error(&text) == 0);
    buf_done(&text);
}

static void write_and_read(const struct calibration *c)
{
    static struct calibration again;
    struct carnot_err err = CARNOT_ERR_INIT;
    struct buf text;

    for (int format = 0; format < CALIBRATION_FORMATS; format++) {
        buf_init(&text, 1 << 20);
        int r = calibration_write(c, (enum calibration_format)format, &text, &err);
        CHECK(r == 0 || err.msg[0]);
        if (r == 0 && format == CALIBRATION_CARNOT) {
            memset(&again, 0, sizeof(again));
            CHECK(calibration_parse((struct text){text.data, text.len}, "again", &again, &err) == 0);
            CHECK(again.n_domains == c->n_domains);
            for (uint32_t i = 0; i < c->n_domains; i++) {
                CHECK(again.domains[i].idle_uw == c->domains[i].idle_uw);
                CHECK(again.domains[i].loaded_uw == c->domains[i].loaded_uw);
                CHECK(strcmp(again.domains[i].name, c->domains[i].name) == 0);
            }
        }
        buf_done(&text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct calibration c;
    struct carnot_err err = CARNOT_ERR_INIT;
    int package_of[DOMAINS_MAX];

    memset(&c, 0, sizeof(c));
    int r = calibration_parse((struct text){(const char *)data, size}, "the file", &c, &err);
    if (r < 0) {
        CHECK(err.code == -r && strncmp(err.msg, "the file", 8) == 0);
        return 0;
    }
    check_bounds(&c);
    ask(&c);
    write_and_read(&c);
    if (c.format != CALIBRATION_ENERGAT)
        return 0;
    for (int i = 0; i < DOMAINS_MAX; i++)
        package_of[i] = 1000 - i;
    calibration_renumber(&c, package_of);
    check_bounds(&c);
    return 0;
}
