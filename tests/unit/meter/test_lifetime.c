/* SPDX-License-Identifier: Apache-2.0 */
/* Totals over several runs of the program: the text that carries them, and what is made of the time in between. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include <cmocka.h>

#include "meter/lifetime.h"
#include "model/quantity.h"

#define BOOT    "11111111-2222-3333-4444-555555555555"
#define MODULUS 262143328911ULL

/* --- one machine and its runs ------------------------------------------------------------------------------------ */

static struct energy_domain domains[4];
static struct energy energy;
static struct lifetime lifetime;
static struct lifetime_state state;
static struct carnot_now now;

static void add_domain(const char *name, const char *source, const char *address, bool lasting)
{
    struct energy_domain *d = &domains[energy.n_domains++];

    *d = (struct energy_domain){.domain = {.source = source, .lasting = lasting}, .status = -ENODATA};
    snprintf(d->domain.name, sizeof(d->domain.name), "%s", name);
    snprintf(d->domain.address, sizeof(d->domain.address), "%s", address);
}

static void begin(void)
{
    lifetime_done(&lifetime);
    energy = (struct energy){.domains = domains};
    add_domain("package-0", "rapl_powercap", "package-0:intel-rapl:0", true);
    add_domain("gpu-0", "nvml", "gpu-0:GPU-1", true);
    add_domain("dram", "model_tdp", "", false);
    lifetime_begin(&lifetime, &energy, &now);
}

static int setup(void **unused)
{
    now = (struct carnot_now){.mono_ns = 100 * NS_PER_SEC, .boot_ns = 130 * NS_PER_SEC, .real_ns = 1000 * NS_PER_SEC};
    state = (struct lifetime_state){.boot = BOOT};
    begin();
    return 0;
}

static int teardown(void **unused)
{
    lifetime_done(&lifetime);
    return 0;
}

static void advance(uint64_t ns)
{
    now.mono_ns += ns;
    now.boot_ns += ns;
    now.real_ns += ns;
}

/* What energy.c does with a good reading. */
static void read_counter(size_t d, uint64_t counter_uj, uint64_t modulus_uj)
{
    uint64_t uj;

    delta_step(&domains[d].delta, counter_uj, modulus_uj, domains[d].domain.max_uw, now.mono_ns, &uj);
    domains[d].status = 0;
    domains[d].last = (struct energy_mark){true, counter_uj, modulus_uj, now.mono_ns};
    if (!domains[d].first.known)
        domains[d].first = domains[d].last;
    lifetime_update(&lifetime, &energy, &now);
}

/* Through the text, as in life. */
static void save(void)
{
    struct buf text;
    struct carnot_err err = CARNOT_ERR_INIT;

    lifetime_save(&lifetime, &energy, &now, &state);
    snprintf(state.boot, sizeof(state.boot), BOOT);
    buf_init(&text, LIFETIME_TEXT_MAX);
    lifetime_format(&state, &text);
    assert_int_equal(buf_error(&text), 0);
    state = (struct lifetime_state){0};
    if (lifetime_parse((struct text){text.data, text.len}, &state, &err) < 0)
        fail_msg("%s", err.msg);
    buf_done(&text);
}

static void restart(const char *boot)
{
    begin();
    assert_int_equal(lifetime_restore(&lifetime, &energy, &state, boot, &now), 0);
}

static void expect(size_t d, uint64_t total_uj, uint64_t bridged_uj, uint64_t gaps)
{
    assert_int_equal(lifetime_total_uj(&lifetime, &energy, d), total_uj);
    assert_int_equal(lifetime.domains[d].bridged_uj, bridged_uj);
    assert_int_equal(lifetime.domains[d].gaps, gaps);
}

/* A run of package-0 that used 500 uJ, up to the counter given. */
static void run_to(uint64_t counter_uj)
{
    read_counter(0, counter_uj - 500, MODULUS);
    advance(NS_PER_SEC);
    read_counter(0, counter_uj, MODULUS);
}

static void a_total_goes_on(void **unused)
{
    run_to(1500);
    expect(0, 500, 0, 0);
    save();
    read_counter(0, 1700, MODULUS); /* after the save, then killed */
    advance(5 * NS_PER_SEC);
    restart(BOOT);
    expect(0, 500, 0, 0);
    assert_int_equal(lifetime.n_pending, 1);
    read_counter(0, 4000, MODULUS);
    expect(0, 3000, 2500, 0);
    advance(NS_PER_SEC);
    read_counter(0, 4100, MODULUS);
    expect(0, 3100, 2500, 0);
    assert_int_equal(lifetime.domains[0].since_real_ns, 1000 * NS_PER_SEC);
    save();
    restart(BOOT);
    read_counter(0, 4100, MODULUS);
    expect(0, 3100, 2500, 0);
}

static void a_wrap_between_two_runs(void **unused)
{
    run_to(MODULUS - 10);
    save();
    advance(60 * NS_PER_SEC); /* 2 kW fill 120 kJ of 262 kJ */
    restart(BOOT);
    read_counter(0, 90, MODULUS);
    expect(0, 600, 100, 0);
}

/* What could have wrapped unseen is no proof: 131 s at 2 kW. */
static void too_long_between_two_runs(void **unused)
{
    run_to(1500);
    save();
    advance(132 * NS_PER_SEC);
    restart(BOOT);
    read_counter(0, 4000, MODULUS);
    expect(0, 500, 0, 1);
    advance(NS_PER_SEC);
    read_counter(0, 4001, MODULUS); /* not again */
    expect(0, 501, 0, 1);
}

static void what_is_no_proof(void **unused)
{
    static const struct {
        const char *boot, *address;
        uint64_t mono_ns, boot_ns, counter_uj, modulus_uj;
    } cases[] = {
        {"99999999-2222-3333-4444-555555555555", "package-0:intel-rapl:0", 5, 5, 4000, MODULUS}, /* another boot */
        {"", "package-0:intel-rapl:0", 5, 5, 4000, MODULUS},                                     /* an unknown one */
        {BOOT, "package-0:intel-rapl:1", 5, 5, 4000, MODULUS},                                   /* another zone */
        {BOOT, "package-0:intel-rapl:0", 5, 5, 4000, 65712999628ULL},                            /* another counter */
        {BOOT, "package-0:intel-rapl:0", 5, 65, 4000, MODULUS},                                  /* a suspend */
        {BOOT, "package-0:intel-rapl:0", 5, 5, 900, MODULUS},                                    /* a reset */
        {BOOT, "package-0:intel-rapl:0", 5, 5, 1500 + 200000 * UJ_PER_J, MODULUS},               /* 40 kW */
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        setup(NULL);
        run_to(1500);
        save();
        now.mono_ns += cases[i].mono_ns * NS_PER_SEC;
        now.boot_ns += cases[i].boot_ns * NS_PER_SEC;
        begin();
        snprintf(domains[0].domain.address, sizeof(domains[0].domain.address), "%s", cases[i].address);
        assert_int_equal(lifetime_restore(&lifetime, &energy, &state, cases[i].boot, &now), 0);
        read_counter(0, cases[i].counter_uj, cases[i].modulus_uj);
        expect(0, 500, 0, 1);
    }
}

/* A clock that ran backwards is another machine's, or another name space's. */
static void clocks_that_ran_backwards(void **unused)
{
    run_to(1500);
    save();
    now.mono_ns -= 50 * NS_PER_SEC;
    now.boot_ns -= 50 * NS_PER_SEC;
    restart(BOOT);
    read_counter(0, 4000, MODULUS);
    expect(0, 500, 0, 1);
}

/* Perf events and models begin at 0: nothing is known of the time between. */
static void a_counter_that_begins_anew(void **unused)
{
    read_counter(2, 0, 0);
    advance(NS_PER_SEC);
    read_counter(2, 700, 0);
    save();
    advance(NS_PER_SEC);
    restart(BOOT);
    expect(2, 700, 0, 1);
    read_counter(2, 900, 0); /* more than before, and yet another counter */
    expect(2, 700, 0, 1);
}

/* The three ways to RAPL are one origin: the total goes on, the counter does not. */
static void another_way_to_the_same_domain(void **unused)
{
    run_to(1500);
    save();
    advance(NS_PER_SEC);
    begin();
    domains[0].domain.source = "rapl_msr";
    assert_int_equal(lifetime_restore(&lifetime, &energy, &state, BOOT, &now), 0);
    read_counter(0, 4000, MODULUS);
    expect(0, 500, 0, 1);

    domains[0].domain.source = "model_tdp"; /* that would be another thing */
    save();
    begin();
    assert_int_equal(lifetime_restore(&lifetime, &energy, &state, BOOT, &now), 0);
    expect(0, 0, 0, 0);
    assert_int_equal(lifetime.rest->n, 1);
}

/* A slow source has its first reading later; until then its mark is kept, also over another restart. */
static void a_first_reading_that_comes_late(void **unused)
{
    read_counter(1, 1000, 0);
    advance(NS_PER_SEC);
    read_counter(1, 3000, 0);
    save();
    advance(NS_PER_SEC);
    restart(BOOT);
    run_to(1500);
    expect(1, 2000, 0, 0);
    save();
    advance(NS_PER_SEC);
    restart(BOOT);
    expect(1, 2000, 0, 0);
    read_counter(1, 3500, 0);
    expect(1, 2500, 500, 0);
}

/* A domain that is away for a run comes back with its total. */
static void a_domain_that_is_away(void **unused)
{
    read_counter(1, 1000, 0);
    advance(NS_PER_SEC);
    read_counter(1, 3000, 0);
    save();
    begin();
    energy.n_domains = 1;
    assert_int_equal(lifetime_restore(&lifetime, &energy, &state, BOOT, &now), 0);
    save();
    assert_int_equal(state.n, 3);
    restart(BOOT);
    read_counter(1, 3100, 0);
    expect(1, 2100, 100, 0);

    /* Over a reboot the mark is worth nothing, the total all it was. */
    save();
    begin();
    energy.n_domains = 1;
    assert_int_equal(lifetime_restore(&lifetime, &energy, &state, "22222222-2222-3333-4444-555555555555", &now), 0);
    save(); /* of this boot again */
    restart(BOOT);
    read_counter(1, 3200, 0);
    expect(1, 2100, 100, 1);
}

/* A failing source, a suspend: no mark, or an old one that is still right. */
static void marks_of_failing_domains(void **unused)
{
    run_to(1500);
    domains[0].status = -EIO;
    advance(10 * NS_PER_SEC);
    save();
    restart(BOOT);
    read_counter(0, 1600, MODULUS);
    expect(0, 600, 100, 0);

    domains[0].last.known = false; /* as energy_rebase leaves it */
    save();
    restart(BOOT);
    read_counter(0, 1700, MODULUS);
    expect(0, 600, 100, 1);
}

/* The metric shows what is on the disk, so that no crash makes it step back. */
static void only_what_was_confirmed_is_kept(void **unused)
{
    restart(BOOT);
    run_to(1500);
    assert_int_equal(lifetime.domains[0].kept_uj, 0);
    save();
    read_counter(0, 1900, MODULUS);
    assert_int_equal(lifetime.domains[0].kept_uj, 0);
    lifetime_confirm(&lifetime, energy.n_domains);
    assert_int_equal(lifetime.domains[0].kept_uj, 500);
    assert_int_equal(lifetime.kept_real_ns, now.real_ns);
    restart(BOOT);
    assert_int_equal(lifetime.domains[0].kept_uj, 500);
    read_counter(0, 2500, MODULUS);
    assert_int_equal(lifetime.domains[0].kept_uj, 500);
    save();
    lifetime_confirm(&lifetime, energy.n_domains);
    assert_int_equal(lifetime.domains[0].kept_uj, 1500);
    assert_int_equal(lifetime.domains[0].kept_bridged_uj, 1000);
}

/* A total at the limit takes no more than fits. */
static void a_total_at_its_limit(void **unused)
{
    run_to(1500);
    save();
    state.records[0].total_uj = LIFETIME_TOTAL_MAX_UJ - 10;
    restart(BOOT);
    read_counter(0, 1600, MODULUS);
    expect(0, LIFETIME_TOTAL_MAX_UJ - 10, 0, 1);
}

/* --- the text ---------------------------------------------------------------------------------------------------- */

static void format(struct buf *out)
{
    run_to(1500);
    lifetime_save(&lifetime, &energy, &now, &state);
    snprintf(state.machine, sizeof(state.machine), "0123456789abcdef0123456789abcdef");
    snprintf(state.boot, sizeof(state.boot), BOOT);
    buf_init(out, LIFETIME_TEXT_MAX);
    lifetime_format(&state, out);
    assert_int_equal(buf_error(out), 0);
}

static void the_text(void **unused)
{
    struct buf text;

    format(&text);
    assert_string_equal(buf_str(&text),
                        "carnot-state 1\n"
                        "machine 0123456789abcdef0123456789abcdef\n"
                        "boot " BOOT "\n"
                        "saved 1001000000000\n"
                        "domain package-0 rapl rapl_powercap package-0:intel-rapl:0 total 500 bridged 0 gaps 0 since "
                        "1000000000000 counter 1500 modulus 262143328911 boottime 131000000000 monotonic 101000000000\n"
                        "domain gpu-0 nvidia nvml gpu-0:GPU-1 total 0 bridged 0 gaps 0 since 1000000000000\n"
                        "domain dram model_tdp model_tdp - total 0 bridged 0 gaps 0 since 1000000000000\n"
                        "crc32 36d4f440\n");
    buf_done(&text);
}

/* Every cut and every changed byte is refused, with a reason. */
static void damaged_texts(void **unused)
{
    struct lifetime_state read = {.n = 77};
    struct buf text;

    format(&text);
    for (size_t n = 0; n < text.len; n++) {
        struct carnot_err err = CARNOT_ERR_INIT;
        assert_int_equal(lifetime_parse((struct text){text.data, n}, &read, &err), -EPROTO);
        assert_true(err.msg[0]);
    }
    for (size_t i = 0; i < text.len; i++) {
        text.data[i] ^= 0x04;
        assert_int_equal(lifetime_parse((struct text){text.data, text.len}, &read, NULL), -EPROTO);
        text.data[i] ^= 0x04;
    }
    assert_int_equal(read.n, 77); /* written only on success */
    assert_int_equal(lifetime_parse((struct text){text.data, text.len}, &read, NULL), 0);
    assert_int_equal(read.n, 3);
    buf_done(&text);
}

/* A whole text with a right checksum that says nonsense. */
static void wrong_texts(void **unused)
{
    static const char head[] = "carnot-state 1\nmachine -\nboot -\nsaved 5\n";
    static const struct {
        const char *lines, *reason;
    } cases[] = {
        {"domain a b c - total 5 bridged 6 gaps 0 since 1\n", "its record 1 is"},
        {"domain a b c - total 9223372036854775808 bridged 0 gaps 0 since 1\n", "its record 1 is"},
        {"domain a b c - total 99999999999999999999 bridged 0 gaps 0 since 1\n", "its record 1 is"},
        {"domain a b c - total -5 bridged 0 gaps 0 since 1\n", "its record 1 is"},
        {"domain a b c - total 5 bridged 0 gaps 0 since 1 counter 7 modulus 7 boottime 1 monotonic 1\n", "record 1 is"},
        {"domain a b c - total 5 bridged 0 gaps 0 since 1 counter 6 modulus 7 boottime 0 monotonic 1\n", "record 1 is"},
        {"domain a b c - total 5 bridged 0 gaps 0 since 1 counter 6\n", "its record 1 is"},
        {"domain a b c - total 5 bridged 0 gaps 0 since 1 \n", "its record 1 is"},
        {"domain a b - total 5 bridged 0 gaps 0 since 1\n", "its record 1 is"},
        {"domain - b c - total 5 bridged 0 gaps 0 since 1\n", "its record 1 is"},
        {"domain a b c - total 1 bridged 0 gaps 0 since 1\ndomain a b d - total 2 bridged 0 gaps 0 since 1\n",
         "its record 2 is"},
        {"\n", "its record 1 is"},
        {"domain 1234567890123456789012345678901234567890123456789 b c - total 1 bridged 0 gaps 0 since 1\n",
         "its record 1 is"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct lifetime_state read;
        struct carnot_err err = CARNOT_ERR_INIT;
        struct buf text;

        buf_init(&text, LIFETIME_TEXT_MAX);
        buf_printf(&text, "%s%s", head, cases[i].lines);
        buf_printf(&text, "crc32 %08lx\n", crc32(0, (const unsigned char *)text.data, (unsigned)text.len));
        assert_int_equal(lifetime_parse((struct text){text.data, text.len}, &read, &err), -EPROTO);
        if (!strstr(err.msg, cases[i].reason))
            fail_msg("case %zu: %s", i, err.msg);
        buf_done(&text);
    }

    struct carnot_err err = CARNOT_ERR_INIT;
    struct lifetime_state read;
    assert_int_equal(lifetime_parse(text_of("carnot-state 2\n"), &read, &err), -EPROTO);
    assert_string_equal(err.msg, "it was written by another version of carnotd");
    assert_int_equal(lifetime_parse(text_of("{\"totals\":1}"), &read, &err), -EPROTO);
    assert_string_equal(err.msg, "it is no state of carnotd");
}

/* Names that the form has no room for cost their own record, never the others'. */
static void names_that_do_not_fit(void **unused)
{
    run_to(1500);
    snprintf(domains[1].domain.name, sizeof(domains[1].domain.name), "a card");
    snprintf(domains[0].domain.address, sizeof(domains[0].domain.address), "package 0:intel-rapl:0");
    domains[0].last.counter_uj = MODULUS + 5; /* beyond its own range: no mark */
    save();
    assert_int_equal(state.n, 2);
    assert_string_equal(state.records[0].address, "");
    assert_false(state.records[0].last.known);
    assert_int_equal(state.records[0].total_uj, 500);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_total_goes_on),
        TEST(a_wrap_between_two_runs),
        TEST(too_long_between_two_runs),
        TEST(what_is_no_proof),
        TEST(clocks_that_ran_backwards),
        TEST(a_counter_that_begins_anew),
        TEST(another_way_to_the_same_domain),
        TEST(a_first_reading_that_comes_late),
        TEST(a_domain_that_is_away),
        TEST(marks_of_failing_domains),
        TEST(only_what_was_confirmed_is_kept),
        TEST(a_total_at_its_limit),
        TEST(the_text),
        TEST(damaged_texts),
        TEST(wrong_texts),
        TEST(names_that_do_not_fit),
    };

    return cmocka_run_group_tests_name("lifetime", tests, NULL, NULL);
}
