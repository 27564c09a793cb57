/* SPDX-License-Identifier: Apache-2.0 */
/* What programs print of a BMC's power. The texts here have the form that ipmitool 1.8.19, ipmi-dcmi 1.6.10 and
 * ipmiutil 3.18 print for a simulated BMC (tests/system/test_ipmi.py runs them); recorded ones lie beside the checkout,
 * if at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "sources/ipmi_text.h"

static const char dcmi_text[] = "Current Power                        : 250 Watts\n"
                                "Minimum Power over sampling duration : 90 watts\n"
                                "Maximum Power over sampling duration : 400 watts\n"
                                "Average Power over sampling duration : 245 watts\n"
                                "Time Stamp                           : 11/21/2026 - 02:51:56\n"
                                "Statistics reporting time period     : 1000 milliseconds\n"
                                "Power Measurement                    : Active\n";

/* The missing newline after the time stamp is the program's own. */
static const char tool_text[] = "\n    Instantaneous power reading:                   250 Watts\n"
                                "    Minimum during sampling period:                 90 Watts\n"
                                "    Maximum during sampling period:                400 Watts\n"
                                "    Average power reading over sample period:      245 Watts\n"
                                "    IPMI timestamp:                           11/21/26 02:50:36 UTC    "
                                "Sampling period:                          00000001 Seconds.\n"
                                "    Power reading state is:                   activated\n\n\n";

static const char util_text[] = "ipmiutil dcmi ver 3.18\n-- BMC version 9.08, IPMI version 2.0 \n"
                                "DCMI Version:           \t1.5\nDCMI Power Management:   \tSupported\n"
                                "  Current Power:                   250 Watts\n"
                                "  Min Power over sample duration:  90 Watts\n"
                                "  Max Power over sample duration:  400 Watts\n"
                                "  Avg Power over sample duration:  245 Watts\n"
                                "  Timestamp:                       Sat Nov 21 02:52:28 2026\n\n"
                                "  Sampling period:                 1000 ms\n"
                                "  Power reading state is:          active\n"
                                "  Power Limit:       896 Watts (inactive)\n"
                                "  Sampling period:   1472 sec\n"
                                "ipmiutil dcmi, Invalid Command";

static void usual(void **state)
{
    static const struct {
        enum ipmi_dialect dialect;
        const char *text;
    } cases[] = {{IPMI_TEXT_DCMI, dcmi_text}, {IPMI_TEXT_TOOL, tool_text}, {IPMI_TEXT_UTIL, util_text}};

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct ipmi_power p = {0};

        assert_int_equal(ipmi_text_parse(cases[i].dialect, text_of(cases[i].text), &p), 0);
        assert_int_equal(p.power_uw, 250000000);
        assert_int_equal(p.min_uw, 90000000);
        assert_int_equal(p.max_uw, 400000000);
        assert_int_equal(p.mean_uw, 245000000);
        assert_int_equal(p.period_ms, 1000);
        assert_int_not_equal(p.stamp, 0);
        for (size_t k = 0; k < ELEMENTSOF(cases); k++) /* each is only its own */
            assert_int_equal(ipmi_text_parse(cases[k].dialect, text_of(cases[i].text), &p), k == i ? 0 : -EPROTO);
    }
}

/* A text with one part replaced; in one of two static rooms. */
static struct text changed(const char *text, const char *part, const char *by)
{
    static char rooms[2][2048];
    static unsigned next;
    char *room = rooms[next++ % 2];
    const char *at = strstr(text, part);

    assert_non_null(at);
    int n = snprintf(room, sizeof(rooms[0]), "%.*s%s%s", (int)(at - text), text, by, at + strlen(part));
    assert_in_range(n, 0, sizeof(rooms[0]) - 1);
    return text_of(room);
}

static void stamps(void **state)
{
    struct ipmi_power a, b;

    assert_int_equal(ipmi_text_parse(IPMI_TEXT_UTIL, text_of(util_text), &a), 0);
    assert_int_equal(ipmi_text_parse(IPMI_TEXT_UTIL, changed(util_text, "250 Watts", "260 Watts"), &b), 0);
    assert_int_equal(a.stamp, b.stamp);
    assert_int_equal(ipmi_text_parse(IPMI_TEXT_UTIL, changed(util_text, "02:52:28", "02:52:29"), &b), 0);
    assert_int_not_equal(a.stamp, b.stamp);
    /* Two blanks inside a date are no end of it. */
    assert_int_equal(ipmi_text_parse(IPMI_TEXT_UTIL, changed(util_text, "Nov 21 02:52:28", "Nov  1 02:52:28"), &a), 0);
    assert_int_equal(ipmi_text_parse(IPMI_TEXT_UTIL, changed(util_text, "Nov 21 02:52:28", "Nov  1 02:52:29"), &b), 0);
    assert_int_not_equal(a.stamp, b.stamp);
}

static void faults(void **state)
{
    static const struct {
        enum ipmi_dialect dialect;
        const char *text, *part, *by;
        int result;
    } cases[] = {
        {IPMI_TEXT_DCMI, dcmi_text, ": Active", ": Not Available", -ENODATA},
        {IPMI_TEXT_TOOL, tool_text, "activated", "deactivated", -ENODATA},
        {IPMI_TEXT_UTIL, util_text, " active\n", " not active\n", -ENODATA},
        {IPMI_TEXT_UTIL, util_text, " active\n", " active again\n", -ENODATA},
        {IPMI_TEXT_DCMI, dcmi_text, "250 Watts", "0 Watts", -ENODATA},
        {IPMI_TEXT_TOOL, tool_text, "250 Watts", "65535 Watts", -ENODATA},
        {IPMI_TEXT_DCMI, dcmi_text, "250 Watts", "65536 Watts", -ERANGE},
        {IPMI_TEXT_DCMI, dcmi_text, "250 Watts", "99999999999999999999 Watts", -ERANGE},
        {IPMI_TEXT_DCMI, dcmi_text, "Power Measurement", "Power Management", -EPROTO},
        {IPMI_TEXT_TOOL, tool_text, "Power reading state is:", "Power reading state is", -EPROTO},
        {IPMI_TEXT_DCMI, dcmi_text, "Current Power  ", "Currant Power  ", -EPROTO},
        {IPMI_TEXT_DCMI, dcmi_text, "250 Watts", "250 Wotts", -EPROTO},
        {IPMI_TEXT_DCMI, dcmi_text, "250 Watts", "250 Watts more", -EPROTO},
        {IPMI_TEXT_DCMI, dcmi_text, "250 Watts", "250", -EPROTO},
        {IPMI_TEXT_DCMI, dcmi_text, "250 Watts", "-250 Watts", -EPROTO},
        {IPMI_TEXT_DCMI, dcmi_text, "250 Watts", "250.5 Watts", -EPROTO},
        {IPMI_TEXT_DCMI, dcmi_text, "250 Watts", "", -EPROTO},
        {IPMI_TEXT_DCMI, dcmi_text, "90 watts", "ninety watts", 0}, /* what is beside the power may be odd */
        {IPMI_TEXT_DCMI, dcmi_text, "1000 milliseconds", "1000 years", 0},
    };
    struct ipmi_power p = {.power_uw = 7};

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        p.power_uw = 7;
        assert_int_equal(ipmi_text_parse(cases[i].dialect, changed(cases[i].text, cases[i].part, cases[i].by), &p),
                         cases[i].result);
        assert_int_equal(p.power_uw, cases[i].result ? 7 : 250000000);
    }
    assert_int_equal(ipmi_text_parse(IPMI_TEXT_TOOL, (struct text){NULL, 0}, &p), -EPROTO);
    for (size_t n = 0; n < sizeof(tool_text) - 6; n++) /* cut anywhere before the last word is whole */
        assert_int_not_equal(ipmi_text_parse(IPMI_TEXT_TOOL, (struct text){tool_text, n}, &p), 0);
}

static void capmc(void **state)
{
    static const char good[] = "{\"start_time\":\"2015-04-01 17:02:10\",\"avg\":5942,\"min\":5748,\"max\":6132,"
                               "\"window_len\":600,\"e\":0,\"err_msg\":\"\"}";
    static const struct {
        const char *part, *by;
        int result;
        const char *words;
    } cases[] = {
        {"\"e\":0,\"err_msg\":\"\"", "\"e\":22,\"err_msg\":\"no \\u001bsystem\"", -EIO, "error 22: no ?system"},
        {"\"e\":0,", "", -EPROTO, "JSON"},
        {"\"avg\":5942", "\"avg\":\"5942\"", -EPROTO, "average"},
        {"\"avg\":5942", "\"avg\":59.5", -EPROTO, "average"},
        {"\"avg\":5942", "\"avg\":-1", -ERANGE, "below 0"},
        {"\"avg\":5942", "\"avg\":1000000001", -ERANGE, "1 GW"},
        {"\"avg\":5942", "\"avg\":0", -ENODATA, "0 W"},
        {"\"avg\":5942,", "", -EPROTO, "average"},
        {"}", "", -EPROTO, "JSON"},
        {"}", "} trailing", -EPROTO, "JSON"},
        {"\"e\":0,", "\"e\":0,\"e\":0,", -EPROTO, "JSON"},
    };
    struct ipmi_power p = {0};

    assert_int_equal(ipmi_text_parse_capmc(text_of(good), &p, NULL), 0);
    assert_int_equal(p.power_uw, 5942000000);
    assert_int_equal(p.mean_uw, 5942000000);
    assert_int_equal(p.min_uw, 5748000000);
    assert_int_equal(p.max_uw, 6132000000);
    assert_int_equal(p.period_ms, 600000);
    assert_int_not_equal(p.stamp, 0);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct carnot_err err = CARNOT_ERR_INIT;

        p.power_uw = 7;
        assert_int_equal(ipmi_text_parse_capmc(changed(good, cases[i].part, cases[i].by), &p, &err), cases[i].result);
        assert_int_equal(p.power_uw, 7);
        assert_non_null(strstr(err.msg, cases[i].words));
    }
    assert_int_equal(ipmi_text_parse_capmc(text_of("[1]"), &p, NULL), -EPROTO);
    assert_int_equal(ipmi_text_parse_capmc((struct text){"", 0}, &p, NULL), -EPROTO);
}

/* --- recorded ----------------------------------------------------------------------------------------------------- */

static size_t read_recorded(const char *path, char *out, size_t size)
{
    const char *root = getenv("CARNOT_SOURCE_ROOT"), *given = getenv("CARNOT_CEEMS_FIXTURES");
    char name[PATH_MAX];

    if (!root && !given)
        return 0;
    assert_true(snprintf(name, sizeof(name), "%s%s/%s", given ? given : root, given ? "" : "/../shared/fixtures/ceems",
                         path) < (int)sizeof(name));
    FILE *file = fopen(name, "re");
    if (!file)
        return 0;
    size_t n = fread(out, 1, size - 1, file);
    fclose(file);
    out[n] = '\0';
    return n;
}

/* "ceems_ipmi_dcmi_NAME_watts{...} N" in an exposition that somebody else made of the same output. */
static uint64_t golden_uw(const char *exposition, const char *name)
{
    char start[64];
    uint64_t watts;
    struct text rest = text_of(exposition), line;

    snprintf(start, sizeof(start), "ceems_ipmi_dcmi_%s_watts{", name);
    while (scan_line(&rest, &line)) {
        const char *blank = text_starts(line, start) ? memchr(line.p, ' ', line.n) : NULL;

        if (blank && parse_u64((struct text){blank + 1, (size_t)(line.p + line.n - blank - 1)}, &watts) == 0)
            return watts * 1000000;
    }
    fail_msg("no ceems_ipmi_dcmi_%s_watts", name);
    return 0;
}

static void recorded(void **state)
{
    static const struct {
        const char *output, *golden;
        int dialect;                  /* -1: capmc */
        uint64_t now, min, max, mean; /* watts */
    } cases[] = {
        {"commands/ipmi-dcmi.out", "golden/exporter/cgroupsv1-output.txt", IPMI_TEXT_DCMI, 332, 68, 504, 348},
        {"commands/ipmitool.out", "golden/exporter/cgroupsv2-amd-ipmitool-output.txt", IPMI_TEXT_TOOL, 2578, 2118, 4294,
         2567},
        {"commands/ipmiutil.out", "golden/exporter/cgroupsv2-nvidia-ipmiutil-output.txt", IPMI_TEXT_UTIL, 49, 6, 304,
         49},
        {"commands/capmc.out", "golden/exporter/cgroupsv2-nogpu-output.txt", -1, 5942, 5748, 6132, 5942},
    };
    static char text[4096], golden[65536];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct ipmi_power p = {0};
        size_t n = read_recorded(cases[i].output, text, sizeof(text));

        if (n == 0 || read_recorded(cases[i].golden, golden, sizeof(golden)) == 0) {
            print_message("skipped: no %s in ../shared/fixtures/ceems (or $CARNOT_CEEMS_FIXTURES)\n", cases[i].output);
            skip();
        }
        assert_int_equal(cases[i].dialect < 0 ? ipmi_text_parse_capmc(text_of(text), &p, NULL)
                                              : ipmi_text_parse((enum ipmi_dialect)cases[i].dialect, text_of(text), &p),
                         0);
        assert_int_equal(p.power_uw, cases[i].now * 1000000);
        assert_int_equal(p.min_uw, cases[i].min * 1000000);
        assert_int_equal(p.max_uw, cases[i].max * 1000000);
        assert_int_equal(p.mean_uw, cases[i].mean * 1000000);
        assert_int_equal(p.power_uw, golden_uw(golden, "current"));
        assert_int_equal(p.min_uw, golden_uw(golden, "min"));
        assert_int_equal(p.max_uw, golden_uw(golden, "max"));
        assert_int_equal(p.mean_uw, golden_uw(golden, "avg"));
        assert_int_not_equal(p.period_ms, 0);
        assert_int_not_equal(p.stamp, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual), cmocka_unit_test(stamps),   cmocka_unit_test(faults),
        cmocka_unit_test(capmc), cmocka_unit_test(recorded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
