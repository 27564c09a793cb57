/* SPDX-License-Identifier: Apache-2.0 */
/* The source redfish against a simulated BMC on loopback: every way to energy, sessions, and all that BMCs do wrong.
 * Time is a fake clock's, but where deadlines are what is tested. */
#include "../../sim/bmc_rig.h"
#include "scratch.h"

#include "sources/power_integral.h"
#include "sources/redfish_inventory.h"
#include "sources/registry.h"

#define SECRET "not-to-be-seen"
#define ROOT   "/redfish/v1"

static struct scratch s;
static struct bmc bmc;
static struct redfish_settings settings;
static struct source_args args;
static struct carnot_err err;
static struct reading readings[DOMAINS_MAX];
static void *source;
static char password_file[128];

/* --- the rig ---------------------------------------------------------------------------------------------------- */

static int group_setup(void **state)
{
    scratch_init(&s);
    bmc_start(&bmc, scratch_path(&s, "tls"));
    scratch_write(&s, "password", SECRET "\n");
    snprintf(password_file, sizeof(password_file), "%s", scratch_path(&s, "password"));
    assert_int_equal(chmod(scratch_path(&s, "password"), 0600), 0);
    return 0;
}

static int group_teardown(void **state)
{
    bmc_stop(&bmc);
    scratch_done(&s);
    return 0;
}

static const char *url_of(const char *listener)
{
    static char url[256];

    snprintf(url, sizeof(url), "%s", bmc_url(&bmc, listener, ""));
    return url;
}

static int setup(void **state)
{
    source = NULL;
    err = CARNOT_ERR_INIT;
    s.env.clock = &s.clock.clock;
    settings = (struct redfish_settings){
        .url = url_of("http"), .session = true, .timeout_ns = 20 * NS_PER_SEC, .interval_ns = NS_PER_SEC};
    args = (struct source_args){.env = &s.env, .settings = &settings};
    bmc_do(&bmc, "users", "{}");
    bmc_do(&bmc, "reset", "{}");
    return 0;
}

static int teardown(void **state)
{
    source = source_redfish.close(source);
    assert_int_equal(bmc_sessions(&bmc), 0); /* whatever happened, none is left behind */
    return 0;
}

static void log_in_as_reader(void)
{
    bmc_do(&bmc, "users", "{\"reader\": \"" SECRET "\"}");
    settings.user = "reader";
    settings.password_file = password_file;
}

static void set(const char *path, const char *resource)
{
    char whole[128];

    snprintf(whole, sizeof(whole), ROOT "%s", path);
    bmc_set(&bmc, whole, resource);
}

static void rule(const char *path, const char *rest)
{
    char whole[128];

    snprintf(whole, sizeof(whole), ROOT "%s", path);
    bmc_rule(&bmc, whole, rest);
}

static unsigned asked(const char *method, const char *path)
{
    char whole[128];

    snprintf(whole, sizeof(whole), ROOT "%s", path);
    return bmc_asked(&bmc, method, whole);
}

static void set_watts(const char *chassis, const char *watts)
{
    char path[64], text[256];

    snprintf(path, sizeof(path), "/Chassis/%s/Power", chassis);
    snprintf(text, sizeof(text), "{\"PowerControl\": [{\"MemberId\": \"0\", \"PowerConsumedWatts\": %s}]}", watts);
    set(path, text);
}

/* A chassis whose resource links to others that are named after it. `more` begins with ", " or is empty. */
static void set_chassis(const char *id, const char *links, const char *more)
{
    char path[64], text[2048];
    size_t n;

    snprintf(path, sizeof(path), "/Chassis/%s", id);
    n = (size_t)snprintf(text, sizeof(text), "{\"Id\": \"%s\"%s", id, more);
    for (const char *link = links; *link;) {
        size_t len = strcspn(link, " ");
        n += (size_t)snprintf(text + n, sizeof(text) - n, ", \"%.*s\": {\"@odata.id\": \"" ROOT "/Chassis/%s/%.*s\"}",
                              (int)len, link, id, (int)len, link);
        link += len + (link[len] == ' ');
    }
    snprintf(text + n, sizeof(text) - n, "}");
    set(path, text);
}

static void set_collection(const char *ids)
{
    char text[2048];
    size_t n = (size_t)snprintf(text, sizeof(text), "{\"Members\": [");

    for (const char *id = ids; *id;) {
        size_t len = strcspn(id, " ");
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{\"@odata.id\": \"" ROOT "/Chassis/%.*s\"}",
                              id == ids ? "" : ", ", (int)len, id);
        id += len + (id[len] == ' ');
    }
    snprintf(text + n, sizeof(text) - n, "]}");
    set("/Chassis", text);
}

/* One chassis "1" with Power. */
static void one_chassis(void)
{
    set_collection("1");
    set_chassis("1", "Power", "");
    set_watts("1", "400");
}

static void forget_sums(void);

static int try_open(void)
{
    forget_sums();
    err = CARNOT_ERR_INIT;
    int r = source_redfish.probe(&args, &err);
    if (r >= 0)
        r = source_redfish.open(&args, &source, &err);
    assert_int_equal(r < 0, err.msg[0] != '\0');
    assert_null(strstr(err.msg, SECRET));
    return r;
}

static void open_source(void)
{
    if (try_open() < 0)
        fail_msg("%s", err.msg);
}

static void assert_says(const char *word)
{
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, word);
}

static const struct domain *domain_at(size_t i)
{
    const struct domain *domains;

    assert_true(source_redfish.domains(source, &domains) > i);
    return &domains[i];
}

static size_t n_domains(void)
{
    const struct domain *domains;

    return source_redfish.domains(source, &domains);
}

/* The sum that a meter makes of powers told, by the rule of trapezoids so that both ends of a step show. */
static struct power_integral sums[DOMAINS_MAX];

static void add_up(struct reading *reading)
{
    struct power_integral *sum = &sums[reading->domain];

    if (reading->status < 0 || !reading->is_power)
        return;
    reading->gap = power_integral_add(sum, reading->power_uw, reading->mono_ns) == POWER_GAP;
    reading->counter_uj = sum->uj;
}

static void forget_sums(void)
{
    for (size_t i = 0; i < DOMAINS_MAX; i++)
        power_integral_init(&sums[i], POWER_TRAPEZOID, 120 * NS_PER_SEC);
}

static void reset_source(uint64_t now_ns)
{
    source_redfish.reset(source, now_ns);
    for (size_t i = 0; i < DOMAINS_MAX; i++)
        power_integral_reset(&sums[i]);
}

static int read_all(void)
{
    err = CARNOT_ERR_INIT;
    memset(readings, 0x55, sizeof(readings));
    int n = source_redfish.read(source, clock_now(s.env.clock).mono_ns, readings, &err);
    assert_null(strstr(err.msg, SECRET));
    assert_null(strstr(err.msg, "simulated-token"));
    if (n >= 0)
        assert_int_equal(n, n_domains());
    for (int i = 0; i < n; i++) {
        assert_int_equal(readings[i].domain, i);
        assert_true(readings[i].status <= 0);
        add_up(&readings[i]);
    }
    return n;
}

static void later(uint64_t seconds)
{
    fake_clock_advance(&s.clock, seconds * NS_PER_SEC);
}

/* A second later the first domain has that status. */
static void next_status(int status)
{
    later(1);
    assert_true(read_all() > 0);
    if (readings[0].status != status)
        fail_msg("%d and not %d: %s", readings[0].status, status, err.msg);
}

static void next_energy(uint64_t counter_uj)
{
    next_status(0);
    assert_int_equal(readings[0].counter_uj, counter_uj);
    assert_int_equal(readings[0].modulus_uj, 0);
    assert_int_equal(readings[0].mono_ns, s.clock.now.mono_ns);
}

static void describes(const char *word)
{
    struct buf out;

    buf_init(&out, 1 << 16);
    source_redfish.describe(source, &out);
    assert_null(strstr(buf_str(&out), SECRET));
    if (!strstr(buf_str(&out), word))
        fail_msg("\"%s\" does not say \"%s\"", buf_str(&out), word);
    buf_done(&out);
}

/* --- ways to energy --------------------------------------------------------------------------------------------- */

static void off_unless_configured(void **state)
{
    settings.url = NULL;
    assert_int_equal(try_open(), -ENODEV);
    assert_says("--redfish.url");
    args.settings = NULL;
    assert_int_equal(source_redfish.probe(&args, &err), -ENODEV);
    assert_int_equal(bmc_asked(&bmc, NULL, NULL), 0);
}

static void power_over_time(void **state)
{
    one_chassis();
    open_source();
    assert_int_equal(n_domains(), 1);
    assert_string_equal(domain_at(0)->name, "host-redfish");
    assert_int_equal(domain_at(0)->kind, DOMAIN_HOST);
    assert_int_equal(domain_at(0)->quality, QUALITY_DERIVED);
    assert_string_equal(domain_at(0)->source, "redfish");
    describes("PowerControl of Power");
    next_energy(0);
    next_energy(400000000);
    set_watts("1", "500.5");
    next_energy(850250000);
    later(1);
    next_energy(1851250000);
}

static void counter_of_joules(void **state)
{
    set_collection("1");
    set_chassis("1", "Power EnvironmentMetrics", "");
    set_watts("1", "400");
    set("/Chassis/1/EnvironmentMetrics", "{\"PowerWatts\": {\"Reading\": 400}, \"EnergyJoules\": {\"Reading\": 5000}}");
    open_source();
    assert_int_equal(domain_at(0)->quality, QUALITY_MEASURED);
    describes("EnergyJoules");
    next_energy(5000000000);
    set("/Chassis/1/EnvironmentMetrics",
        "{\"PowerWatts\": {\"Reading\": 400}, \"EnergyJoules\": {\"Reading\": 5399.5}}");
    next_energy(5399500000);
    assert_int_equal(asked("GET", "/Chassis/1/Power"), 0);
    /* It stands: nothing new, and then something is wrong. */
    for (int i = 0; i < 120; i++)
        next_status(-ENODATA);
    next_status(-ESTALE);
    assert_says("same sample");
    set("/Chassis/1/EnvironmentMetrics", "{\"EnergyJoules\": {\"Reading\": 50000}}");
    next_energy(50000000000);
}

static void counters_of_kwh(void **state)
{
    set_collection("1");
    set_chassis("1", "EnvironmentMetrics Power", "");
    set_watts("1", "400");
    set("/Chassis/1/EnvironmentMetrics", "{\"EnergykWh\": {\"Reading\": 12.3456}}");
    open_source();
    assert_int_equal(domain_at(0)->quality, QUALITY_MEASURED);
    next_energy(44444160000000);
    source = source_redfish.close(source);

    /* In coarse steps it is only better than nothing. */
    set("/Chassis/1/EnvironmentMetrics", "{\"EnergykWh\": {\"Reading\": 12}}");
    open_source();
    assert_int_equal(domain_at(0)->quality, QUALITY_DERIVED);
    describes("PowerControl");
    source = source_redfish.close(source);
    set("/Chassis/1/Power", "null");
    open_source();
    assert_int_equal(domain_at(0)->quality, QUALITY_MEASURED);
    describes("coarse");
    for (int i = 0; i < 200; i++)
        next_status(-ENODATA);
    set("/Chassis/1/EnvironmentMetrics", "{\"EnergykWh\": {\"Reading\": 13}}");
    next_energy(46800000000000); /* the first step is where counting begins */
    next_status(-ENODATA);
}

static void power_by_sensor(void **state)
{
    set_collection("1");
    set_chassis("1", "EnvironmentMetrics", "");
    set("/Chassis/1/EnvironmentMetrics",
        "{\"PowerWatts\": {\"Reading\": 300, \"DataSourceUri\": \"" ROOT "/Chassis/1/Sensors/Total\"}}");
    set("/Chassis/1/Sensors/Total",
        "{\"Reading\": 300, \"ReadingUnits\": \"W\", \"ReadingTime\": \"2026-11-21T02:00:00Z\"}");
    open_source();
    describes("by its sensor");
    next_energy(0);
    next_status(-ENODATA); /* the same sample again */
    set("/Chassis/1/Sensors/Total",
        "{\"Reading\": 300, \"ReadingUnits\": \"W\", \"ReadingTime\": \"2026-11-21T02:00:02Z\"}");
    next_energy(600000000);
    assert_int_equal(asked("GET", "/Chassis/1/EnvironmentMetrics"), 1);
    for (int i = 0; i < 120; i++)
        next_status(-ENODATA);
    next_status(-ESTALE);
    /* Nobody knows what was drawn meanwhile. */
    set("/Chassis/1/Sensors/Total", "{\"Reading\": 300, \"ReadingTime\": \"2026-11-21T02:02:04Z\"}");
    next_energy(600000000);
    assert_true(readings[0].gap);
    set("/Chassis/1/Sensors/Total", "{\"Reading\": 300, \"ReadingTime\": \"2026-11-21T02:02:05Z\"}");
    next_energy(900000000);
    assert_false(readings[0].gap);
}

static void power_of_supplies(void **state)
{
    set_collection("1");
    set_chassis("1", "PowerSubsystem", "");
    set("/Chassis/1/PowerSubsystem", "{\"PowerSupplies\": {\"@odata.id\": \"" ROOT "/PS\"}}");
    set("/PS", "{\"Members\": [{\"@odata.id\": \"" ROOT "/PS/0\"}, {\"@odata.id\": \"" ROOT
               "/PS/1\"}, {\"@odata.id\": \"" ROOT "/PS/2\"}]}");
    set("/PS/0", "{\"Metrics\": {\"@odata.id\": \"" ROOT "/PS/0/Metrics\"}}");
    set("/PS/1", "{\"Metrics\": {\"@odata.id\": \"" ROOT "/PS/1/Metrics\"}}");
    set("/PS/2", "{\"Status\": {\"State\": \"Absent\"}}");
    set("/PS/0/Metrics", "{\"InputPowerWatts\": {\"Reading\": 199.5}}");
    set("/PS/1/Metrics", "{\"InputPowerWatts\": {\"Reading\": 0}}"); /* stands by */
    open_source();
    describes("power supplies");
    next_energy(0);
    next_energy(199500000);
    set("/PS/1/Metrics", "{\"InputPowerWatts\": {\"Reading\": 0.5}}");
    next_energy(399250000);
    /* One of them silent: the other alone is not the power. */
    set("/PS/1/Metrics", "{\"InputPowerWatts\": {\"Reading\": null}}");
    next_status(-ENODATA);
    /* After a minute of that it is looked at anew. */
    later(60);
    next_status(0);
    assert_true(asked("GET", "/Chassis/1/PowerSubsystem") == 2);
}

static void recorded(void **state)
{
    const char *root = getenv("CARNOT_SOURCE_ROOT"), *given = getenv("CARNOT_CEEMS_FIXTURES");
    char dir[PATH_MAX], file[PATH_MAX + 16], json[PATH_MAX + 64], port[16];
    struct redfish_power power;
    static const struct {
        const char *id;
        uint64_t watts, min, max, mean;
    } golden[] = {{"Chassis-1", 397, 326, 609, 365}, {"Chassis-2", 1696, 588, 2155, 1734}};

    snprintf(dir, sizeof(dir), "%s%s/redfish",
             given  ? given
             : root ? root
                    : ".",
             given ? "" : "/../shared/fixtures/ceems");
    snprintf(file, sizeof(file), "%s/config.yml", dir);
    if (access(file, R_OK) < 0) {
        print_message("skipped: no recorded answers in ../shared/fixtures/ceems (or $CARNOT_CEEMS_FIXTURES)\n");
        skip();
    }
    snprintf(json, sizeof(json), "{\"dir\": \"%s\"}", dir);
    bmc_do(&bmc, "recorded", json);
    snprintf(port, sizeof(port), "%d", (int)json_integer_value(json_object_get(bmc.ports, "http")));
    setenv("REDFISH_HOST", "localhost", 1);
    setenv("REDFISH_PORT", port, 1);
    settings.url = NULL;
    settings.config_file = file;
    settings.expand_env = true;
    open_source();
    assert_int_equal(n_domains(), 2);
    /* Both hold the same computer: neither is taken for it, and nothing is counted twice. */
    describes("2 chassis could be this machine");
    assert_true(read_all() == 2);
    later(1);
    assert_true(read_all() == 2);
    for (size_t i = 0; i < 2; i++) {
        char name[32], path[64];

        snprintf(name, sizeof(name), "%s-redfish", golden[i].id);
        assert_string_equal(domain_at(i)->name, name);
        assert_int_equal(domain_at(i)->kind, DOMAIN_OTHER);
        assert_int_equal(readings[i].status, 0);
        assert_int_equal(readings[i].counter_uj, golden[i].watts * 1000000);
        snprintf(path, sizeof(path), "/redfish/v1/Chassis/%s/Power", golden[i].id);
        const struct http_client_request request = {.url = bmc_url(&bmc, "http", path)};
        struct http_client_answer answer;
        assert_int_equal(http_client_perform(bmc.control, &request, &answer, &err), 0);
        assert_int_equal(redfish_parse_power(answer.body, &power, &err), 0);
        assert_int_equal(power.min_uw, golden[i].min * 1000000);
        assert_int_equal(power.max_uw, golden[i].max * 1000000);
        assert_int_equal(power.mean_uw, golden[i].mean * 1000000);
        assert_int_equal(power.interval_min, 30);
    }
    source = source_redfish.close(source);
    settings.chassis = (struct option_list){.items = {"Chassis-2"}, .count = 1};
    open_source();
    assert_int_equal(n_domains(), 1);
    assert_string_equal(domain_at(0)->name, "host-redfish");
    next_energy(0);
    next_energy(1696000000);
}

/* --- which chassis is the machine ------------------------------------------------------------------------------- */

static void host_rule(void **state)
{
    static const struct {
        const char *what;
        struct {
            const char *id, *type;
            unsigned n_systems;
            const char *container;
        } chassis[4];
        int host;
        unsigned n_rivals;
    } cases[] = {
        {"alone", {{"1", "", 0, ""}}, 0, 0},
        {"alone, whatever it is called", {{"1", "Component", 1, ""}}, 0, 0},
        {"an enclosure of several computers", {{"1", "Enclosure", 4, ""}}, -1, 0},
        {"a rack", {{"1", "Rack", 0, ""}}, -1, 0},
        {"the one with the computer", {{"Disks", "Enclosure", 0, ""}, {"Self", "RackMount", 1, ""}}, 1, 0},
        {"a blade in its enclosure", {{"Enc", "Enclosure", 8, ""}, {"Blade", "Blade", 1, "Enc"}}, 1, 0},
        {"blades of others",
         {{"Enc", "Enclosure", 2, ""}, {"B1", "Blade", 1, "Enc"}, {"B2", "Blade", 1, "Enc"}},
         -1,
         2},
        {"a part that names the computer too", {{"Self", "RackMount", 1, ""}, {"GPUs", "", 1, "Self"}}, 0, 0},
        {"parts by type", {{"Self", "RackMount", 1, ""}, {"G0", "Module", 1, ""}, {"G1", "Component", 1, ""}}, 0, 0},
        {"two of one computer", {{"C1", "RackMount", 1, ""}, {"C2", "RackMount", 1, ""}}, -1, 2},
        {"no computers told, one machine", {{"A", "StandAlone", 0, ""}, {"B", "Expansion", 0, ""}}, 0, 0},
        {"no computers told, two machines", {{"A", "", 0, ""}, {"B", "", 0, ""}}, -1, 2},
        {"parts only", {{"A", "Card", 0, ""}, {"B", "Card", 0, ""}}, -1, 0},
        {"each inside the other", {{"A", "", 1, "B"}, {"B", "", 1, "A"}}, -1, 0},
    };
    static struct redfish_inventory inventory;
    const struct option_list nobody = {0}, second = {.items = {"C2"}, .count = 1},
                             other = {.items = {"C3"}, .count = 1};

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        memset(&inventory, 0, sizeof(inventory));
        for (size_t k = 0; k < ELEMENTSOF(cases[i].chassis) && cases[i].chassis[k].id; k++) {
            struct redfish_meter *meter = &inventory.meters[inventory.n++];
            snprintf(meter->chassis.id, sizeof(meter->chassis.id), "%s", cases[i].chassis[k].id);
            snprintf(meter->path, sizeof(meter->path), ROOT "/Chassis/%s/", cases[i].chassis[k].id);
            snprintf(meter->chassis.type, sizeof(meter->chassis.type), "%s", cases[i].chassis[k].type);
            meter->chassis.n_systems = cases[i].chassis[k].n_systems;
            if (cases[i].chassis[k].container[0])
                snprintf(meter->chassis.container, sizeof(meter->chassis.container), ROOT "/Chassis/%s",
                         cases[i].chassis[k].container);
        }
        redfish_find_host(&inventory, &nobody);
        if (inventory.host != cases[i].host || inventory.n_rivals != cases[i].n_rivals)
            fail_msg("%s: %d, %u rivals", cases[i].what, inventory.host, inventory.n_rivals);
        if (strcmp(cases[i].what, "two of one computer") == 0) {
            redfish_find_host(&inventory, &second);
            assert_int_equal(inventory.host, 1);
            redfish_find_host(&inventory, &other);
            assert_int_equal(inventory.host, -1);
            assert_int_equal(inventory.n_rivals, 0);
        }
    }
}

static void several_chassis(void **state)
{
    set_collection("Disks Self Enc Quiet");
    set_chassis("Disks", "Power", ", \"ChassisType\": \"Enclosure\"");
    set_chassis("Self", "Power",
                ", \"ChassisType\": \"RackMount\", \"Links\": {\"ComputerSystems\": [{\"@odata.id\": "
                "\"" ROOT "/Systems/1\"}]}");
    set_chassis("Enc", "Power", "");
    set_chassis("Quiet", "Power Thermal", "");
    set_watts("Disks", "50");
    set_watts("Self", "400");
    set_watts("Enc", "3000");
    set("/Chassis/Quiet/Power", "{\"PowerSupplies\": []}");
    open_source();
    assert_int_equal(n_domains(), 3);
    static const char *const names[] = {"host-redfish", "Disks-redfish", "Enc-redfish"};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(domain_at(i)->name, names[i]);
        assert_int_equal(domain_at(i)->kind, i == 0 ? DOMAIN_HOST : DOMAIN_OTHER);
    }
    describes("Enc-redfish: chassis Enc, PowerControl of Power, a power; not known to be this machine");
    next_energy(0);
    next_energy(400000000);
    assert_int_equal(readings[1].counter_uj, 50000000);
    assert_int_equal(readings[2].counter_uj, 3000000000);
    source = source_redfish.close(source);

    /* Named ones are asked for, and no others. */
    bmc_do(&bmc, "forget", "{}");
    settings.chassis = (struct option_list){.items = {"Enc", "Disks"}, .count = 2};
    open_source();
    assert_int_equal(n_domains(), 2);
    assert_string_equal(domain_at(0)->name, "host-redfish");
    assert_string_equal(domain_at(1)->name, "Disks-redfish");
    next_energy(0);
    next_energy(3000000000);
    assert_int_equal(asked(NULL, "/Chassis/Self"), 0);
    source = source_redfish.close(source);
    settings.chassis = (struct option_list){.items = {"Rack"}, .count = 1};
    assert_int_equal(try_open(), -EINVAL);
    assert_says("Rack");
}

static void pages(void **state)
{
    set("/Chassis", "{\"Members\": [{\"@odata.id\": \"" ROOT "/Chassis/a\"}], \"Members@odata.nextLink\": \"" ROOT
                    "/Chassis?$skip=1\"}");
    set("/Chassis?$skip=1", "{\"Members\": [{\"@odata.id\": \"" ROOT "/Chassis/b\"}, {\"@odata.id\": "
                            "\"http://elsewhere/redfish/v1/Chassis/c\"}]}");
    set_chassis("a", "Power", "");
    set_chassis("b", "Power", ", \"Links\": {\"ComputerSystems\": [{}]}");
    set_watts("a", "1");
    set_watts("b", "2");
    open_source();
    assert_int_equal(n_domains(), 2);
    describes("host-redfish: chassis b");
    describes("1 more chassis are left out");
    source = source_redfish.close(source);
    /* A page that leads to itself ends as well. */
    bmc_do(&bmc, "forget", "{}");
    set("/Chassis",
        "{\"Members\": [{\"@odata.id\": \"" ROOT "/Chassis/a\"}], \"Members@odata.nextLink\": \"" ROOT "/Chassis\"}");
    open_source();
    assert_true(asked("GET", "/Chassis") < 20);
}

/* More chassis than are read, named alike after cleaning. */
static void many_chassis(void **state)
{
    char ids[1024] = "", id[16];

    for (int i = 0; i < REDFISH_CHASSIS_MAX + 3; i++) {
        snprintf(id, sizeof(id), "%s%02d", i ? " c" : "c", i);
        snprintf(ids + strlen(ids), sizeof(ids) - strlen(ids), "%s", id);
        snprintf(id, sizeof(id), "c%02d", i);
        set_chassis(id, "Power", i < 2 ? ", \"ChassisType\": \"Card\"" : "");
        set_watts(id, "10");
    }
    set_collection(ids);
    open_source();
    assert_int_equal(n_domains(), REDFISH_CHASSIS_MAX);
    describes("3 more chassis are left out");
    assert_int_equal(read_all(), REDFISH_CHASSIS_MAX);
    for (size_t i = 0; i < n_domains(); i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(domain_at(i)->name, domain_at(k)->name);
}

/* --- sessions --------------------------------------------------------------------------------------------------- */

static const char *logged(const json_t *log, size_t i, const char *key)
{
    return json_string_value(json_object_get(json_array_get(log, i), key));
}

static void one_session(void **state)
{
    one_chassis();
    log_in_as_reader();
    open_source();
    describes("with sessions of user reader");
    describes("unencrypted");
    next_energy(0);
    next_energy(400000000);
    assert_int_equal(asked("POST", "/SessionService/Sessions"), 1);
    assert_int_equal(bmc_sessions(&bmc), 1);
    json_t *log = bmc_log(&bmc);
    for (size_t i = 0; i < json_array_size(log); i++) {
        assert_null(logged(log, i, "basic"));
        if (strcmp(logged(log, i, "method"), "POST") == 0)
            assert_string_equal(logged(log, i, "body"), "{\"UserName\":\"reader\",\"Password\":\"" SECRET "\"}");
        else
            assert_null(strstr(logged(log, i, "body"), SECRET));
    }
    json_decref(log);
    source = source_redfish.close(source);
    assert_int_equal(bmc_sessions(&bmc), 0);
    assert_int_equal(asked("DELETE", "/SessionService/Sessions/1"), 1);
}

static void session_expires(void **state)
{
    one_chassis();
    log_in_as_reader();
    open_source();
    next_energy(0);
    for (unsigned i = 1; i <= 3; i++) {
        bmc_do(&bmc, "expire", "{}");
        next_energy(400000000ULL * i);
        assert_int_equal(asked("POST", "/SessionService/Sessions"), 1 + i);
        assert_int_equal(bmc_sessions(&bmc), 1);
    }
}

/* 401 whatever the session: renewed once, told as refused, and not tried again and again in one round. */
static void refused_resource(void **state)
{
    one_chassis();
    log_in_as_reader();
    open_source();
    next_energy(0);
    rule("/Chassis/1/Power", "\"how\": \"status\", \"status\": 401");
    next_status(-EACCES);
    assert_says("refused (status 401)");
    assert_int_equal(asked("POST", "/SessionService/Sessions"), 2);
    assert_int_equal(bmc_sessions(&bmc), 1);
    bmc_do(&bmc, "forget", "{}");
    next_energy(800000000);
}

static void wrong_password(void **state)
{
    one_chassis();
    log_in_as_reader();
    bmc_do(&bmc, "users", "{\"reader\": \"another\"}");
    assert_int_equal(try_open(), -EACCES);
    assert_says("user or password is refused");
    assert_int_equal(asked("POST", "/SessionService/Sessions"), 1);
}

/* The password is changed while we run: one attempt, then none for five minutes, since BMCs lock accounts. */
static void password_changes(void **state)
{
    one_chassis();
    log_in_as_reader();
    open_source();
    next_energy(0);
    bmc_do(&bmc, "users", "{\"reader\": \"another\"}");
    bmc_do(&bmc, "expire", "{}");
    bmc_do(&bmc, "forget", "{}");
    for (int i = 0; i < 5; i++) {
        later(1);
        assert_int_equal(read_all(), -EACCES);
        assert_says("user or password is refused");
    }
    assert_int_equal(asked("POST", "/SessionService/Sessions"), 1);
    assert_int_equal(bmc_asked(&bmc, NULL, NULL), 3); /* the reading, the old session's end, the login */
    bmc_do(&bmc, "users", "{\"reader\": \"" SECRET "\"}");
    later(300);
    next_status(0);
}

static void basic_authentication(void **state)
{
    one_chassis();
    log_in_as_reader();
    settings.session = false;
    open_source();
    next_energy(0);
    assert_int_equal(asked("POST", "/SessionService/Sessions"), 0);
    describes("with basic authentication");
    bmc_do(&bmc, "users", "{\"reader\": \"another\"}");
    bmc_do(&bmc, "forget", "{}");
    for (int i = 0; i < 3; i++) {
        later(1);
        assert_int_equal(read_all(), -EACCES);
    }
    assert_int_equal(bmc_asked(&bmc, NULL, NULL), 1);
}

static void no_user(void **state)
{
    one_chassis();
    bmc_do(&bmc, "users", "{\"reader\": \"" SECRET "\"}");
    assert_int_equal(try_open(), -EACCES);
    assert_says("--redfish.user");
}

static void odd_sessions(void **state)
{
    one_chassis();
    log_in_as_reader();
    rule("/SessionService/Sessions", "\"how\": \"status\", \"status\": 201, \"times\": 1");
    assert_int_equal(try_open(), -EPROTO);
    assert_says("no X-Auth-Token");
    rule("/SessionService/Sessions", "\"how\": \"status\", \"status\": 400, \"times\": 1");
    assert_int_equal(try_open(), -EPROTO);
    assert_says("--no-redfish.session");
    /* Where it is made is what the root says; where it ends may be a whole URL. */
    bmc_do(&bmc, "sessions_at", "{\"path\": \"" ROOT "/Elsewhere\", \"prefix\": \"https://bmc.invalid\"}");
    open_source();
    next_energy(0);
    source = source_redfish.close(source);
    assert_int_equal(asked("DELETE", "/Elsewhere/1") + asked("DELETE", "/Elsewhere/2"), 1);
}

/* Behind a proxy that passes a list of paths alone, and says 401 to others. */
static void behind_a_proxy(void **state)
{
    char yaml[512];

    set_collection("1");
    set_chassis("1", "EnvironmentMetrics PowerSubsystem Power", "");
    set_watts("1", "400");
    rule("/Chassis/1/EnvironmentMetrics", "\"how\": \"status\", \"status\": 401");
    rule("/Chassis/1/PowerSubsystem", "\"how\": \"status\", \"status\": 401");
    bmc_do(&bmc, "users", "{\"reader\": \"" SECRET "\"}");
    snprintf(yaml, sizeof(yaml),
             "redfish_collector:\n  hostname: bmc-7\n  port: 8443\n  external_url: %s/\n  username: reader\n"
             "  password: " SECRET "\n",
             url_of("http"));
    scratch_write(&s, "ceems.yml", yaml);
    assert_int_equal(chmod(scratch_path(&s, "ceems.yml"), 0600), 0);
    settings.url = NULL;
    settings.config_file = scratch_path(&s, "ceems.yml");
    open_source();
    describes("which passes on to https://bmc-7:8443");
    next_energy(0);
    next_energy(400000000);
    json_t *log = bmc_log(&bmc);
    for (size_t i = 0; i < json_array_size(log); i++)
        assert_string_equal(logged(log, i, "target"), "https://bmc-7:8443");
    json_decref(log);
}

/* --- BMCs that are not well -------------------------------------------------------------------------------------- */

static void broken_answers(void **state)
{
    static char deep[9000];
    static const struct {
        const char *rule;
        int status;
    } cases[] = {
        {"\"how\": \"raw\", \"body\": \"{\\\"PowerControl\\\": [{\\\"PowerCons\"", -EPROTO},
        {"\"how\": \"raw\", \"body\": \"\"", -EPROTO},
        {"\"how\": \"raw\", \"body\": \"<html>\"", -EPROTO},
        {"\"how\": \"raw\", \"body\": \"{\\\"a\\\": 1, \\\"a\\\": 2}\"", -EPROTO},
        {deep, -EPROTO},
        {"\"how\": \"raw\", \"body\": \"{\\\"PowerControl\\\": [{\\\"PowerConsumedWatts\\\": -3}]}\"", -ERANGE},
        {"\"how\": \"raw\", \"body\": \"{\\\"PowerControl\\\": [{\\\"PowerConsumedWatts\\\": 200000}]}\"", -ERANGE},
        {"\"how\": \"raw\", \"body\": \"{\\\"PowerControl\\\": [{\\\"PowerConsumedWatts\\\": null}]}\"", -ENODATA},
        {"\"how\": \"raw\", \"body\": \"{\\\"PowerControl\\\": [{\\\"PowerConsumedWatts\\\": 0}]}\"", -ENODATA},
        {"\"how\": \"short\", \"body\": \"{}\"", -ECONNRESET},
        {"\"how\": \"hang_up\"", -ECONNRESET},
        {"\"how\": \"garbage\"", -EPROTO},
        {"\"how\": \"big\"", -E2BIG},
        {"\"how\": \"big\", \"announced\": false", -E2BIG},
        {"\"how\": \"heads\"", -E2BIG},
        {"\"how\": \"status\", \"status\": 500", -EIO},
        {"\"how\": \"status\", \"status\": 403", -EACCES},
        {"\"how\": \"status\", \"status\": 418", -EPROTO},
        {"\"how\": \"redirect\", \"to\": \"http://127.0.0.1:1/stolen\"", -EPROTO},
        {"\"how\": \"redirect\", \"to\": \"" ROOT "/Chassis/1/Power\"", -EPROTO},
    };
    size_t n = (size_t)snprintf(deep, sizeof(deep), "\"how\": \"raw\", \"body\": \"");

    memset(deep + n, '[', 8000);
    deep[n + 8000] = '"';
    one_chassis();
    set_collection("1 2");
    set_chassis("2", "Power", ", \"ChassisType\": \"Card\"");
    set_watts("2", "10");
    open_source();
    assert_int_equal(n_domains(), 2);
    next_energy(0);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        bmc_do(&bmc, "forget", "{}");
        rule("/Chassis/1/Power", cases[i].rule);
        next_status(cases[i].status);
        assert_int_equal(err.msg[0] != '\0', cases[i].status != -ENODATA);
        assert_int_equal(readings[1].status, 0); /* the other one has nothing to do with it */
    }
    bmc_do(&bmc, "forget", "{}");
    next_status(0);
    assert_int_equal(readings[0].counter_uj, 400000000 * (ELEMENTSOF(cases) + 1)); /* bridged */
}

static void resource_goes(void **state)
{
    set_collection("1");
    set_chassis("1", "EnvironmentMetrics Power", "");
    set("/Chassis/1/EnvironmentMetrics", "{\"PowerWatts\": {\"Reading\": 400}}");
    open_source();
    next_energy(0);
    /* New firmware: told elsewhere from now on. The next reading finds it. */
    set("/Chassis/1/EnvironmentMetrics", "null");
    set_watts("1", "400");
    next_status(-ENOENT);
    assert_says("no such resource");
    next_energy(800000000);
    /* A counter that comes is not taken up: this domain is one of powers. */
    set("/Chassis/1/Power", "null");
    set("/Chassis/1/EnvironmentMetrics", "{\"EnergyJoules\": {\"Reading\": 7}}");
    next_status(-ENOENT);
    next_status(-ENODATA);
    assert_int_equal(asked("GET", "/Chassis/1/EnvironmentMetrics"), 5);
    for (int i = 0; i < 10; i++)
        next_status(-ENOENT);
    assert_int_equal(asked("GET", "/Chassis/1/EnvironmentMetrics"), 5);
}

static void fewer_entries(void **state)
{
    one_chassis();
    set("/Chassis/1/Power", "{\"PowerControl\": [{\"PowerConsumedWatts\": 300}, {\"PowerConsumedWatts\": 100}]}");
    open_source();
    next_energy(0);
    set("/Chassis/1/Power", "{\"PowerControl\": [{\"PowerConsumedWatts\": 300}, {\"PowerConsumedWatts\": null}]}");
    next_status(-ENODATA);
    set("/Chassis/1/Power", "{\"PowerControl\": [{\"PowerConsumedWatts\": 300}, {\"PowerConsumedWatts\": 100}]}");
    next_energy(800000000);
}

static void busy(void **state)
{
    static const struct {
        const char *rule;
        unsigned seconds;
    } cases[] = {
        {"\"how\": \"status\", \"status\": 503, \"times\": 1, \"Retry-After\": \"7\"", 7},
        {"\"how\": \"status\", \"status\": 429, \"times\": 1, \"Retry-After\": \"0\"", 1},
        {"\"how\": \"status\", \"status\": 503, \"times\": 1", 10},
        {"\"how\": \"status\", \"status\": 503, \"times\": 1, \"Retry-After\": \"Sat, 21 Nov 2026 07:28:00 GMT\"", 10},
        {"\"how\": \"status\", \"status\": 503, \"times\": 1, \"Retry-After\": \"99999999999999999999999\"", 10},
        {"\"how\": \"status\", \"status\": 503, \"times\": 1, \"Retry-After\": \"86400\"", 300},
    };

    one_chassis();
    open_source();
    next_energy(0);
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        bmc_do(&bmc, "forget", "{}");
        rule("/Chassis/1/Power", cases[i].rule);
        for (unsigned k = 0; k < cases[i].seconds; k++) {
            later(1);
            assert_int_equal(read_all(), -EAGAIN);
            assert_says("is busy");
        }
        assert_int_equal(bmc_asked(&bmc, NULL, NULL), 1);
        next_status(0);
    }
}

/* The BMC restarts just when we start: its place is kept, and its figure comes when it answers. */
static void absent_at_the_start(void **state)
{
    static const char *const rules[] = {"\"how\": \"hang_up\"", "\"how\": \"status\", \"status\": 503",
                                        "\"how\": \"status\", \"status\": 500"};

    for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
        bmc_do(&bmc, "reset", "{}");
        set_collection("Disks 1");
        set_chassis("Disks", "Power", ", \"ChassisType\": \"StorageEnclosure\"");
        set_chassis("1", "EnvironmentMetrics", "");
        set("/Chassis/1/EnvironmentMetrics", "{\"EnergyJoules\": {\"Reading\": 7}}");
        set_watts("Disks", "50");
        bmc_rule(&bmc, ROOT "/", rules[i]);
        open_source();
        assert_int_equal(n_domains(), 1);
        assert_string_equal(domain_at(0)->name, "host-redfish");
        assert_int_equal(domain_at(0)->kind, DOMAIN_HOST);
        assert_int_equal(domain_at(0)->quality, QUALITY_DERIVED);
        describes("did not answer at the start");
        later(11);
        assert_true(read_all() < 0);
        assert_true(err.msg[0]);
        later(11);
        assert_true(read_all() < 0);
        bmc_do(&bmc, "forget", "{}");
        later(11);
        next_energy(7000000);
        source = source_redfish.close(source);
    }
    /* It comes back as something of which we do not know which part is ours. */
    bmc_do(&bmc, "reset", "{}");
    bmc_rule(&bmc, ROOT "/", "\"how\": \"hang_up\", \"times\": 1");
    set_collection("A B");
    set_chassis("A", "Power", "");
    set_chassis("B", "Power", "");
    set_watts("A", "1");
    set_watts("B", "2");
    open_source();
    later(1);
    assert_int_equal(read_all(), -ENODEV);
    assert_says("--redfish.chassis");
}

/* It answers, but its sensors are not ready. */
static void silent_at_the_start(void **state)
{
    one_chassis();
    set_watts("1", "null");
    open_source();
    assert_int_equal(n_domains(), 1);
    describes("no figure so far");
    next_status(-ENODATA);
    set_watts("1", "400");
    later(60);
    next_status(0);
    next_energy(400000000);
}

static void no_service(void **state)
{
    settings.url = bmc_url(&bmc, "http", "/nowhere");
    assert_int_equal(try_open(), -ENODEV);
    assert_says("no Redfish service");
    settings.url = url_of("http");
    bmc_rule(&bmc, ROOT "/", "\"how\": \"raw\", \"times\": 1, \"body\": \"<html>a router</html>\"");
    assert_int_equal(try_open(), -EPROTO);
    set("/Chassis", "{\"Members\": []}");
    assert_int_equal(try_open(), -ENODEV);
    assert_says("none of its chassis");
    set_collection("1");
    set_chassis("1", "Thermal", "");
    assert_int_equal(try_open(), -ENODEV);
    /* A link that leads elsewhere is no link. */
    set("/Chassis/1", "{\"Id\": \"1\", \"Power\": {\"@odata.id\": \"http://elsewhere/redfish/v1/Power\"}}");
    assert_int_equal(try_open(), -ENODEV);
    set("/Chassis/1", "{\"Id\": \"1\", \"Power\": {\"@odata.id\": \"/redfish/v1/../control/log\"}}");
    assert_int_equal(try_open(), -ENODEV);
}

static void tls(void **state)
{
    static const struct {
        const char *listener;
        bool ca, insecure;
        int result;
    } cases[] = {
        {"https", true, false, 0},
        {"https", false, false, -EKEYREJECTED},
        {"other_name", true, false, -EKEYREJECTED},
        {"expired", true, false, -EKEYEXPIRED},
        {"self_signed", true, false, -EKEYREJECTED},
        {"self_signed", false, true, 0},
    };

    one_chassis();
    log_in_as_reader();
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        settings.url = url_of(cases[i].listener);
        settings.ca_file = cases[i].ca ? scratch_path(&s, "tls/ca.pem") : NULL;
        settings.insecure = cases[i].insecure;
        assert_int_equal(try_open(), cases[i].result);
        if (cases[i].result < 0)
            continue;
        next_energy(0);
        if (cases[i].insecure)
            describes("certificate is not looked at");
        source = source_redfish.close(source);
    }
}

/* --- time -------------------------------------------------------------------------------------------------------- */

static void slow(void **state)
{
    s.env.clock = carnot_clock_system();
    settings.timeout_ns = 2 * NS_PER_SEC; /* a busy machine must get its good answers through */
    one_chassis();
    set_collection("1 2");
    set_chassis("2", "Power", ", \"ChassisType\": \"Card\"");
    set_watts("2", "10");
    open_source();
    assert_int_equal(read_all(), 2);
    rule("/Chassis/1/Power", "\"how\": \"slow\"");
    reset_source(0); /* at once, and not in a second */
    uint64_t begin_ns = clock_now(s.env.clock).mono_ns;
    assert_int_equal(read_all(), -ETIMEDOUT);
    assert_true(clock_now(s.env.clock).mono_ns - begin_ns < 20 * NS_PER_SEC); /* the server would take 30 */
    /* One of the others: the host is read all the same. */
    bmc_do(&bmc, "forget", "{}");
    rule("/Chassis/2/Power", "\"how\": \"trickle\"");
    reset_source(0);
    assert_int_equal(read_all(), 2);
    assert_int_equal(readings[0].status, 0);
    assert_int_equal(readings[1].status, -ETIMEDOUT);
    assert_true(readings[1].mono_ns > readings[0].mono_ns + NS_PER_SEC);
}

static void slow_start(void **state)
{
    s.env.clock = carnot_clock_system();
    settings.timeout_ns = NS_PER_SEC;
    one_chassis();
    rule("/Chassis/1", "\"how\": \"slow\"");
    uint64_t begin_ns = clock_now(s.env.clock).mono_ns;
    open_source(); /* with a place kept */
    describes("name those to be read with --redfish.chassis");
    assert_true(clock_now(s.env.clock).mono_ns - begin_ns < 10 * NS_PER_SEC);
    assert_true(read_all() < 0);
    bmc_do(&bmc, "forget", "{}");
    assert_int_equal(read_all(), 1);
    assert_int_equal(readings[0].status, 0);
}

/* Time that runs out before the last one: it comes first the next time. */
static void in_turn(void **state)
{
    bool seen[4] = {false};

    s.env.clock = carnot_clock_system();
    settings.timeout_ns = 3 * NS_PER_SEC;
    set_collection("h a b c");
    set_chassis("h", "Power", ", \"Links\": {\"ComputerSystems\": [{}]}");
    set_chassis("a", "Power", "");
    set_chassis("b", "Power", "");
    set_chassis("c", "Power", "");
    set_watts("h", "1");
    set_watts("a", "1");
    set_watts("b", "1");
    set_watts("c", "1");
    open_source();
    assert_int_equal(n_domains(), 4);
    rule("/Chassis/a/Power", "\"how\": \"slow\"");
    for (int i = 0; i < 2; i++) {
        reset_source(0);
        assert_int_equal(read_all(), 4);
        assert_int_equal(readings[0].status, 0);
        for (size_t k = 0; k < 4; k++)
            seen[k] |= readings[k].status == 0;
    }
    assert_true(seen[2] && seen[3]);
    assert_false(seen[1]);
}

static void interval(void **state)
{
    one_chassis();
    settings.interval_ns = 10 * NS_PER_SEC;
    open_source();
    bmc_do(&bmc, "forget", "{}");
    next_energy(0);
    for (int i = 0; i < 9; i++)
        next_status(-ENODATA);
    assert_int_equal(bmc_asked(&bmc, NULL, NULL), 1);
    next_energy(4000000000);
    /* What failed has still failed until it is asked again. */
    set("/Chassis/1/Power", "null");
    later(9);
    next_status(-ENOENT);
    next_status(-ENOENT);
    assert_says("no such resource");
}

static void suspend(void **state)
{
    one_chassis();
    open_source();
    next_energy(0);
    next_energy(400000000);
    later(30);
    reset_source(s.clock.now.mono_ns);
    next_energy(400000000);
    next_energy(800000000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(off_unless_configured),
        TEST(power_over_time),
        TEST(counter_of_joules),
        TEST(counters_of_kwh),
        TEST(power_by_sensor),
        TEST(power_of_supplies),
        TEST(recorded),
        TEST(host_rule),
        TEST(several_chassis),
        TEST(pages),
        TEST(many_chassis),
        TEST(one_session),
        TEST(session_expires),
        TEST(refused_resource),
        TEST(wrong_password),
        TEST(password_changes),
        TEST(basic_authentication),
        TEST(no_user),
        TEST(odd_sessions),
        TEST(behind_a_proxy),
        TEST(broken_answers),
        TEST(resource_goes),
        TEST(fewer_entries),
        TEST(busy),
        TEST(absent_at_the_start),
        TEST(silent_at_the_start),
        TEST(no_service),
        TEST(tls),
        TEST(slow),
        TEST(slow_start),
        TEST(in_turn),
        TEST(interval),
        TEST(suspend),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
