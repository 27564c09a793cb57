/* SPDX-License-Identifier: Apache-2.0 */
/* Containment of domains and the choice of those that make up the node: nothing twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "model/domain.h"

static struct domain make(const char *name, enum domain_kind kind, int package, int die)
{
    struct domain d = {.kind = kind, .package = package, .die = die, .node = -1};

    snprintf(d.name, sizeof(d.name), "%s", name);
    return d;
}

/* "1" for a domain in the total, in their order. */
static void assert_total(struct domain *domains, size_t n, const char *expected)
{
    char got[DOMAINS_MAX + 1] = "";

    domains_mark_total(domains, n);
    for (size_t i = 0; i < n; i++)
        got[i] = domains[i].in_total ? '1' : '0';
    got[n] = '\0';
    assert_string_equal(got, expected);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(domain_kind_name(DOMAIN_PACKAGE), "package");
    assert_string_equal(domain_kind_name(DOMAIN_OTHER), "other");
    assert_string_equal(domain_kind_name((enum domain_kind)99), "other");
    assert_string_equal(quality_name(QUALITY_MEASURED), "measured");
    assert_string_equal(quality_name(QUALITY_DEFAULT), "default");
    assert_int_equal(quality_worse(QUALITY_MEASURED, QUALITY_MODELLED), QUALITY_MODELLED);
    assert_int_equal(quality_worse(QUALITY_DEFAULT, QUALITY_DERIVED), QUALITY_DEFAULT);
}

static void containment(void **state)
{
    struct domain host = make("host", DOMAIN_HOST, -1, -1), psys = make("psys", DOMAIN_PSYS, -1, -1);
    struct domain p0 = make("package-0", DOMAIN_PACKAGE, 0, -1), p1 = make("package-1", DOMAIN_PACKAGE, 1, -1);
    struct domain p0d1 = make("package-0-die-1", DOMAIN_PACKAGE, 0, 1);
    struct domain core0 = make("core-0", DOMAIN_CORE, 0, -1), core0d1 = make("core-0-die-1", DOMAIN_CORE, 0, 1);
    struct domain dram0 = make("dram-0", DOMAIN_DRAM, 0, -1), dram = make("dram", DOMAIN_DRAM, -1, -1);
    struct domain gpu0 = make("gpu-0", DOMAIN_GPU, -1, -1), gpu1 = make("gpu-1", DOMAIN_GPU, -1, -1);
    struct domain mmio = make("package-0-mmio", DOMAIN_OTHER, 0, -1);

    (void)state;
    assert_true(domain_contains(&host, &psys));
    assert_true(domain_contains(&host, &gpu0));
    assert_true(domain_contains(&psys, &p1));
    assert_true(domain_contains(&psys, &dram0));
    assert_false(domain_contains(&psys, &gpu0));
    assert_false(domain_contains(&psys, &host));
    assert_true(domain_contains(&p0, &core0));
    assert_true(domain_contains(&p0, &p0d1));
    assert_false(domain_contains(&p0d1, &p0));
    assert_true(domain_contains(&p0d1, &core0d1));
    assert_false(domain_contains(&p0d1, &core0));
    assert_false(domain_contains(&p1, &core0));
    assert_false(domain_contains(&p0, &dram0)); /* beside the package */
    assert_false(domain_contains(&core0, &p0));
    assert_true(domain_contains(&dram, &dram0));
    assert_false(domain_contains(&dram0, &dram));
    assert_true(domain_contains(&gpu0, &gpu0));
    assert_false(domain_contains(&gpu0, &gpu1));
    assert_false(domain_contains(&p0, &mmio));
    assert_true(domain_contains(&p0, &p0));
}

static void total_of_a_server(void **state)
{
    struct domain d[] = {
        make("package-0", DOMAIN_PACKAGE, 0, -1),    make("core-0", DOMAIN_CORE, 0, -1),
        make("dram-0", DOMAIN_DRAM, 0, -1),          make("package-1", DOMAIN_PACKAGE, 1, -1),
        make("dram-1", DOMAIN_DRAM, 1, -1),          make("psys", DOMAIN_PSYS, -1, -1),
        make("package-0-mmio", DOMAIN_OTHER, 0, -1), make("gpu-0", DOMAIN_GPU, -1, -1),
        make("gpu-1", DOMAIN_GPU, -1, -1),
    };

    (void)state;
    for (size_t i = 0; i < ELEMENTSOF(d); i++)
        d[i].in_total = true; /* whatever stood there before */
    assert_total(d, ELEMENTSOF(d), "101110011");
}

static void total_of_dies(void **state)
{
    struct domain dies[] = {make("package-0-die-0", DOMAIN_PACKAGE, 0, 0),
                            make("package-0-die-1", DOMAIN_PACKAGE, 0, 1), make("core-0-die-0", DOMAIN_CORE, 0, 0)};
    struct domain both[] = {make("package-0-die-0", DOMAIN_PACKAGE, 0, 0), make("package-0", DOMAIN_PACKAGE, 0, -1)};

    (void)state;
    assert_total(dies, ELEMENTSOF(dies), "110");
    assert_total(both, ELEMENTSOF(both), "01"); /* the die is in the package */
}

static void host_stands_alone(void **state)
{
    struct domain d[] = {make("package-0", DOMAIN_PACKAGE, 0, -1), make("host", DOMAIN_HOST, -1, -1),
                         make("host-bmc", DOMAIN_HOST, -1, -1), make("gpu-0", DOMAIN_GPU, -1, -1)};

    (void)state;
    assert_total(d, ELEMENTSOF(d), "0100");
}

static void psys_only_without_packages(void **state)
{
    struct domain d[] = {make("psys", DOMAIN_PSYS, -1, -1), make("dram-0", DOMAIN_DRAM, 0, -1),
                         make("gpu-0", DOMAIN_GPU, -1, -1)};

    (void)state;
    assert_total(d, ELEMENTSOF(d), "101");
    assert_total(d, 0, "");
}

static void two_sources_of_one_region(void **state)
{
    struct domain same[] = {make("package-0", DOMAIN_PACKAGE, 0, -1), make("package-0-2", DOMAIN_PACKAGE, 0, -1)};
    struct domain better[] = {make("package-0-model", DOMAIN_PACKAGE, 0, -1), make("package-0", DOMAIN_PACKAGE, 0, -1)};
    struct domain memory[] = {make("dram-0", DOMAIN_DRAM, -1, -1), make("dram-measured", DOMAIN_DRAM, 1, -1)};

    (void)state;
    assert_total(same, ELEMENTSOF(same), "10");
    better[0].quality = QUALITY_MODELLED;
    assert_total(better, ELEMENTSOF(better), "01");
    memory[0].quality = QUALITY_MODELLED;
    assert_total(memory, ELEMENTSOF(memory), "01"); /* too little rather than twice */
    memory[0].quality = QUALITY_MEASURED;
    assert_total(memory, ELEMENTSOF(memory), "10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(containment),
        cmocka_unit_test(total_of_a_server),
        cmocka_unit_test(total_of_dies),
        cmocka_unit_test(host_stands_alone),
        cmocka_unit_test(psys_only_without_packages),
        cmocka_unit_test(two_sources_of_one_region),
    };

    return cmocka_run_group_tests_name("domain", tests, NULL, NULL);
}
