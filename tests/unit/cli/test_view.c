/* SPDX-License-Identifier: Apache-2.0 */
/* Views from JSON: figures, sums, what is refused and how it is said. */
#include "files.h"

#include <errno.h>

static int parse(const char *text, struct view **ret, struct carnot_err *err)
{
    *err = CARNOT_ERR_INIT;
    *ret = NULL;
    return view_parse(text, strlen(text), ret, err);
}

static void reads_a_snapshot(void **state)
{
    struct view *view = golden_view("all.json");

    assert_true(view->all);
    assert_int_equal(view->seq, 12);
    assert_string_equal(view->epoch, "4f1c");
    assert_string_equal(view->method, "cpu_time");
    assert_string_equal(view->activity, "bpf");
    assert_int_equal(view->window_ns, 1000000000);
    assert_true(view->intensity.known);
    assert_int_equal(view->intensity.mg_kwh, 56040);
    assert_int_equal(view->intensity.quality, QUALITY_DERIVED);
    assert_int_equal(view->n_domains, 3);
    assert_int_equal(view->n_units, 8);
    assert_int_equal(view_quality(view), QUALITY_DERIVED); /* the worse of measured and derived */
    /* core-0 lies inside package-0 and is not added */
    assert_int_equal(view->total_window_uj, 12000000);
    assert_int_equal(view->total_energy_uj, 120000000);
    assert_int_equal(view->total_entity_window_uj[ENTITY_IDLE], 5000000);
    assert_int_equal(view->total_entity_window_uj[ENTITY_RESIDUAL], 100000);
    view_free(view);
}

static void reads_units(void **state)
{
    struct view *view = golden_view("all.json");
    const struct view_unit *cc1 = &view->units[4], *service = &view->units[1];

    assert_int_equal(cc1->kind, UNIT_PROCESS);
    assert_int_equal(cc1->pid, 4211);
    assert_int_equal(cc1->uid, 1000);
    assert_string_equal(cc1->path, "/user.slice/user-1000.slice/session-2.scope");
    assert_int_equal(cc1->total_window_uj, 3500000);
    assert_int_equal(cc1->total_energy_uj, 35000000);
    assert_int_equal(cc1->window_uj[1], 2000000);
    assert_int_equal(service->uid, UINT32_MAX); /* not told */
    assert_string_equal(service->path, "/system.slice/postgresql.service");
    assert_true(view->units[6].ended);
    assert_true(view->units[7].aggregate);
    view_free(view);
}

static void reads_own_view_without_totals(void **state)
{
    struct view *view = golden_view("own.json");

    assert_false(view->all);
    assert_false(view->has_energy);
    assert_int_equal(view->quantum_uj, 1000000);
    assert_int_equal(view->total_window_uj, 0);
    assert_int_equal(view->units[2].total_energy_uj, 30000000 + 5000000);
    view_free(view);
}

static void reads_a_session(void **state)
{
    struct view *view = golden_view("session.json");

    assert_int_equal(view->n_units, 1);
    assert_int_equal(view->units[0].kind, UNIT_SESSION);
    assert_int_equal(view->units[0].id, 7);
    assert_int_equal(view->units[0].cpu_ns, 5000000000);
    assert_int_equal(view->units[0].total_energy_uj, 171000000 + 11400000);
    assert_int_equal(view->session_peak_uw, 21300000);
    view_free(view);
}

static void reads_a_session_number(void **state)
{
    static const char ok[] = "{\"v\":1,\"status\":\"ok\",\"op\":\"session.begin\",\"session\":7}";
    static const char zero[] = "{\"v\":1,\"status\":\"ok\",\"session\":0}";
    struct carnot_err err = CARNOT_ERR_INIT;
    uint32_t session = 99;

    assert_int_equal(view_parse_session_begin(ok, strlen(ok), &session, &err), 0);
    assert_int_equal(session, 7);
    session = 99;
    assert_int_equal(view_parse_session_begin(zero, strlen(zero), &session, &err), -EPROTO);
    assert_int_equal(session, 99);
}

static void hands_the_agents_own_error_on(void **state)
{
    struct carnot_err err;
    struct view *view;

    assert_int_equal(
        parse("{\"status\":\"error\",\"error\":\"EAGAIN\",\"message\":\"not \\u001b[31myet\"}", &view, &err), -EAGAIN);
    assert_string_equal(err.msg, "not ?[31myet");
    assert_int_equal(parse("{\"status\":\"error\",\"error\":\"EWHAT\"}", &view, &err), -EPROTO);
    assert_true(err.msg[0] != '\0');
}

#define HEAD   "{\"status\":\"ok\",\"view\":\"all\","
#define DOMAIN "\"domains\":[{\"name\":\"p\",\"kind\":\"package\",\"in_total\":true,\"energy_uj\":5}],"

static void refuses_what_is_no_answer(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "null",
        "{}",
        "{\"status\":7}",
        HEAD DOMAIN "\"units\":[]",                                          /* cut */
        HEAD "\"units\":[]}",                                                /* no domains */
        HEAD DOMAIN "\"units\":{}}",                                         /* no list */
        HEAD DOMAIN "\"units\":[7]}",                                        /* no object */
        HEAD DOMAIN "\"x\":1}",                                              /* neither units nor session */
        HEAD "\"domains\":[{\"name\":\"p\",\"energy_uj\":5}],\"units\":[]}", /* nothing makes up the node */
        HEAD "\"domains\":[{\"in_total\":true,\"energy_uj\":-5}],\"units\":[]}",
        HEAD "\"domains\":[{\"in_total\":true,\"energy_uj\":5.5}],\"units\":[]}",
        HEAD "\"domains\":[{\"in_total\":true,\"energy_uj\":99999999999999999999}],\"units\":[]}",
        HEAD DOMAIN "\"units\":[{\"kind\":\"process\",\"energy_uj\":[1,2]}]}", /* one value too many */
        HEAD DOMAIN "\"units\":[{\"kind\":\"process\",\"energy_uj\":[]}]}",
        HEAD DOMAIN "\"units\":[{\"kind\":\"process\",\"energy_uj\":[\"1\"]}]}",
        HEAD DOMAIN "\"units\":[{\"kind\":\"process\",\"energy_uj\":7}]}",
        HEAD DOMAIN "\"units\":[{\"kind\":\"process\",\"pid\":4294967296}]}",
        HEAD DOMAIN "\"units\":[{\"kind\":\"process\",\"pid\":-1}]}",
        HEAD DOMAIN "\"units\":[{\"kind\":\"process\",\"cpu_ns\":\"5\"}]}",
        HEAD DOMAIN "\"units\":[],\"units\":[]}", /* a key twice */
        HEAD DOMAIN "\"seq\":-1,\"units\":[]}",
        HEAD DOMAIN "\"units\":[{\"kind\":\"process\",\"name\":\"a\\u0000b\"}]}",
        HEAD DOMAIN "\"units\":[{\"kind\":\"process\",\"name\":\"\xff\"}]}",
    };

    for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
        struct carnot_err err;
        struct view *view;
        int r = parse(bad[i], &view, &err);

        if (r != -EPROTO || view || !err.msg[0])
            fail_msg("%s: gave %d, \"%s\"", bad[i], r, err.msg);
    }
}

static void ignores_what_it_does_not_know(void **state)
{
    struct carnot_err err;
    struct view *view;

    assert_int_equal(parse(HEAD DOMAIN
                           "\"new\":{\"deep\":[1]},\"units\":[{\"kind\":\"pod\"},{\"kind\":\"user\",\"x\":1}]}",
                           &view, &err),
                     0);
    assert_int_equal(view->n_units, 1);
    assert_int_equal(view->units[0].kind, UNIT_USER);
    assert_int_equal(view->units[0].total_energy_uj, 0);
    assert_string_equal(view->units[0].name, "");
    view_free(view);
}

static void cleans_names(void **state)
{
    struct carnot_err err;
    struct view *view;

    assert_int_equal(parse(HEAD DOMAIN
                           "\"units\":[{\"kind\":\"process\",\"name\":\"a\\u001b]0;x\\u0007\\n\\u202e\\u00e9\"}]}",
                           &view, &err),
                     0);
    assert_string_equal(view->units[0].name, "a?]0;x??\?\?\?\u00e9");
    view_free(view);
}

static void sums_saturate(void **state)
{
    static const char two[] = HEAD
        "\"domains\":[{\"in_total\":true,\"energy_uj\":9223372036854775807},"
        "{\"in_total\":true,\"energy_uj\":9223372036854775807},{\"in_total\":true,\"energy_uj\":9223372036854775807}],"
        "\"units\":[]}";
    struct carnot_err err;
    struct view *view;

    assert_int_equal(parse(two, &view, &err), 0);
    assert_true(view->total_energy_uj == UINT64_MAX);
    view_free(view);
}

static void names_each_source_once(void **state)
{
    struct view *view = golden_view("all.json");
    struct buf out;

    buf_init(&out, 100);
    view_sources(view, &out);
    assert_string_equal(buf_str(&out), "rapl_powercap");
    buf_done(&out);
    view_free(view);
    assert_null(view_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_snapshot),
        cmocka_unit_test(reads_units),
        cmocka_unit_test(reads_own_view_without_totals),
        cmocka_unit_test(reads_a_session),
        cmocka_unit_test(reads_a_session_number),
        cmocka_unit_test(hands_the_agents_own_error_on),
        cmocka_unit_test(refuses_what_is_no_answer),
        cmocka_unit_test(ignores_what_it_does_not_know),
        cmocka_unit_test(cleans_names),
        cmocka_unit_test(sums_saturate),
        cmocka_unit_test(names_each_source_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
