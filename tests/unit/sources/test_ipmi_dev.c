/* SPDX-License-Identifier: Apache-2.0 */
/* Requests through the kernel's interface: where the device is, rights, and answers that come late, to somebody else,
 * in pieces, or not at all. The driver is simulated (ipmi_fake.h); the file, the ioctls' structures and the waiting are
 * those of the shipping code. */
#include "ipmi_fake.h"

#include "sources/ipmi_dev.h"

static struct scratch s;
static struct ipmi_transport transport;
static struct carnot_err err;

static int setup(void **state)
{
    fake_init(&s);
    transport = (struct ipmi_transport){0};
    err = CARNOT_ERR_INIT;
    return 0;
}

static int teardown(void **state)
{
    ipmi_transport_close(&transport);
    scratch_done(&s);
    return 0;
}

static void open_device(void)
{
    assert_int_equal(ipmi_dev_open(&s.env, 0, &transport, &err), 0);
}

static uint64_t now_ns(void)
{
    return s.clock.now.mono_ns;
}

/* A DCMI power reading with a second of time; watts, or what went wrong. */
static int ask_watts(void)
{
    struct ipmi_request request = ipmi_ask_power();
    struct ipmi_answer answer;
    struct ipmi_power power;
    int r = ipmi_exchange(&transport, &request, now_ns() + NS_PER_SEC, &answer, &err);

    if (r == 0)
        r = ipmi_parse_power(&answer, &power);
    return r < 0 ? r : (int)(power.power_uw / 1000000);
}

static void places(void **state)
{
    static const struct {
        const char *path;
        unsigned device;
    } cases[] = {{"dev/ipmi0", 0}, {"dev/ipmi/0", 0}, {"dev/ipmidev/0", 0}, {"dev/ipmi3", 3}, {"dev/ipmi/3", 3}};

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        scratch_remove(&s, "dev");
        scratch_write(&s, cases[i].path, "");
        assert_int_equal(ipmi_dev_open(&s.env, cases[i].device, &transport, &err), 0);
        ipmi_transport_close(&transport);
        assert_int_equal(ipmi_dev_open(&s.env, 7, &transport, &err), -ENODEV);
    }
}

static void absent(void **state)
{
    scratch_remove(&s, "dev");
    assert_int_equal(ipmi_dev_open(&s.env, 0, &transport, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "dev/ipmi0"));
    assert_null(strstr(err.msg, "modprobe"));
    scratch_write(&s, "sys/firmware/dmi/entries/38-0/type", "38\n");
    assert_int_equal(ipmi_dev_open(&s.env, 0, &transport, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "modprobe ipmi_devintf"));
}

static void no_right(void **state)
{
    assert_int_equal(chmod(scratch_path(&s, "dev/ipmi0"), 0), 0);
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    int r = ipmi_dev_open(&s.env, 0, &transport, &err);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(r, -EACCES);
    assert_non_null(strstr(err.msg, "dev/ipmi0"));
    assert_non_null(strstr(err.msg, "CAP_DAC_READ_SEARCH"));
    assert_non_null(strstr(err.msg, "udev"));
}

static void an_exchange(void **state)
{
    open_device();
    uint64_t begin_ns = now_ns();
    assert_int_equal(ask_watts(), 250);
    assert_int_equal(now_ns() - begin_ns, FAKE_DELAY_NS);
    assert_int_equal(fake.address.addr_type, IPMI_SYSTEM_INTERFACE_ADDR_TYPE);
    assert_int_equal(fake.address.channel, IPMI_BMC_CHANNEL);
    assert_int_equal(fake.address.lun, 0);
    assert_int_equal(fake.netfn, 0x2C);
    assert_int_equal(fake.cmd, 0x02);
    assert_int_equal(fake.n_data, 4);
    assert_memory_equal(fake.data, "\xDC\x01\x00\x00", 4);
    long first = fake.last_id;
    for (int i = 1; i < 10; i++) {
        assert_int_equal(ask_watts(), 250);
        assert_int_equal(fake.last_id, first + i); /* each has a number of its own */
    }

    struct ipmi_request request = ipmi_ask_sensor(3, 1);
    struct ipmi_answer answer;
    assert_int_equal(ipmi_exchange(&transport, &request, now_ns() + NS_PER_SEC, &answer, &err), 0);
    assert_int_equal(fake.address.lun, 3);
}

/* --- answers that are none of ours ------------------------------------------------------------------------------- */

static bool pass_late(struct fake_message *answer)
{
    answer->due_ns += 1500 * NS_PER_MS;
    return true;
}

static bool pass_never(struct fake_message *answer)
{
    return false;
}

static void no_answer(void **state)
{
    open_device();
    fake.pass = pass_never;
    uint64_t begin_ns = now_ns();
    assert_int_equal(ask_watts(), -ETIMEDOUT);
    assert_int_equal(now_ns() - begin_ns, NS_PER_SEC); /* no longer than allowed, no shorter */
    assert_non_null(strstr(err.msg, "DCMI Get Power Reading"));
    fake.pass = NULL;
    assert_int_equal(ask_watts(), 250);
}

/* The answer to the first request comes while the second waits for its own: it must not be taken for that. */
static void late_answer(void **state)
{
    open_device();
    fake.pass = pass_late;
    fake.watts = 111;
    assert_int_equal(ask_watts(), -ETIMEDOUT);
    fake.watts = 222;
    assert_int_equal(ask_watts(), -ETIMEDOUT); /* its own is late as well; the first one has come and was dropped */
    fake.pass = NULL;
    fake.watts = 333;
    assert_int_equal(ask_watts(), 333);
    fake_clock_advance(&s.clock, 2 * NS_PER_SEC); /* now the second lies in the queue, before the next is sent */
    fake.watts = 444;
    assert_int_equal(ask_watts(), 444);
    assert_int_equal(fake.n_queue, 0);
}

static struct fake_message foreign;

/* Something else first, which only looks like it. */
static bool pass_after_foreign(struct fake_message *answer)
{
    struct fake_message before = *answer;

    before.recv_type = foreign.recv_type ? foreign.recv_type : answer->recv_type;
    before.id = answer->id + foreign.id;
    before.netfn = foreign.netfn ? foreign.netfn : answer->netfn;
    before.cmd = foreign.cmd ? foreign.cmd : answer->cmd;
    before.due_ns = now_ns();
    before.data[2] = 99; /* watts */
    fake_queue(&before);
    return true;
}

static void answers_to_others(void **state)
{
    static const struct fake_message others[] = {
        {.id = -1},      {.id = 1},       {.recv_type = IPMI_ASYNC_EVENT_RECV_TYPE}, {.recv_type = IPMI_CMD_RECV_TYPE},
        {.netfn = 0x07}, {.netfn = 0x2C}, /* a request's, not an answer's */
        {.cmd = 0x01},
    };

    open_device();
    fake.pass = pass_after_foreign;
    for (size_t i = 0; i < ELEMENTSOF(others); i++) {
        foreign = others[i];
        assert_int_equal(ask_watts(), 250);
    }
}

static bool pass_wrong_id(struct fake_message *answer)
{
    answer->id--;
    return true;
}

static void only_a_wrong_number(void **state)
{
    open_device();
    fake.pass = pass_wrong_id;
    assert_int_equal(ask_watts(), -ETIMEDOUT);
}

static bool pass_empty(struct fake_message *answer)
{
    answer->n = 0;
    return true;
}

static bool pass_huge(struct fake_message *answer)
{
    answer->n = FAKE_ANSWER;
    return true;
}

static void odd_sizes(void **state)
{
    open_device();
    fake.pass = pass_empty;
    assert_int_equal(ask_watts(), -EPROTO);
    fake.pass = pass_huge; /* the driver cuts it and says so; what we need is in front */
    assert_int_equal(ask_watts(), 250);
    fake.pass = NULL;
    assert_int_equal(ask_watts(), 250);
}

/* --- the device fails ----------------------------------------------------------------------------------------------
 */

static void interrupted(void **state)
{
    open_device();
    fake.poll_errno = EINTR;
    assert_int_equal(ask_watts(), 250);
    fake.receive_errno = EINTR;
    assert_int_equal(ask_watts(), 250);
    fake.receive_errno = EAGAIN; /* somebody took it between the two calls */
    assert_int_equal(ask_watts(), 250);
}

static void failing_calls(void **state)
{
    open_device();
    fake.send_errno = EBUSY; /* too many requests under way */
    assert_int_equal(ask_watts(), -EBUSY);
    assert_non_null(strstr(err.msg, "cannot send a request to"));
    fake.receive_errno = EINVAL;
    assert_int_equal(ask_watts(), -EINVAL);
    assert_non_null(strstr(err.msg, "cannot read an answer from"));
    fake.poll_errno = ENOMEM;
    assert_int_equal(ask_watts(), -ENOMEM);
    assert_int_equal(ask_watts(), 250);
}

static void device_vanishes(void **state)
{
    open_device();
    assert_int_equal(ask_watts(), 250);
    fake.gone = true;
    assert_int_equal(ask_watts(), -ENODEV);
    assert_non_null(strstr(err.msg, "is gone"));
    scratch_remove(&s, "dev/ipmi0");
    assert_int_equal(ask_watts(), -ENODEV); /* looked for again, and told as at the start */
    assert_non_null(strstr(err.msg, "no "));
    fake.gone = false;
    scratch_write(&s, "dev/ipmi/0", "");
    assert_int_equal(ask_watts(), 250); /* back, in another place */
    fake.hangs_up = true;
    assert_int_equal(ask_watts(), -ENODEV);
    fake.hangs_up = false;
    assert_int_equal(ask_watts(), 250);
}

/* --- the address of the BMC ----------------------------------------------------------------------------------------
 */

static void address(void **state)
{
    char text[16] = "unchanged";

    assert_int_equal(ipmi_bmc_address(&s.env, 0, text, sizeof(text), &err), -ENODATA);
    assert_int_equal(fake.requests, 11); /* every channel that may be a network's */
    fake.lan_channel = 2;
    assert_int_equal(ipmi_bmc_address(&s.env, 0, text, 10, &err), -E2BIG);
    assert_string_equal(text, "unchanged");
    assert_int_equal(ipmi_bmc_address(&s.env, 0, text, 11, &err), 0);
    assert_string_equal(text, "192.0.2.17");
    assert_int_equal(fake.netfn, 0x0C);
    assert_memory_equal(fake.data, "\x02\x03\x00\x00", 4);
    fake.pass = pass_never;
    assert_int_equal(ipmi_bmc_address(&s.env, 0, text, sizeof(text), &err), -ETIMEDOUT);
    scratch_remove(&s, "dev");
    assert_int_equal(ipmi_bmc_address(&s.env, 0, text, sizeof(text), &err), -ENODEV);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(places),    TEST(absent),      TEST(no_right),          TEST(an_exchange),
        TEST(no_answer), TEST(late_answer), TEST(answers_to_others), TEST(only_a_wrong_number),
        TEST(odd_sizes), TEST(interrupted), TEST(failing_calls),     TEST(device_vanishes),
        TEST(address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
