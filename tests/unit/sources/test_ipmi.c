/* SPDX-License-Identifier: Apache-2.0 */
/* The IPMI source as the meter uses it: which way is taken, a power that becomes energy, and every way in which a BMC
 * has none. BMC and driver are simulated (ipmi_fake.h); programs are what the test says they print (the real ones run
 * in tests/system/test_ipmi.py). */
#include "ipmi_fake.h"

#include "base/commands.h"
#include "sources/ipmi_native.h"
#include "sources/ipmi_text.h"
#include "sources/registry.h"

static struct scratch s;
static struct ipmi_settings settings;
static struct source_args args;
static struct carnot_err err;
static void *self;

/* --- programs ------------------------------------------------------------------------------------------------------
 */

struct program {
    char line[1024]; /* argv with blanks */
    const char *output;
    int result; /* of commands_run */
    struct command_end end;
    unsigned runs;
};

static struct program programs[4];
static unsigned n_programs;
static const char *installed; /* the one that is there; NULL: all */
static const char *next_output;
static int next_status; /* exit status */

int __wrap_commands_add(struct commands *commands, const char *const *argv, const struct command_limits *limits,
                        unsigned *ret_number, struct carnot_err *e);
int __wrap_commands_run(struct commands *commands, unsigned number, struct buf *out, struct command_end *ret_end,
                        struct carnot_err *e);

int __wrap_commands_add(struct commands *commands, const char *const *argv, const struct command_limits *limits,
                        unsigned *ret_number, struct carnot_err *e)
{
    assert_true(limits->timeout_ns > 0 && limits->output_max > 0);
    if (installed && strcmp(installed, argv[0]) != 0)
        return carnot_err_set(e, ENOENT, "no %s", argv[0]);
    struct program program = {.output = next_output, .end = {.status = next_status << 8}};
    for (size_t i = 0; argv[i]; i++) {
        size_t n = strlen(program.line);

        assert_true(i < COMMAND_ARGS_MAX);
        snprintf(program.line + n, sizeof(program.line) - n, "%s%s", i ? " " : "", argv[i]);
    }
    unsigned i = 0;
    while (i < n_programs && strcmp(programs[i].line, program.line) != 0)
        i++;
    assert_true(i < ELEMENTSOF(programs));
    if (i == n_programs)
        programs[n_programs++] = program;
    *ret_number = i; /* the same again is the same number */
    return 0;
}

int __wrap_commands_run(struct commands *commands, unsigned number, struct buf *out, struct command_end *ret_end,
                        struct carnot_err *e)
{
    struct program *program = &programs[number];

    assert_true(number < n_programs);
    program->runs++;
    if (program->result < 0)
        return carnot_err_set(e, program->result, "the program did not run");
    buf_puts(out, program->output);
    *ret_end = program->end;
    return 0;
}

static const char tool_text[] =
    "    Instantaneous power reading:  300 Watts\n    IPMI timestamp:  11/21/26 02:50:36 UTC\n"
    "    Power reading state is:  activated\n";
static const char dcmi_text[] = "Current Power : 310 Watts\nPower Measurement : Active\n";
static const char util_text[] = "  Current Power:  320 Watts\n  Power reading state is:  active\n";
static const char capmc_text[] = "{\"avg\":5942000,\"min\":1,\"max\":9999999,\"e\":0,\"err_msg\":\"\"}";

/* --- all tests ------------------------------------------------------------------------------------------------------
 */

static int setup(void **state)
{
    fake_init(&s);
    settings = (struct ipmi_settings){.way = IPMI_AUTO, .lan_port = 623};
    args = (struct source_args){.env = &s.env, .settings = &settings};
    err = CARNOT_ERR_INIT;
    self = NULL;
    n_programs = 0;
    installed = NULL;
    next_output = tool_text;
    next_status = 0;
    return 0;
}

static int teardown(void **state)
{
    self = source_ipmi.close(self);
    scratch_done(&s);
    return 0;
}

/* Something that is not NULL: the functions that would look into it are ours. */
static void allow_programs(void)
{
    static int commands;

    s.env.commands = (struct commands *)&commands;
}

/* What probe says, open says too. */
static int try_open(void)
{
    struct carnot_err probe_err = CARNOT_ERR_INIT;

    err = CARNOT_ERR_INIT;
    int probed = source_ipmi.probe(&args, &probe_err), opened = source_ipmi.open(&args, &self, &err);
    assert_int_equal(probed, opened);
    assert_string_equal(probe_err.msg, err.msg);
    assert_int_equal(err.code, -opened);
    return opened;
}

static void open_source(void)
{
    int r = try_open();

    if (r < 0)
        fail_msg("%d: %s", r, err.msg);
}

static struct reading read_now(void)
{
    struct reading out[DOMAINS_MAX] = {0};

    err = CARNOT_ERR_INIT;
    int n = source_ipmi.read(self, s.clock.now.mono_ns, out, &err);
    if (n < 0)
        return (struct reading){.status = n};
    assert_int_equal(n, 1);
    assert_int_equal(out[0].domain, 0);
    assert_int_equal(out[0].mono_ns, s.clock.now.mono_ns); /* when the answer came */
    assert_int_equal(out[0].is_power, out[0].status == 0);
    assert_int_equal(out[0].power_uw != 0, out[0].status == 0);
    return out[0];
}

/* The next reading after so many seconds, in watts, or its status. */
static int64_t watts_after(unsigned seconds)
{
    fake_clock_advance(&s.clock, seconds * NS_PER_SEC);
    struct reading reading = read_now();

    return reading.status < 0 ? reading.status : (int64_t)(reading.power_uw / 1000000);
}

static void assert_described(const char *words)
{
    struct buf out;

    buf_init(&out, 65536);
    source_ipmi.describe(self, &out);
    if (!strstr(buf_str(&out), words))
        fail_msg("no \"%s\" in \"%s\"", words, buf_str(&out));
    buf_done(&out);
}

/* --- the domain ------------------------------------------------------------------------------------------------------
 */

static void the_domain(void **state)
{
    const struct domain *d;

    open_source();
    assert_int_equal(source_ipmi.domains(self, &d), 1);
    assert_string_equal(d->name, "host-ipmi");
    assert_int_equal(d->kind, DOMAIN_HOST);
    assert_int_equal(d->quality, QUALITY_DERIVED);
    assert_string_equal(d->source, "ipmi");
    assert_true(d->max_uw > 0);
    assert_described("host-ipmi: BMC of Dell (674), firmware 2.45, IPMI 2.0, DCMI 1.5 power reading; a power, "
                     "asked for every 5 s\n");
}

/* Where Cray's counter, an ACPI meter and the BMC all tell the node: the counter; without it the meter, which is read
 * more often; and the order of the registry is what says so. */
static void one_host_counts(void **state)
{
    static const struct {
        const char *name, *source;
        enum quality quality;
    } hosts[] = {{"host-cray", "cray_pm", QUALITY_MEASURED},
                 {"host-hwmon", "hwmon", QUALITY_DERIVED},
                 {"host-ipmi", "ipmi", QUALITY_DERIVED}};
    struct domain d[ELEMENTSOF(hosts)] = {0};
    size_t at = 0;

    for (size_t i = 0; i < ELEMENTSOF(hosts); i++) {
        while (at < source_registry_count && strcmp(source_registry[at]->name, hosts[i].source) != 0)
            at++;
        assert_true(at < source_registry_count); /* in this order */
        d[i] = (struct domain){.kind = DOMAIN_HOST, .quality = hosts[i].quality, .package = -1, .die = -1, .node = -1};
        snprintf(d[i].name, sizeof(d[i].name), "%s", hosts[i].name);
    }
    domains_mark_total(d, 3);
    assert_true(d[0].in_total && !d[1].in_total && !d[2].in_total);
    domains_mark_total(d + 1, 2);
    assert_true(d[1].in_total && !d[2].in_total);
    domains_mark_total(d + 2, 1);
    assert_true(d[2].in_total);
}

/* --- power
 * ------------------------------------------------------------------------------------------------------------ */

static void power(void **state)
{
    open_source();
    assert_int_equal(watts_after(0), 250);
    fake.watts = 500;
    assert_int_equal(watts_after(5), 500);
    assert_int_equal(watts_after(5), 500);
}

static void not_measuring_is_never_zero(void **state)
{
    open_source();
    assert_int_equal(watts_after(0), 250);
    fake.state = 0;
    assert_int_equal(watts_after(5), -ENODATA); /* whatever figure stands beside it */
    fake.watts = 0;
    assert_int_equal(watts_after(5), -ENODATA);
    fake.state = 0x40;
    assert_int_equal(watts_after(5), -ENODATA);
    fake.watts = 250;
    assert_int_equal(watts_after(5), 250);
}

static void the_same_sample(void **state)
{
    const unsigned limit = IPMI_SAMPLE_MAX_NS / NS_PER_SEC;

    open_source();
    watts_after(0);
    fake.stamp++;
    assert_int_equal(watts_after(5), 250); /* it moves, so it means something */
    assert_int_equal(watts_after(limit - 5), 250);
    assert_int_equal(watts_after(5), -ESTALE);
    assert_non_null(strstr(err.msg, "same sample"));
    assert_int_equal(watts_after(5), -ESTALE);
    fake.stamp++;
    assert_int_equal(watts_after(5), 250);
    assert_int_equal(watts_after(5), 250);
}

static void a_stamp_that_never_moves_says_nothing(void **state)
{
    open_source();
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(watts_after(5), 250);
    fake.stamp = 0;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(watts_after(5), 250);
}

/* --- DCMI in trouble -------------------------------------------------------------------------------------------------
 */

static void completion_codes(void **state)
{
    static const struct {
        uint8_t code;
        int status;
    } cases[] = {{0xC0, -EAGAIN}, {0xC1, -EOPNOTSUPP}, {0xC3, -ETIMEDOUT}, {0xD4, -EPERM},
                 {0xD5, -EAGAIN}, {0xD6, -EOPNOTSUPP}, {0x80, -EIO},       {0xFF, -EIO}};

    settings.way = IPMI_DCMI;
    open_source();
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        fake.completion = cases[i].code;
        assert_int_equal(read_now().status, cases[i].status);
        assert_non_null(strstr(err.msg, "completion code 0x"));
    }
    fake.completion = 0;
    assert_int_equal(read_now().status, 0);
}

static unsigned busy_times;

static bool pass_busy(struct fake_message *answer)
{
    if (busy_times > 0) {
        busy_times--;
        answer->data[0] = 0xC0;
        answer->n = 1;
    }
    return true;
}

static void busy_for_a_moment(void **state)
{
    open_source();
    fake.pass = pass_busy;
    busy_times = 1;
    assert_int_equal(read_now().status, 0); /* asked once more */
    fake_clock_advance(&s.clock, 5 * NS_PER_SEC);
    busy_times = 2;
    assert_int_equal(read_now().status, -EAGAIN);
    assert_int_equal(read_now().status, 0);
}

static size_t cut_at;

static bool pass_cut(struct fake_message *answer)
{
    answer->n = min_size(answer->n, cut_at);
    return true;
}

static bool pass_never(struct fake_message *answer)
{
    return false;
}

static void short_answers(void **state)
{
    open_source();
    fake.pass = pass_cut;
    for (cut_at = 0; cut_at < 19; cut_at++) {
        assert_int_equal(read_now().status, -EPROTO);
        assert_non_null(strstr(err.msg, "breaks the protocol"));
    }
    assert_int_equal(read_now().status, 0);
}

static void no_answer(void **state)
{
    open_source();
    fake.pass = pass_never;
    uint64_t begin_ns = s.clock.now.mono_ns;
    assert_int_equal(read_now().status, -ETIMEDOUT);
    assert_int_equal(s.clock.now.mono_ns - begin_ns, IPMI_TIMEOUT_NS);
    fake.pass = NULL;
    assert_int_equal(read_now().status, 0);
}

static void device_goes_and_comes(void **state)
{
    open_source();
    read_now();
    fake.gone = true;
    assert_int_equal(watts_after(5), -ENODEV);
    assert_int_equal(watts_after(5), -ENODEV);
    fake.gone = false;
    assert_int_equal(watts_after(5), 250);
}

/* --- opening ---------------------------------------------------------------------------------------------------------
 */

static void no_device(void **state)
{
    scratch_remove(&s, "dev");
    allow_programs();
    assert_int_equal(try_open(), -ENODEV);
    assert_int_equal(source_ipmi.open(&args, &self, &err), -ENODEV);
    assert_int_equal(n_programs, 0); /* no program is run on every machine that has no BMC */
}

static void bmc_without_power(void **state)
{
    fake.completion = 0xC1;
    fake_add_others();
    assert_int_equal(try_open(), -ENODEV);
    assert_non_null(strstr(err.msg, "does not know this command"));
    assert_non_null(strstr(err.msg, "none of the 3"));
    fake.n_records = 0;
    assert_int_equal(try_open(), -ENODEV);
    fake.completion = 0;
    fake.state = 0; /* boards whose supplies cannot tell: for ever */
    assert_int_equal(try_open(), -ENODEV);
    fake.completion = 0xC0; /* that may pass */
    assert_int_equal(try_open(), -EAGAIN);
    fake.pass = pass_never;
    assert_int_equal(try_open(), -ETIMEDOUT);
}

/* Who names a way waits for it. */
static void a_named_way_is_waited_for(void **state)
{
    settings.way = IPMI_DCMI;
    fake.state = 0;
    open_source();
    assert_int_equal(read_now().status, -ENODATA);
    self = source_ipmi.close(self);
    fake.pass = pass_never;
    open_source();
    fake.pass = NULL;
    fake.state = 0x40;
    assert_int_equal(read_now().status, 0);
    self = source_ipmi.close(self);
    fake.completion = 0xC1; /* that will not pass */
    assert_int_equal(try_open(), -EOPNOTSUPP);
    fake.completion = 0;
    settings.way = IPMI_SENSOR;
    assert_int_equal(try_open(), -ENODEV);
}

/* --- sensors ---------------------------------------------------------------------------------------------------------
 */

static void a_total_sensor(void **state)
{
    fake.completion = 0xC1;
    fake_add_others();
    fake_add(record_watts("PSU1_PIN", 10, 1, 1));
    fake_add(record_watts("Pwr Consumption", 7, 2, 4));
    fake_add(record_watts("CPU1 Power", 3, 3, 1));
    fake.raw[1] = 120;
    fake.raw[2] = 60;
    open_source();
    assert_described("sensor \"Pwr Consumption\"; a power, asked for every 5 s");
    assert_int_equal(watts_after(0), 240);
    fake.flags[2] = 0xE0; /* unavailable */
    assert_int_equal(watts_after(5), -ENODATA);
    fake.flags[2] = 0x80; /* not scanned */
    assert_int_equal(watts_after(5), -ENODATA);
    fake.flags[2] = 0xC0;
    fake.sensor_completion[2] = 0xCE;
    assert_int_equal(watts_after(5), -EAGAIN);
    fake.sensor_completion[2] = 0;
    fake.raw[2] = 0; /* 0 W: a machine that runs us draws more */
    assert_int_equal(watts_after(5), -ENODATA);
    fake.raw[2] = 61;
    assert_int_equal(watts_after(5), 244);
}

static void supplies_are_added_up(void **state)
{
    settings.way = IPMI_SENSOR;
    fake_add_others();
    for (uint8_t i = 1; i <= 3; i++)
        fake_add(record_watts(i == 1 ? "PSU1_PIN" : i == 2 ? "PSU2_PIN" : "PSU3_PIN", 10, i, 1));
    fake_add(record_watts("PSU1_POUT", 10, 4, 1));
    fake.raw[1] = 120;
    fake.raw[2] = 130;
    fake.sensor_completion[3] = 0xCB; /* an empty bay */
    fake.raw[4] = 100;
    open_source();
    assert_described("sensors \"PSU1_PIN\", \"PSU2_PIN\", \"PSU3_PIN\", inputs of the power supplies, added up");
    assert_int_equal(watts_after(0), 250);
    fake.flags[2] = 0xE0; /* silent: half of the sum would look like a machine that draws half */
    assert_int_equal(watts_after(5), -ENODATA);
    assert_non_null(strstr(err.msg, "PSU2_PIN"));
    fake.flags[2] = 0xC0;
    assert_int_equal(watts_after(5), 250);
    fake.flags[2] = 0xE0; /* pulled: for good */
    assert_int_equal(watts_after(5), -ENODATA);
    assert_int_equal(watts_after(5), -ENODATA);
    assert_int_equal(watts_after(IPMI_SILENCE_NS / NS_PER_SEC - 10), 120);
    assert_int_equal(watts_after(5), 120);
    fake.sensor_completion[3] = 0; /* a third one was put in */
    fake.raw[3] = 40;
    assert_int_equal(watts_after(5), 160);
    fake.sensor_completion[1] = 0xFF; /* one that fails is not one that is silent */
    assert_int_equal(watts_after(5), -EIO);
}

static void records_in_pieces(void **state)
{
    settings.way = IPMI_SENSOR;
    fake_add_others();
    fake_add(record_watts("Sys Power", 7, 9, 2));
    fake.raw[9] = 100;
    for (size_t piece = 4; piece <= 64; piece++) {
        fake.piece_max = piece;
        open_source();
        assert_int_equal(watts_after(0), 200);
        self = source_ipmi.close(self);
    }
    fake.piece_max = 2; /* nobody is as narrow */
    assert_int_equal(try_open(), -EMSGSIZE);
    assert_non_null(strstr(err.msg, "cannot return so many bytes"));
}

static void reservation_is_lost(void **state)
{
    settings.way = IPMI_SENSOR;
    fake_add(record_watts("Sys Power", 7, 9, 2));
    fake.raw[9] = 100;
    fake.steal_reservation = 3;
    open_source();
    self = source_ipmi.close(self);
    fake.steal_reservation = 1000;
    assert_int_equal(try_open(), -EAGAIN);
    assert_non_null(strstr(err.msg, "change all the time"));
}

static bool pass_circle(struct fake_message *answer)
{
    if (answer->cmd == 0x23)
        answer->data[1] = answer->data[2] = 0; /* the next record is the first */
    answer->due_ns -= FAKE_DELAY_NS;
    return true;
}

static bool pass_more_than_asked(struct fake_message *answer)
{
    if (answer->cmd == 0x23) {
        memset(answer->data + answer->n, 0xC0, 255 - answer->n);
        answer->n = 255;
    }
    return true;
}

static bool pass_long_record(struct fake_message *answer)
{
    if (answer->cmd == 0x23 && fake.data[4] == 0)
        answer->data[3 + 4] = 255; /* it says that it has 260 bytes */
    return true;
}

static bool pass_long_first_record(struct fake_message *answer)
{
    return fake.data[2] == 0 && fake.data[3] == 0 ? pass_long_record(answer) : true;
}

static void records_gone_wrong(void **state)
{
    settings.way = IPMI_SENSOR;
    fake_add(record_watts("CPU Power", 3, 9, 2));
    fake.pass = pass_circle;
    assert_int_equal(try_open(), -EPROTO);
    assert_non_null(strstr(err.msg, "does not end"));
    fake.pass = pass_more_than_asked;
    assert_int_equal(try_open(), -ENODEV);
    fake.records[0] = record_watts("Sys Power", 7, 9, 2);
    fake.raw[9] = 100;
    open_source(); /* what is too much is left */
    self = source_ipmi.close(self);
    fake.pass = pass_long_record;
    assert_int_equal(try_open(), -ENODEV); /* the BMC says that this is out of range */
    assert_non_null(strstr(err.msg, "1 cannot be read"));
    fake_add(record_watts("Total Power", 7, 8, 2));
    fake.raw[8] = 50;
    fake.pass = pass_long_first_record;
    open_source(); /* the others count */
    assert_described("sensor \"Total Power\"");
}

/* The walk takes its time, but not for ever. */
static bool pass_slow(struct fake_message *answer)
{
    answer->due_ns += 4 * NS_PER_SEC;
    return true;
}

static void slow_records(void **state)
{
    settings.way = IPMI_SENSOR;
    for (int i = 0; i < 20; i++)
        fake_add(record_watts("CPU Power", 3, 9, 2));
    fake.pass = pass_slow;
    uint64_t begin_ns = s.clock.now.mono_ns;
    assert_int_equal(source_ipmi.open(&args, &self, &err), -ETIMEDOUT);
    assert_in_range(s.clock.now.mono_ns - begin_ns, IPMI_WALK_TIMEOUT_NS, IPMI_WALK_TIMEOUT_NS + IPMI_TIMEOUT_NS);
}

/* --- programs --------------------------------------------------------------------------------------------------------
 */

static void each_program(void **state)
{
    static const struct {
        enum ipmi_way way;
        uint64_t device;
        const char *output, *line;
        uint64_t watts;
    } cases[] = {
        {IPMI_FREEIPMI, 0, dcmi_text, "ipmi-dcmi --get-system-power-statistics", 310},
        {IPMI_FREEIPMI, 2, dcmi_text,
         "ipmi-dcmi --driver-type=OPENIPMI --driver-device=/dev/ipmi2 --get-system-power-statistics", 310},
        {IPMI_IPMITOOL, 0, tool_text, "ipmitool dcmi power reading", 300},
        {IPMI_IPMITOOL, 255, tool_text, "ipmitool -d 255 dcmi power reading", 300},
        {IPMI_IPMIUTIL, 0, util_text, "ipmiutil dcmi power", 320},
        {IPMI_CAPMC, 0, capmc_text, "capmc get_system_power -w 600", 5942000},
    };

    scratch_remove(&s, "dev"); /* none of them needs ours */
    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        settings.way = cases[i].way;
        settings.device = cases[i].device;
        next_output = cases[i].output;
        n_programs = 0;
        s.env.commands = NULL;
        assert_int_equal(try_open(), -ENODEV); /* this program runs no others */
        allow_programs();
        open_source();
        assert_string_equal(programs[0].line, cases[i].line);
        assert_int_equal(programs[0].runs, 2); /* probe and open: it must tell a power before it is relied upon */
        assert_int_equal(watts_after(0), cases[i].watts);
        assert_int_equal(programs[0].runs, 3);
        assert_int_equal(watts_after(5), -ENODATA); /* run every 10 s */
        assert_int_equal(programs[0].runs, 3);
        assert_int_equal(watts_after(5), cases[i].watts);
        assert_int_equal(watts_after(5), -ENODATA);
        source_ipmi.reset(self, s.clock.now.mono_ns); /* after a suspend: at once */
        assert_int_equal(watts_after(0), cases[i].watts);
        assert_int_equal(programs[0].runs, 5);
        assert_described(cases[i].line[0] == 'i' ? "host-ipmi: what ipmi" : "what capmc prints");
        self = source_ipmi.close(self);
    }
}

static void capmc_is_of_the_system(void **state)
{
    const struct domain *d;

    settings.way = IPMI_CAPMC;
    next_output = capmc_text;
    allow_programs();
    open_source();
    source_ipmi.domains(self, &d);
    assert_string_equal(d->name, "system-capmc");
    assert_int_equal(d->kind, DOMAIN_OTHER);
    struct domain copy = *d;
    domains_mark_total(&copy, 1);
    assert_false(copy.in_total);
    assert_described("in no total");
}

static void programs_that_fail(void **state)
{
    settings.way = IPMI_IPMITOOL;
    allow_programs();
    open_source();
    struct program *program = &programs[0];

    program->output = "";
    program->end = (struct command_end){.status = 1 << 8, .error = "Could not open device"};
    assert_int_equal(read_now().status, -EIO);
    assert_string_equal(err.msg, "ipmitool failed with exit status 1: Could not open device: try `ipmitool dcmi power "
                                 "reading` by hand");
    program->end = (struct command_end){.status = 9};
    assert_int_equal(read_now().status, -EIO);
    assert_non_null(strstr(err.msg, "signal 9"));
    program->end = (struct command_end){0};
    assert_int_equal(read_now().status, -EPROTO);
    assert_non_null(strstr(err.msg, "something else"));
    program->output = "    Instantaneous power reading: 70000 Watts\n    Power reading state is: activated\n";
    assert_int_equal(read_now().status, -ERANGE);
    program->result = -ETIMEDOUT;
    assert_int_equal(read_now().status, -ETIMEDOUT);
    program->result = 0;
    program->output = "    Instantaneous power reading: 300 Watts\n    Power reading state is: deactivated\n";
    assert_int_equal(read_now().status, -ENODATA);
    program->output = tool_text;
    program->end = (struct command_end){.status = 193 << 8}; /* the power was printed all the same */
    assert_int_equal(watts_after(10), 300);
}

/* They would have our user and no right more. */
static void no_program_where_the_device_is_forbidden(void **state)
{
    assert_int_equal(chmod(scratch_path(&s, "dev/ipmi0"), 0), 0);
    allow_programs();
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    int r = try_open();
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(r, -EACCES);
    assert_non_null(strstr(err.msg, "udev"));
    assert_int_equal(n_programs, 0);
}

static void no_such_program(void **state)
{
    settings.way = IPMI_IPMIUTIL;
    allow_programs();
    installed = "ipmitool";
    assert_int_equal(try_open(), -ENOENT);
}

static void settings_that_do_not_fit(void **state)
{
    allow_programs();
    settings.way = IPMI_IPMIUTIL;
    settings.device = 1;
    assert_int_equal(try_open(), -EINVAL);
    settings.device = 0;
    settings.lan_host = "bmc17";
    assert_int_equal(try_open(), -EINVAL);
    assert_non_null(strstr(err.msg, "ipmi.way"));
    assert_int_equal(n_programs, 0);
}

/* --- over the network
 * ------------------------------------------------------------------------------------------------- */

static void over_the_network(void **state)
{
    static const char secret[] = "f82hd72jd\n";
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/bmc-password", s.dir);
    scratch_write(&s, "bmc-password", secret);
    allow_programs();
    settings.lan_host = "bmc17.example";
    settings.lan_user = "reader";
    assert_int_equal(try_open(), -EINVAL);
    assert_non_null(strstr(err.msg, "ipmi.lan-password-file"));
    settings.lan_password_file = "bmc-password";
    assert_int_equal(try_open(), -EINVAL);
    settings.lan_password_file = "/bmc-password"; /* below the root, which is the test's */
    assert_int_equal(try_open(), -EACCES);
    assert_non_null(strstr(err.msg, "chmod 600 /bmc-password"));
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(try_open(), -EACCES);
    assert_int_equal(chmod(path, 0600), 0);
    open_source();
    assert_string_equal(programs[0].line, "ipmitool -I lanplus -H bmc17.example -p 623 -L USER -U reader -f "
                                          "/bmc-password dcmi power reading");
    assert_null(strstr(programs[0].line, "f82hd"));
    assert_described("what ipmitool prints of the BMC at bmc17.example");
    assert_int_equal(read_now().status, 0);
    self = source_ipmi.close(self);

    n_programs = 0;
    settings.lan_port = 6230;
    settings.lan_privilege = IPMI_PRIVILEGE_ADMINISTRATOR;
    settings.lan_cipher = IPMI_CIPHER_17;
    settings.lan_user = "";
    next_output = ""; /* it is away just now, and may come back */
    next_status = 1;
    open_source();
    assert_string_equal(programs[0].line, "ipmitool -I lanplus -H bmc17.example -p 6230 -L ADMINISTRATOR -C 17 "
                                          "-f /bmc-password dcmi power reading");
    assert_int_equal(read_now().status, -EIO);
}

static void names_that_are_refused(void **state)
{
    static const char *const hosts[] = {"-h", "a b", "a\nb", "\xC3\xA4"};

    scratch_write(&s, "pw", "x");
    assert_int_equal(chmod(scratch_path(&s, "pw"), 0600), 0);
    allow_programs();
    settings.lan_password_file = "/pw";
    for (size_t i = 0; i < ELEMENTSOF(hosts); i++) {
        settings.lan_host = hosts[i];
        settings.lan_user = NULL;
        assert_int_equal(try_open(), -EINVAL);
        settings.lan_host = "good";
        settings.lan_user = hosts[i];
        assert_int_equal(try_open(), -EINVAL);
    }
    settings.lan_user = NULL;
    settings.lan_password_file = "/dev";
    assert_int_equal(try_open(), -EINVAL);
    settings.lan_password_file = "/nothing";
    assert_int_equal(try_open(), -ENOENT);
    assert_non_null(strstr(err.msg, "ipmi.lan-password-file"));
    assert_int_equal(n_programs, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_domain),
        TEST(one_host_counts),
        TEST(power),
        TEST(not_measuring_is_never_zero),
        TEST(the_same_sample),
        TEST(a_stamp_that_never_moves_says_nothing),
        TEST(completion_codes),
        TEST(busy_for_a_moment),
        TEST(short_answers),
        TEST(no_answer),
        TEST(device_goes_and_comes),
        TEST(no_device),
        TEST(bmc_without_power),
        TEST(a_named_way_is_waited_for),
        TEST(a_total_sensor),
        TEST(supplies_are_added_up),
        TEST(records_in_pieces),
        TEST(reservation_is_lost),
        TEST(records_gone_wrong),
        TEST(slow_records),
        TEST(each_program),
        TEST(capmc_is_of_the_system),
        TEST(programs_that_fail),
        TEST(no_program_where_the_device_is_forbidden),
        TEST(no_such_program),
        TEST(settings_that_do_not_fit),
        TEST(over_the_network),
        TEST(names_that_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
