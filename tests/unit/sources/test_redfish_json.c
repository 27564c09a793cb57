/* SPDX-License-Identifier: Apache-2.0 */
/* What Redfish resources say, well formed and not. The resources are hand-made after the DMTF's schemas. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/quantity.h"
#include "sources/redfish_json.h"

#define W(watts) ((uint64_t)((watts)*1e6))

static void paths(void **state)
{
    static const struct {
        const char *path;
        bool sane;
    } cases[] = {
        {"/redfish/v1/Chassis", true},
        {"/redfish/v1/Chassis/1/Power/", true},
        {"/redfish/v1/Chassis?$skip=50&$top=50", true},
        {"/redfish/v1/Chassis/a%20b", true},
        {"/redfish/v1/Chassis/a..b/.c", true},
        {"/redfish/v1/Chassis?a=../b//c", true},
        {"", false},
        {"/", false},
        {"/redfish", false},
        {"redfish/v1/Chassis", false},
        {"//elsewhere/redfish/v1/Chassis", false},
        {"http://elsewhere/redfish/v1/Chassis", false},
        {"/rest/v1/Chassis", false},
        {"/redfish/v1/../../etc", false},
        {"/redfish/v1/..", false},
        {"/redfish/v1/./Chassis", false},
        {"/redfish/v1/%2e%2E/x", false},
        {"/redfish/v1/a%2Fb", false},
        {"/redfish/v1//Chassis", false},
        {"/redfish/v1/Chassis#/PowerControl/0", false},
        {"/redfish/v1/Chassis 1", false},
        {"/redfish/v1/Chassis\r\nX: y", false},
        {"/redfish/v1/Ch\xc3\xa2ssis", false},
        {"/redfish/v1/a\\b", false},
    };
    char path[REDFISH_PATH_MAX + 1] = "/redfish/";

    for (size_t i = 0; i < ELEMENTSOF(cases); i++)
        if (redfish_path_is_sane(text_of(cases[i].path)) != cases[i].sane)
            fail_msg("%s", cases[i].path);
    assert_false(redfish_path_is_sane((struct text){"/redfish/\0x", 11}));
    memset(path + 9, 'a', sizeof(path) - 10);
    assert_false(redfish_path_is_sane(text_of(path)));
    path[REDFISH_PATH_MAX - 1] = '\0';
    assert_true(redfish_path_is_sane(text_of(path)));
}

/* Every parser refuses these, and leaves its output alone. */
static void no_json(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "null",
                                        "[]",
                                        "[{}]",
                                        "\"a\"",
                                        "1",
                                        "{} {}",
                                        "{\"a\": 1, \"a\": 2}",
                                        "{\"a\": 1e999}",
                                        "{\"a\": 99999999999999999999}",
                                        "{\"a\": \"\\u0000\"}",
                                        "{\"a\": \"\xff\"}",
                                        "<html></html>",
                                        "\xef\xbb\xbf{}"};
    char deep[40000];
    struct redfish_root root, root_before;
    struct redfish_members members, members_before;
    struct redfish_chassis chassis, chassis_before;
    struct redfish_environment environment, environment_before;
    struct redfish_power power, power_before;
    struct redfish_sensor sensor;
    struct redfish_value value;
    redfish_path path;

    memset(&root, 1, sizeof(root));
    memset(&members, 1, sizeof(members));
    memset(&chassis, 1, sizeof(chassis));
    memset(&environment, 1, sizeof(environment));
    memset(&power, 1, sizeof(power));
    root_before = root;
    members_before = members;
    chassis_before = chassis;
    environment_before = environment;
    power_before = power;
    for (size_t i = 0; i <= ELEMENTSOF(texts); i++) {
        struct carnot_err err = CARNOT_ERR_INIT;
        struct text t = {deep, sizeof(deep)};

        memset(deep, '[', sizeof(deep));
        if (i < ELEMENTSOF(texts))
            t = text_of(texts[i]);
        assert_int_equal(redfish_parse_root(t, &root, &err), -EPROTO);
        assert_true(err.msg[0] && strlen(err.msg) < 300);
        for (const char *c = err.msg; *c; c++)
            assert_true(*c >= ' ' && *c <= '~');
        assert_int_equal(redfish_parse_members(t, &members, NULL), -EPROTO);
        assert_int_equal(redfish_parse_chassis(t, &chassis, NULL), -EPROTO);
        assert_int_equal(redfish_parse_environment(t, &environment, NULL), -EPROTO);
        assert_int_equal(redfish_parse_sensor(t, REDFISH_WATTS, &sensor, NULL), -EPROTO);
        assert_int_equal(redfish_parse_power(t, &power, NULL), -EPROTO);
        assert_int_equal(redfish_parse_subsystem(t, &path, NULL), -EPROTO);
        assert_int_equal(redfish_parse_supply(t, &path, NULL), -EPROTO);
        assert_int_equal(redfish_parse_supply_metrics(t, &value, NULL), -EPROTO);
        assert_memory_equal(&root, &root_before, sizeof(root));
        assert_memory_equal(&members, &members_before, sizeof(members));
        assert_memory_equal(&chassis, &chassis_before, sizeof(chassis));
        assert_memory_equal(&environment, &environment_before, sizeof(environment));
        assert_memory_equal(&power, &power_before, sizeof(power));
    }
    static char large[REDFISH_BODY_MAX + 1];
    memset(large, ' ', sizeof(large));
    assert_int_equal(redfish_parse_root((struct text){large, sizeof(large)}, &root, NULL), -E2BIG);
}

static void roots(void **state)
{
    struct redfish_root root;
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(redfish_parse_root(text_of("{\"RedfishVersion\": \"1.15.0\", \"Vendor\": \"V\\n\", \"Chassis\": "
                                                "{\"@odata.id\": \"/redfish/v1/Chassis\"}, \"Links\": {\"Sessions\": "
                                                "{\"@odata.id\": \"/redfish/v1/S\"}}}"),
                                        &root, &err),
                     0);
    assert_string_equal(root.version, "1.15.0");
    assert_string_equal(root.product, "V?");
    assert_string_equal(root.chassis, "/redfish/v1/Chassis");
    assert_string_equal(root.sessions, "/redfish/v1/S");
    assert_int_equal(redfish_parse_root(text_of("{\"Product\": \"P\", \"Chassis\": {\"@odata.id\": \"/redfish/v1/C\"}, "
                                                "\"SessionService\": {\"@odata.id\": \"/redfish/v1/Own\"}}"),
                                        &root, &err),
                     0);
    assert_string_equal(root.sessions, "/redfish/v1/Own/Sessions");
    assert_string_equal(root.version, "");
    assert_int_equal(redfish_parse_root(text_of("{\"Chassis\": {\"@odata.id\": \"/redfish/v1/C\"}}"), &root, &err), 0);
    assert_string_equal(root.sessions, "/redfish/v1/SessionService/Sessions");

    static const char *const bad[] = {"{}", "{\"Chassis\": \"/redfish/v1/Chassis\"}", "{\"Chassis\": null}",
                                      "{\"Chassis\": {\"@odata.id\": 1}}",
                                      "{\"Chassis\": {\"@odata.id\": \"https://elsewhere/redfish/v1/Chassis\"}}"};
    for (size_t i = 0; i < ELEMENTSOF(bad); i++)
        assert_int_equal(redfish_parse_root(text_of(bad[i]), &root, &err), -EPROTO);
}

static void collections(void **state)
{
    static struct redfish_members members;
    struct carnot_err err = CARNOT_ERR_INIT;
    char text[32768];
    size_t n = 0;

    assert_int_equal(redfish_parse_members(text_of("{\"Members\": [{\"@odata.id\": \"/redfish/v1/Chassis/1\"}, "
                                                   "{\"@odata.id\": \"http://elsewhere/redfish/v1\"}, {}, 7, null], "
                                                   "\"Members@odata.nextLink\": \"/redfish/v1/Chassis?$skip=2\"}"),
                                           &members, &err),
                     0);
    assert_int_equal(members.n, 1);
    assert_int_equal(members.left_out, 4);
    assert_string_equal(members.paths[0], "/redfish/v1/Chassis/1");
    assert_string_equal(members.next, "/redfish/v1/Chassis?$skip=2");
    assert_int_equal(redfish_parse_members(text_of("{\"Members\": []}"), &members, &err), 0);
    assert_int_equal(members.n, 1);
    assert_string_equal(members.next, "");

    n += (size_t)snprintf(text, sizeof(text), "{\"Members\": [");
    for (int i = 0; i < REDFISH_MEMBERS_MAX + 9; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{\"@odata.id\": \"/redfish/v1/Chassis/%d\"}",
                              i ? ", " : "", i);
    snprintf(text + n, sizeof(text) - n, "]}");
    assert_int_equal(redfish_parse_members(text_of(text), &members, &err), 0);
    assert_int_equal(members.n, REDFISH_MEMBERS_MAX);
    assert_int_equal(members.left_out, 4 + 10);
    assert_int_equal(redfish_parse_members(text_of("{}"), &members, &err), -EPROTO);
    assert_int_equal(redfish_parse_members(text_of("{\"Members\": {}}"), &members, &err), -EPROTO);
}

static void chassis(void **state)
{
    struct redfish_chassis c;
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(
        redfish_parse_chassis(
            text_of(
                "{\"Id\": \"1\", \"ChassisType\": \"RackMount\", \"Power\": {\"@odata.id\": \"/redfish/v1/C/1/P\"}, "
                "\"EnvironmentMetrics\": {\"@odata.id\": \"/redfish/v1/C/1/E\"}, \"PowerSubsystem\": {\"@odata.id\": "
                "\"/redfish/v1/C/1/S\"}, \"Links\": {\"ComputerSystems\": [{\"@odata.id\": \"/redfish/v1/Systems/1\"}, "
                "{\"@odata.id\": \"/redfish/v1/Systems/2\"}], \"ContainedBy\": {\"@odata.id\": \"/redfish/v1/C/0\"}}}"),
            &c, &err),
        0);
    assert_string_equal(c.id, "1");
    assert_string_equal(c.type, "RackMount");
    assert_string_equal(c.power, "/redfish/v1/C/1/P");
    assert_string_equal(c.environment, "/redfish/v1/C/1/E");
    assert_string_equal(c.subsystem, "/redfish/v1/C/1/S");
    assert_int_equal(c.n_systems, 2);
    assert_string_equal(c.system, "/redfish/v1/Systems/1");
    assert_string_equal(c.container, "/redfish/v1/C/0");

    assert_int_equal(
        redfish_parse_chassis(text_of("{\"Id\": 7, \"ChassisType\": null, \"Power\": {}, \"Links\": []}"), &c, &err),
        0);
    assert_string_equal(c.id, "");
    assert_string_equal(c.type, "");
    assert_string_equal(c.power, "");
    assert_int_equal(c.n_systems, 0);
}

static void numbers(void **state)
{
    static const struct {
        const char *reading;
        int status;
        uint64_t uw;
    } cases[] = {
        {"344", 0, 344000000},
        {"344.5", 0, 344500000},
        {"1.2345678", 0, 1234568},
        {"0", 0, 0},
        {"-0.0", 0, 0},
        {"1e2", 0, 100000000},
        {"100000", 0, REDFISH_MAX_UW},
        {"100000.0000001", -ERANGE, 0},
        {"100001", -ERANGE, 0},
        {"1e300", -ERANGE, 0},
        {"9223372036854775807", -ERANGE, 0},
        {"-1", -ERANGE, 0},
        {"-0.001", -ERANGE, 0},
        {"null", -ENODATA, 0},
        {"\"344\"", -EPROTO, 0},
        {"true", -EPROTO, 0},
        {"{}", -EPROTO, 0},
        {"[344]", -EPROTO, 0},
    };
    struct redfish_environment e;
    struct carnot_err err = CARNOT_ERR_INIT;
    char text[256];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        snprintf(text, sizeof(text), "{\"PowerWatts\": {\"Reading\": %s}}", cases[i].reading);
        assert_int_equal(redfish_parse_environment(text_of(text), &e, &err), 0);
        assert_int_equal(e.of[REDFISH_WATTS].status, cases[i].status);
        if (cases[i].status == 0)
            assert_int_equal(e.of[REDFISH_WATTS].value, cases[i].uw);
        assert_int_equal(e.of[REDFISH_KWH].status, -ENODATA);
    }
    static const char *const none[] = {"{}", "{\"PowerWatts\": null}", "{\"PowerWatts\": {}}"};
    for (size_t i = 0; i < ELEMENTSOF(none); i++) {
        assert_int_equal(redfish_parse_environment(text_of(none[i]), &e, &err), 0);
        assert_int_equal(e.of[REDFISH_WATTS].status, -ENODATA);
    }
    assert_int_equal(redfish_parse_environment(text_of("{\"PowerWatts\": 344}"), &e, &err), 0);
    assert_int_equal(e.of[REDFISH_WATTS].status, -EPROTO);
}

static void energies(void **state)
{
    static const struct {
        const char *kwh;
        uint64_t uj, step_uj;
    } cases[] = {
        {"12", 12 * UJ_PER_KWH, UJ_PER_KWH},           {"12.5", 45000000000000, UJ_PER_KWH / 10},
        {"12.503", 45010800000000, UJ_PER_KWH / 1000}, {"56438.1234", 203177244240000000, UJ_PER_KWH / 10000},
        {"0.0001", 360000000, UJ_PER_KWH / 10000},     {"0", 0, UJ_PER_KWH},
    };
    struct redfish_environment e;
    struct carnot_err err = CARNOT_ERR_INIT;
    char text[512];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        snprintf(text, sizeof(text), "{\"EnergykWh\": {\"Reading\": %s}}", cases[i].kwh);
        assert_int_equal(redfish_parse_environment(text_of(text), &e, &err), 0);
        assert_int_equal(e.of[REDFISH_KWH].status, 0);
        /* 53 bits: to 30 uJ at 56 MWh */
        assert_true(e.of[REDFISH_KWH].value + 64 > cases[i].uj && e.of[REDFISH_KWH].value < cases[i].uj + 64);
        assert_int_equal(e.of[REDFISH_KWH].step, cases[i].step_uj);
    }
    snprintf(text, sizeof(text),
             "{\"EnergyJoules\": {\"Reading\": 987654321987, \"DataSourceUri\": \"/redfish/v1/C/1/Sensors/E\"}, "
             "\"EnergykWh\": {\"Reading\": 1281023, \"DataSourceUri\": null}, \"PowerWatts\": {\"Reading\": 1.5, "
             "\"DataSourceUri\": \"/redfish/v1/C/1/Power#/PowerControl/0\"}}");
    assert_int_equal(redfish_parse_environment(text_of(text), &e, &err), 0);
    assert_int_equal(e.of[REDFISH_JOULES].value, 987654321987000000);
    assert_string_equal(e.of[REDFISH_JOULES].sensor, "/redfish/v1/C/1/Sensors/E");
    assert_int_equal(e.of[REDFISH_KWH].status, 0); /* 2^62 uJ are 1281023.9 kWh */
    assert_string_equal(e.of[REDFISH_KWH].sensor, "");
    assert_string_equal(e.of[REDFISH_WATTS].sensor, "");
    assert_int_equal(redfish_parse_environment(text_of("{\"EnergykWh\": {\"Reading\": 1281024}, \"EnergyJoules\": "
                                                       "{\"Reading\": 4611686018428}}"),
                                               &e, &err),
                     0);
    assert_int_equal(e.of[REDFISH_KWH].status, -ERANGE);
    assert_int_equal(e.of[REDFISH_JOULES].status, -ERANGE);
}

static void sensors(void **state)
{
    struct redfish_sensor s;
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(redfish_parse_sensor(text_of("{\"Reading\": 411.5, \"ReadingUnits\": \"W\", \"ReadingTime\": "
                                                  "\"2026-11-21T02:54:48Z\"}"),
                                          REDFISH_WATTS, &s, &err),
                     0);
    assert_int_equal(s.value.status, 0);
    assert_int_equal(s.value.value, W(411.5));
    assert_string_equal(s.time, "2026-11-21T02:54:48Z");
    assert_int_equal(redfish_parse_sensor(text_of("{\"Reading\": 2}"), REDFISH_JOULES, &s, &err), 0);
    assert_int_equal(s.value.value, 2000000);
    assert_string_equal(s.time, "");
    assert_int_equal(
        redfish_parse_sensor(text_of("{\"Reading\": 0.5, \"ReadingUnits\": \"kW\"}"), REDFISH_WATTS, &s, &err),
        -EPROTO);
    assert_int_equal(
        redfish_parse_sensor(text_of("{\"Reading\": 411, \"ReadingUnits\": \"W\"}"), REDFISH_KWH, &s, &err), -EPROTO);
    assert_int_equal(redfish_parse_sensor(text_of("{\"Reading\": null}"), REDFISH_WATTS, &s, &err), 0);
    assert_int_equal(s.value.status, -ENODATA);
}

#define METRICS(min, max, mean)                                                                                        \
    "\"PowerMetrics\": {\"IntervalInMin\": 30, \"MinConsumedWatts\": " #min ", \"MaxConsumedWatts\": " #max            \
    ", \"AverageConsumedWatts\": " #mean "}"

static void power_controls(void **state)
{
    static const struct {
        const char *controls;
        int status;
        uint64_t uw;
        unsigned n;
    } cases[] = {
        {"{\"MemberId\": \"0\", \"PowerConsumedWatts\": 344}", 0, W(344), 1},
        {"{\"MemberId\": \"0\", \"PowerConsumedWatts\": 344}, {\"MemberId\": \"1\", \"PowerConsumedWatts\": 53.5}", 0,
         W(397.5), 2},
        {"{\"PowerConsumedWatts\": 100}, {\"PowerConsumedWatts\": 20}", 0, W(120), 2},
        /* one entry twice */
        {"{\"MemberId\": \"0\", \"PowerConsumedWatts\": 344}, {\"MemberId\": \"0\", \"PowerConsumedWatts\": 344}", 0,
         W(344), 1},
        /* the whole, and parts of it */
        {"{\"MemberId\": \"0\", \"PowerConsumedWatts\": 500}, {\"MemberId\": \"1\", \"PhysicalContext\": \"CPU\", "
         "\"PowerConsumedWatts\": 200}, {\"MemberId\": \"2\", \"PhysicalContext\": \"Memory\", \"PowerConsumedWatts\": "
         "50}",
         0, W(500), 1},
        {"{\"PhysicalContext\": \"Chassis\", \"PowerConsumedWatts\": 500}, {\"PhysicalContext\": \"GPUSubsystem\", "
         "\"PowerConsumedWatts\": 200}",
         0, W(500), 1},
        /* parts alone */
        {"{\"PhysicalContext\": \"GPU\", \"PowerConsumedWatts\": 300}, {\"PhysicalContext\": \"GPU\", "
         "\"PowerConsumedWatts\": 200}",
         0, W(500), 2},
        {"{\"PowerConsumedWatts\": null}, {\"PowerConsumedWatts\": 20}", 0, W(20), 1},
        {"{\"PowerConsumedWatts\": 0}", 0, 0, 1},
        {"{\"PowerConsumedWatts\": null}, {}", -ENODATA, 0, 0},
        {"", -ENODATA, 0, 0},
        {"7, null, \"a\", []", -ENODATA, 0, 0},
        {"{\"PowerConsumedWatts\": -1}", -ERANGE, 0, 0},
        {"{\"PowerConsumedWatts\": 300}, {\"PowerConsumedWatts\": -1}", -ERANGE, 0, 0},
        {"{\"PowerConsumedWatts\": 60000}, {\"PowerConsumedWatts\": 60000}", -ERANGE, 0, 0},
        {"{\"PowerConsumedWatts\": \"300\"}", -EPROTO, 0, 0},
    };
    struct redfish_power power;
    struct carnot_err err = CARNOT_ERR_INIT;
    char text[1024];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        snprintf(text, sizeof(text), "{\"PowerControl\": [%s]}", cases[i].controls);
        assert_int_equal(redfish_parse_power(text_of(text), &power, &err), 0);
        assert_int_equal(power.consumed.status, cases[i].status);
        if (cases[i].status == 0) {
            assert_int_equal(power.consumed.value, cases[i].uw);
            assert_int_equal(power.n, cases[i].n);
        }
        assert_int_equal(power.interval_min, 0);
    }
    static const char *const none[] = {"{}", "{\"PowerControl\": {}}", "{\"PowerControl\": null}"};
    for (size_t i = 0; i < ELEMENTSOF(none); i++) {
        assert_int_equal(redfish_parse_power(text_of(none[i]), &power, &err), 0);
        assert_int_equal(power.consumed.status, -ENODATA);
    }
    snprintf(text, sizeof(text),
             "{\"PowerControl\": [{\"PowerConsumedWatts\": 300, " METRICS(
                 200, 400, 310) "}, {\"PowerConsumedWatts\": 50, " METRICS(40, 60, 52.5) "}]}");
    assert_int_equal(redfish_parse_power(text_of(text), &power, &err), 0);
    assert_int_equal(power.min_uw, W(240));
    assert_int_equal(power.max_uw, W(460));
    assert_int_equal(power.mean_uw, W(362.5));
    assert_int_equal(power.interval_min, 30);
}

static void supplies(void **state)
{
    redfish_path path;
    struct redfish_value value;
    struct carnot_err err = CARNOT_ERR_INIT;

    assert_int_equal(
        redfish_parse_subsystem(text_of("{\"PowerSupplies\": {\"@odata.id\": \"/redfish/v1/PS\"}}"), &path, &err), 0);
    assert_string_equal(path, "/redfish/v1/PS");
    assert_int_equal(redfish_parse_subsystem(text_of("{}"), &path, &err), 0);
    assert_string_equal(path, "");
    assert_int_equal(
        redfish_parse_supply(text_of("{\"Metrics\": {\"@odata.id\": \"/redfish/v1/PS/0/M\"}}"), &path, &err), 0);
    assert_string_equal(path, "/redfish/v1/PS/0/M");
    assert_int_equal(redfish_parse_supply_metrics(text_of("{\"InputPowerWatts\": {\"Reading\": 199.5}}"), &value, &err),
                     0);
    assert_int_equal(value.value, W(199.5));
    assert_int_equal(redfish_parse_supply_metrics(text_of("{}"), &value, &err), 0);
    assert_int_equal(value.status, -ENODATA);
}

static void sessions(void **state)
{
    static const struct {
        const char *location, *body, *path;
    } cases[] = {
        {"/redfish/v1/SessionService/Sessions/1", "", "/redfish/v1/SessionService/Sessions/1"},
        {"https://bmc-7/redfish/v1/S/1", "", "/redfish/v1/S/1"},
        {"HTTP://bmc-7:80/redfish/v1/S/1", "", "/redfish/v1/S/1"},
        {NULL, "{\"@odata.id\": \"/redfish/v1/S/2\"}", "/redfish/v1/S/2"},
        {"https://bmc-7", "{\"@odata.id\": \"/redfish/v1/S/2\"}", "/redfish/v1/S/2"},
        {"/redfish/v1/../x", "{}", ""},
        {"", "[]", ""},
        {NULL, "{\"@odata.id\": \"https://elsewhere/redfish/v1/S/2\"}", ""},
    };
    redfish_path path;

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        redfish_session_path(cases[i].location, text_of(cases[i].body), &path);
        assert_string_equal(path, cases[i].path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),       cmocka_unit_test(no_json),  cmocka_unit_test(roots),
        cmocka_unit_test(collections), cmocka_unit_test(chassis),  cmocka_unit_test(numbers),
        cmocka_unit_test(energies),    cmocka_unit_test(sensors),  cmocka_unit_test(power_controls),
        cmocka_unit_test(supplies),    cmocka_unit_test(sessions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
