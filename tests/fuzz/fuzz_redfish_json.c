/* SPDX-License-Identifier: Apache-2.0 */
/* The input as every kind of Redfish resource, and as a link: paths stay inside the service, figures within what is
 * believed, and what is shown is plain. */
#include <string.h>

#include "check.h"
#include "sources/redfish_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_path(const char *path)
{
    char plain[REDFISH_PATH_MAX];
    size_t n = strcspn(path, "?");

    CHECK(strlen(path) < sizeof(plain));
    memcpy(plain, path, n);
    plain[n] = '\0';
    CHECK(path[0] == '\0' || strncmp(path, "/redfish/", 9) == 0);
    CHECK(!strstr(plain, "/../") && !strstr(plain, "//"));
    CHECK(!strpbrk(path, " \r\n\"#"));
}

static void check_shown(const char *text)
{
    for (; *text; text++)
        CHECK(*text >= ' ' && *text <= '~');
}

static void check_value(const struct redfish_value *value, uint64_t max)
{
    CHECK(value->status <= 0);
    CHECK(value->status < 0 || value->value <= max);
    check_path(value->sensor);
}

static void check_resources(struct text t)
{
    struct carnot_err err = CARNOT_ERR_INIT;
    struct redfish_root root;
    struct redfish_chassis chassis;
    struct redfish_environment environment;
    struct redfish_power power;
    struct redfish_value value;
    redfish_path path;

    if (redfish_parse_root(t, &root, &err) == 0) {
        check_shown(root.version);
        check_shown(root.product);
        check_path(root.chassis);
        CHECK(root.chassis[0] != '\0');
    }
    check_shown(err.msg);
    if (redfish_parse_chassis(t, &chassis, NULL) == 0) {
        check_shown(chassis.id);
        check_shown(chassis.type);
        check_path(chassis.environment);
        check_path(chassis.power);
        check_path(chassis.subsystem);
        check_path(chassis.system);
        check_path(chassis.container);
    }
    if (redfish_parse_environment(t, &environment, NULL) == 0) {
        check_value(&environment.of[REDFISH_WATTS], REDFISH_MAX_UW);
        check_value(&environment.of[REDFISH_JOULES], UINT64_MAX / 4 + 1);
        check_value(&environment.of[REDFISH_KWH], UINT64_MAX / 4 + 1);
        CHECK(environment.of[REDFISH_KWH].status < 0 || environment.of[REDFISH_KWH].step > 0);
    }
    if (redfish_parse_power(t, &power, NULL) == 0) {
        check_value(&power.consumed, REDFISH_MAX_UW);
        CHECK(power.consumed.status < 0 || power.n > 0);
    }
    if (redfish_parse_supply_metrics(t, &value, NULL) == 0)
        check_value(&value, REDFISH_MAX_UW);
    if (redfish_parse_subsystem(t, &path, NULL) == 0)
        check_path(path);
    if (redfish_parse_supply(t, &path, NULL) == 0)
        check_path(path);
    redfish_session_path(NULL, t, &path);
    check_path(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct redfish_members members;
    struct text t = {(const char *)data, size};
    struct redfish_sensor sensor;
    char location[512];
    redfish_path path;

    check_resources(t);
    members.n = 0;
    if (redfish_parse_members(t, &members, NULL) == 0) {
        CHECK(members.n <= REDFISH_MEMBERS_MAX);
        for (size_t i = 0; i < members.n; i++)
            check_path(members.paths[i]);
        check_path(members.next);
    }
    for (int q = 0; q < REDFISH_QUANTITIES; q++)
        if (redfish_parse_sensor(t, (enum redfish_quantity)q, &sensor, NULL) == 0)
            check_shown(sensor.time);
    snprintf(location, sizeof(location), "%.*s", (int)min_size(size, sizeof(location) - 1), size ? t.p : "");
    redfish_session_path(location, (struct text){"", 0}, &path);
    check_path(path);
    return 0;
}
