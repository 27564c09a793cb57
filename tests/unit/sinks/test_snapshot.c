/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot read back with a real JSON parser: what an administrator gets, and above all what others do not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "fake_batch.h"
#include "sinks/snapshot.h"

#define ALL_KINDS ((1U << UNIT_KINDS) - 1)
#define QUANTUM   1000000ULL

static const struct viewer admin = {.all = true};
static const struct viewer alice = {.uid = FAKE_ALICE, .quantum_uj = QUANTUM};

static json_t *snapshot_of(const struct batch *batch, const struct viewer *viewer, unsigned kinds, size_t limit)
{
    const struct snapshot_options options = {
        .kinds = kinds, .limit = limit, .slot_ns = 1000000000, .epoch = "4f1c00112233"};
    struct buf out;
    json_error_t error;

    buf_init(&out, 1U << 20);
    assert_int_equal(snapshot_write(batch, viewer, &options, &out), 0);
    assert_null(strchr(buf_str(&out), '\n')); /* it is one line */
    json_t *root = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        fail_msg("%s at %d in %s", error.text, error.position, buf_str(&out));
    buf_done(&out);
    return root;
}

static json_t *snapshot(const struct viewer *viewer, unsigned kinds, size_t limit)
{
    struct batch batch;

    fake_batch_init(&batch);
    return snapshot_of(&batch, viewer, kinds, limit);
}

static json_int_t int_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_integer(value))
        fail_msg("%s is not an integer", key);
    return json_integer_value(value);
}

static const char *string_at(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));

    if (!s)
        fail_msg("%s is not a string", key);
    return s;
}

static json_int_t item(const json_t *object, const char *key, size_t i)
{
    return json_integer_value(json_array_get(json_object_get(object, key), i));
}

static const json_t *unit_with_id(const json_t *root, json_int_t id)
{
    const json_t *units = json_object_get(root, "units");

    for (size_t i = 0; i < json_array_size(units); i++) {
        if (int_at(json_array_get(units, i), "id") == id)
            return json_array_get(units, i);
    }
    return NULL;
}

static void test_admin_head(void **state)
{
    json_t *root = snapshot(&admin, ALL_KINDS, 0);
    const json_t *intensity = json_object_get(root, "intensity");

    assert_int_equal(int_at(root, "v"), 1);
    assert_string_equal(string_at(root, "status"), "ok");
    assert_string_equal(string_at(root, "op"), "snapshot");
    assert_string_equal(string_at(root, "epoch"), "4f1c00112233");
    assert_int_equal(int_at(root, "seq"), 12);
    assert_string_equal(string_at(root, "view"), "all");
    assert_int_equal(int_at(root, "quantum_uj"), 0);
    assert_int_equal(int_at(root, "slot_ns"), 1000000000);
    assert_int_equal(int_at(root, "begin_real_ns"), 1700000000000000000);
    assert_int_equal(int_at(root, "end_real_ns"), 1700000002000000000);
    assert_int_equal(int_at(root, "end_mono_ns"), 7000000000);
    assert_int_equal(int_at(root, "window_ns"), 2000000000);
    assert_string_equal(string_at(root, "method"), "cpu_time");
    assert_string_equal(string_at(root, "idle_policy"), "none");
    assert_string_equal(string_at(root, "activity"), "bpf");
    assert_string_equal(string_at(root, "tier"), "T2");
    assert_int_equal(int_at(intensity, "mg_kwh"), 56040);
    assert_string_equal(string_at(intensity, "zone"), "FRA");
    assert_string_equal(string_at(intensity, "quality"), "derived");
    assert_int_equal(int_at(root, "truncated"), 0);
    json_decref(root);
}

static void test_admin_domains(void **state)
{
    json_t *root = snapshot(&admin, 0, 0);
    const json_t *domains = json_object_get(root, "domains");
    const json_t *package = json_array_get(domains, 0), *dram = json_array_get(domains, 2);

    assert_int_equal(json_array_size(domains), 3);
    assert_string_equal(string_at(package, "name"), "package-0");
    assert_string_equal(string_at(package, "kind"), "package");
    assert_int_equal(int_at(package, "package"), 0);
    assert_string_equal(string_at(package, "quality"), "measured");
    assert_string_equal(string_at(package, "source"), "rapl_powercap");
    assert_true(json_is_true(json_object_get(package, "in_total")));
    assert_int_equal(int_at(package, "energy_uj"), 123456789);
    assert_int_equal(int_at(package, "window_uj"), 10000000);
    assert_int_equal(int_at(package, "peak_uw"), 7500000);
    assert_int_equal(int_at(dram, "package"), -1);
    assert_int_equal(int_at(dram, "status"), -61);
    assert_true(json_is_false(json_object_get(json_array_get(domains, 1), "in_total")));

    const json_t *idle = json_object_get(json_object_get(package, "entities"), "idle");
    assert_int_equal(int_at(idle, "energy_uj"), 50000000);
    assert_int_equal(int_at(idle, "window_uj"), 3000000);
    assert_int_equal(json_object_size(json_object_get(package, "entities")), ENTITIES);
    assert_int_equal(json_array_size(json_object_get(root, "units")), 0); /* no kind was asked for */
    json_decref(root);
}

static void test_admin_units(void **state)
{
    json_t *root = snapshot(&admin, ALL_KINDS, 0);
    const json_t *cgroup = unit_with_id(root, 2), *process = unit_with_id(root, 6), *rest = unit_with_id(root, 7);

    assert_int_equal(json_array_size(json_object_get(root, "units")), 9);
    assert_string_equal(string_at(cgroup, "kind"), "cgroup");
    assert_string_equal(string_at(cgroup, "name"), "odd\"\\\nname");
    assert_string_equal(string_at(cgroup, "path"), "/user.slice/odd\"\\\nname");
    assert_null(json_object_get(cgroup, "pid"));
    assert_null(json_object_get(unit_with_id(root, 1), "uid")); /* nobody's */
    assert_int_equal(int_at(process, "pid"), 200);
    assert_int_equal(int_at(process, "uid"), FAKE_ALICE);
    assert_string_equal(string_at(process, "cgroup"), "/user.slice/odd\"\\\nname");
    assert_true(json_is_true(json_object_get(process, "ended")));
    assert_true(json_is_false(json_object_get(process, "aggregate")));
    assert_true(json_is_true(json_object_get(rest, "aggregate")));
    assert_int_equal(int_at(process, "cpu_ns"), 1500000000);
    assert_int_equal(int_at(process, "window_cpu_ns"), 300000000);
    assert_int_equal(int_at(process, "start_real_ns"), 1700000001000000000);
    assert_int_equal(item(process, "energy_uj", 2), 1499999);
    assert_int_equal(item(process, "window_uj", 0), 1500000);
    json_decref(root);
}

static void test_kinds(void **state)
{
    json_t *root = snapshot(&admin, 1U << UNIT_USER, 0);
    const json_t *units = json_object_get(root, "units");

    assert_int_equal(json_array_size(units), 2);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(string_at(json_array_get(units, i), "kind"), "user");
    json_decref(root);
}

static void test_limit_keeps_the_largest(void **state)
{
    json_t *root = snapshot(&admin, 1U << UNIT_PROCESS | 1U << UNIT_CGROUP, 1);
    const json_t *units = json_object_get(root, "units");

    assert_int_equal(json_array_size(units), 2);
    assert_int_equal(int_at(json_array_get(units, 0), "id"), 1);
    assert_int_equal(int_at(json_array_get(units, 1), "id"), 5);
    assert_int_equal(int_at(root, "truncated"), 3);
    json_decref(root);

    root = snapshot(&admin, 1U << UNIT_PROCESS, 2);
    units = json_object_get(root, "units");
    assert_int_equal(int_at(json_array_get(units, 0), "id"), 5);
    assert_int_equal(int_at(json_array_get(units, 1), "id"), 6);
    assert_int_equal(int_at(root, "truncated"), 1);
    json_decref(root);
}

static void test_own_view_has_no_totals(void **state)
{
    json_t *root = snapshot(&alice, ALL_KINDS, 0);
    const json_t *domains = json_object_get(root, "domains");

    assert_string_equal(string_at(root, "view"), "own");
    assert_int_equal(int_at(root, "quantum_uj"), QUANTUM);
    assert_int_equal(json_array_size(domains), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *domain = json_array_get(domains, i);

        assert_null(json_object_get(domain, "energy_uj"));
        assert_null(json_object_get(domain, "window_uj"));
        assert_null(json_object_get(domain, "peak_uw"));
        assert_null(json_object_get(domain, "entities"));
        assert_non_null(json_object_get(domain, "in_total"));
    }
    json_decref(root);
}

static void test_own_view_has_only_own_units(void **state)
{
    static const json_int_t hers[] = {2, 4, 6, 7, 8};
    json_t *root = snapshot(&alice, ALL_KINDS, 0);
    const json_t *units = json_object_get(root, "units");

    assert_int_equal(json_array_size(units), ELEMENTSOF(hers));
    for (size_t i = 0; i < ELEMENTSOF(hers); i++) {
        assert_non_null(unit_with_id(root, hers[i]));
        assert_int_equal(int_at(json_array_get(units, i), "uid"), FAKE_ALICE);
    }
    char *text = json_dumps(root, 0);
    assert_null(strstr(text, "nginx"));
    assert_null(strstr(text, "bob"));
    free(text);
    json_decref(root);

    /* What others have is not even counted. */
    root = snapshot(&alice, ALL_KINDS, 1);
    assert_int_equal(int_at(root, "truncated"), 1);
    json_decref(root);

    /* The uid of "nobody's" is nobody. */
    const struct viewer nobody = {.uid = UINT32_MAX, .quantum_uj = 1};
    root = snapshot(&nobody, ALL_KINDS, 0);
    assert_int_equal(json_array_size(json_object_get(root, "units")), 0);
    json_decref(root);
}

static void test_own_view_is_cut_to_quanta(void **state)
{
    json_t *root = snapshot(&alice, ALL_KINDS, 0);
    const json_t *cc1 = unit_with_id(root, 6);

    assert_int_equal(item(cc1, "energy_uj", 0), 15000000);
    assert_int_equal(item(cc1, "energy_uj", 1), 7000000);
    assert_int_equal(item(cc1, "energy_uj", 2), 1000000);
    /* 15.0 - 1.5 = 13.5 is cut to 13: two quanta became visible. 7.5 - 0.75 = 6.75: one. 1.499999 - 0.15: none. */
    assert_int_equal(item(cc1, "window_uj", 0), 2000000);
    assert_int_equal(item(cc1, "window_uj", 1), 1000000);
    assert_int_equal(item(cc1, "window_uj", 2), 0);
    json_decref(root);
}

/* Over many windows the cut ones add up to the cut total: nothing is lost, nothing is told twice. */
static void test_cut_windows_add_up(void **state)
{
    static struct batch_unit unit;
    uint64_t energy_uj[3] = {0}, window_uj[3] = {0}, sum_uj = 0, random = 88172645463325252ULL;
    struct batch batch;

    fake_batch_init(&batch);
    unit = batch.units[5];
    unit.energy_uj = energy_uj;
    unit.window_uj = window_uj;
    batch.units = &unit;
    batch.n_units = 1;
    unit.cgroup = UNIT_NO_INDEX;
    memset(batch.first_of_kind, 0, sizeof(batch.first_of_kind));
    batch.first_of_kind[3] = batch.first_of_kind[4] = 1; /* cgroups, users, then one process */

    for (unsigned i = 0; i < 500; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        window_uj[0] = random % (3 * QUANTUM);
        energy_uj[0] += window_uj[0];

        json_t *root = snapshot_of(&batch, &alice, ALL_KINDS, 0);
        const json_t *seen = unit_with_id(root, 6);
        assert_non_null(seen);
        assert_int_equal(item(seen, "window_uj", 0) % (json_int_t)QUANTUM, 0);
        sum_uj += (uint64_t)item(seen, "window_uj", 0);
        assert_int_equal(item(seen, "energy_uj", 0), sum_uj);
        assert_true(energy_uj[0] - sum_uj < QUANTUM);
        json_decref(root);
    }
}

static void test_limit_of_buffer(void **state)
{
    const struct snapshot_options options = {.kinds = ALL_KINDS};
    struct batch batch;
    struct buf out;

    fake_batch_init(&batch);
    buf_init(&out, 1000);
    assert_int_equal(snapshot_write(&batch, &admin, &options, &out), -E2BIG);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admin_head),
        cmocka_unit_test(test_admin_domains),
        cmocka_unit_test(test_admin_units),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_limit_keeps_the_largest),
        cmocka_unit_test(test_own_view_has_no_totals),
        cmocka_unit_test(test_own_view_has_only_own_units),
        cmocka_unit_test(test_own_view_is_cut_to_quanta),
        cmocka_unit_test(test_cut_windows_add_up),
        cmocka_unit_test(test_limit_of_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
