/* SPDX-License-Identifier: Apache-2.0 */
/* A simulated BMC behind the kernel's driver: stands in front of ioctl() and ppoll() (link with --wrap of both), so
 * that the code under test opens a file, sends and waits as it does with the real device. Time is the test's clock:
 * waiting moves it. Answers may be changed, added to or dropped on their way. */
#ifndef CARNOT_TESTS_SOURCES_IPMI_FAKE_H
#define CARNOT_TESTS_SOURCES_IPMI_FAKE_H

#include "ipmi_records.h"
#include "scratch.h"

#include <linux/ipmi.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "sources/ipmi_sdr.h"

#define FAKE_QUEUE    64
#define FAKE_RECORDS  32
#define FAKE_ANSWER   300 /* beyond what the kernel hands over */
#define FAKE_DELAY_NS (5 * NS_PER_MS)

struct fake_message {
    uint64_t due_ns;
    int recv_type;
    long id;
    uint8_t netfn, cmd;
    uint8_t data[FAKE_ANSWER];
    size_t n;
};

struct fake_ipmi {
    struct fake_clock *clock;
    struct fake_message queue[FAKE_QUEUE];
    size_t n_queue;
    int send_errno, receive_errno, poll_errno; /* each once, then 0 again */
    bool gone;                                 /* ENODEV for everything */
    bool hangs_up;                             /* ppoll tells no more than POLLHUP */
    /* Called with each answer before it is queued; false drops it. */
    bool (*pass)(struct fake_message *answer);
    unsigned requests; /* how many came */
    long last_id;
    struct ipmi_system_interface_addr address; /* of the last one */
    uint8_t netfn, cmd, data[16];
    size_t n_data;

    /* what the BMC has */
    uint8_t completion; /* of a DCMI power reading */
    uint16_t watts;
    uint8_t state;
    uint32_t stamp;
    struct record records[FAKE_RECORDS];
    uint16_t n_records;
    uint16_t ids_apart;                                   /* of one record's number to the next; 0: 1 */
    uint8_t raw[256], flags[256], sensor_completion[256]; /* by sensor number */
    size_t piece_max;                                     /* bytes of a record it can return; 0: any */
    uint16_t reservation;
    unsigned steal_reservation; /* the next so many pieces find theirs taken away */
    uint8_t lan_channel;        /* which has an address; 0: none */
};

static struct fake_ipmi fake;

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);

/* --- the BMC ------------------------------------------------------------------------------------------------------ */

static void fake_answer(struct fake_message *out, const uint8_t *bytes, size_t n)
{
    memcpy(out->data, bytes, n);
    out->n = n;
}

#define FAKE_ANSWERS(out, ...) fake_answer(out, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void fake_power(struct fake_message *out)
{
    if (fake.completion) {
        FAKE_ANSWERS(out, fake.completion);
        return;
    }
    FAKE_ANSWERS(out, 0, 0xDC, (uint8_t)fake.watts, (uint8_t)(fake.watts >> 8), 50, 0, 0x90, 1, 200, 0,
                 (uint8_t)fake.stamp, (uint8_t)(fake.stamp >> 8), (uint8_t)(fake.stamp >> 16),
                 (uint8_t)(fake.stamp >> 24), 0xE8, 3, 0, 0, fake.state);
}

static void fake_record(struct fake_message *out)
{
    uint16_t reservation = (uint16_t)(fake.data[0] | fake.data[1] << 8);
    uint16_t apart = fake.ids_apart ? fake.ids_apart : 1;
    uint16_t id = (uint16_t)(fake.data[2] | fake.data[3] << 8), at = id / apart;
    size_t offset = fake.data[4], count = fake.data[5];

    if (fake.steal_reservation && offset) {
        fake.steal_reservation--;
        fake.reservation++;
    }
    if (at >= fake.n_records || id % apart) {
        FAKE_ANSWERS(out, 0xCB);
    } else if (offset && reservation != fake.reservation) {
        FAKE_ANSWERS(out, 0xC5);
    } else if (offset + count > fake.records[at].n) {
        FAKE_ANSWERS(out, 0xC9);
    } else if (fake.piece_max && count > fake.piece_max) {
        FAKE_ANSWERS(out, 0xCA);
    } else {
        uint16_t next = at + 1 == fake.n_records ? 0xFFFF : (uint16_t)(id + apart);

        FAKE_ANSWERS(out, 0, (uint8_t)next, (uint8_t)(next >> 8));
        memcpy(out->data + 3, fake.records[at].bytes + offset, count);
        out->n = 3 + count;
    }
}

static void fake_handle(struct fake_message *out)
{
    uint8_t sensor = fake.data[0];

    switch (fake.netfn << 8 | fake.cmd) {
    case 0x2C02:
        fake_power(out);
        return;
    case 0x2C01:
        FAKE_ANSWERS(out, 0, 0xDC, 1, 5, 2, 0, 1, 0);
        return;
    case 0x0601:
        FAKE_ANSWERS(out, 0, 0x20, 1, 2, 0x45, 2, 0xBF, 0xA2, 2, 0, 0, 1);
        return;
    case 0x0A20:
        FAKE_ANSWERS(out, 0, 0x51, (uint8_t)fake.n_records, (uint8_t)(fake.n_records >> 8), 0, 0, 0, 0, 0, 0, 0, 0, 0,
                     0, 0x02);
        return;
    case 0x0A22:
        fake.reservation++;
        FAKE_ANSWERS(out, 0, (uint8_t)fake.reservation, (uint8_t)(fake.reservation >> 8));
        return;
    case 0x0A23:
        fake_record(out);
        return;
    case 0x042D:
        if (fake.sensor_completion[sensor])
            FAKE_ANSWERS(out, fake.sensor_completion[sensor]);
        else
            FAKE_ANSWERS(out, 0, fake.raw[sensor], fake.flags[sensor], 0xC0);
        return;
    case 0x0C02:
        if (fake.lan_channel && fake.data[0] == fake.lan_channel)
            FAKE_ANSWERS(out, 0, 0x11, 192, 0, 2, 17);
        else
            FAKE_ANSWERS(out, 0xCC);
        return;
    default:
        FAKE_ANSWERS(out, 0xC1);
    }
}

/* --- the driver --------------------------------------------------------------------------------------------------- */

static int fake_fail(int *code)
{
    errno = *code;
    *code = 0;
    return -1;
}

static void fake_queue(const struct fake_message *message)
{
    assert_true(fake.n_queue < FAKE_QUEUE);
    fake.queue[fake.n_queue++] = *message;
}

static int fake_send(const struct ipmi_req *req)
{
    struct fake_message answer = {.due_ns = fake.clock->now.mono_ns + FAKE_DELAY_NS,
                                  .recv_type = IPMI_RESPONSE_RECV_TYPE,
                                  .id = req->msgid,
                                  .netfn = req->msg.netfn | 1,
                                  .cmd = req->msg.cmd};

    if (fake.gone)
        fake.send_errno = ENODEV;
    if (fake.send_errno)
        return fake_fail(&fake.send_errno);
    assert_int_equal(req->addr_len, sizeof(fake.address));
    memcpy(&fake.address, req->addr, sizeof(fake.address));
    assert_true(req->msg.data_len <= sizeof(fake.data));
    fake.netfn = req->msg.netfn;
    fake.cmd = req->msg.cmd;
    fake.n_data = req->msg.data_len;
    memcpy(fake.data, req->msg.data, fake.n_data);
    fake.last_id = req->msgid;
    fake.requests++;
    fake_handle(&answer);
    if (!fake.pass || fake.pass(&answer))
        fake_queue(&answer);
    return 0;
}

static int fake_receive(struct ipmi_recv *recv)
{
    struct ipmi_system_interface_addr address = {.addr_type = IPMI_SYSTEM_INTERFACE_ADDR_TYPE,
                                                 .channel = IPMI_BMC_CHANNEL};
    size_t i = 0;

    if (fake.receive_errno)
        return fake_fail(&fake.receive_errno);
    while (i < fake.n_queue && fake.queue[i].due_ns > fake.clock->now.mono_ns)
        i++;
    if (i == fake.n_queue) {
        errno = EAGAIN;
        return -1;
    }
    struct fake_message message = fake.queue[i];
    memmove(&fake.queue[i], &fake.queue[i + 1], (fake.n_queue - i - 1) * sizeof(fake.queue[0]));
    fake.n_queue--;
    size_t n = min_size(message.n, recv->msg.data_len);
    assert_true(recv->addr_len >= sizeof(address));
    memcpy(recv->addr, &address, sizeof(address));
    recv->recv_type = message.recv_type;
    recv->msgid = message.id;
    recv->msg.netfn = message.netfn;
    recv->msg.cmd = message.cmd;
    memcpy(recv->msg.data, message.data, n);
    recv->msg.data_len = (unsigned short)n;
    errno = EMSGSIZE;
    return n < message.n ? -1 : 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;

    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (request == IPMICTL_SEND_COMMAND)
        return fake_send(arg);
    if (request == IPMICTL_RECEIVE_MSG_TRUNC)
        return fake_receive(arg);
    return __real_ioctl(fd, request, arg);
}

int __wrap_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    uint64_t wait_ns = (uint64_t)timeout->tv_sec * NS_PER_SEC + (uint64_t)timeout->tv_nsec, next_ns = UINT64_MAX;

    assert_int_equal(n, 1);
    if (fake.poll_errno)
        return fake_fail(&fake.poll_errno);
    fds->revents = fake.hangs_up ? POLLHUP : POLLIN;
    for (size_t i = 0; i < fake.n_queue; i++)
        next_ns = min_u64(next_ns, max_u64(fake.queue[i].due_ns, fake.clock->now.mono_ns) - fake.clock->now.mono_ns);
    if (fake.hangs_up || fake.receive_errno)
        next_ns = 0;
    fake_clock_advance(fake.clock, min_u64(next_ns, wait_ns));
    return next_ns <= wait_ns;
}

/* A device file in the test's tree, and a BMC with DCMI that measures 250 W. */
static inline void fake_init(struct scratch *s)
{
    scratch_init(s);
    scratch_write(s, "dev/ipmi0", "");
    fake = (struct fake_ipmi){.clock = &s->clock, .watts = 250, .state = 0x40, .stamp = 1};
    memset(fake.flags, 0xC0, sizeof(fake.flags));
}

static inline void fake_add(struct record record)
{
    assert_true(fake.n_records < FAKE_RECORDS);
    fake.records[fake.n_records++] = record;
}

/* A compact record, an OEM record and an association: what lies between the sensors on a real board. */
static inline void fake_add_others(void)
{
    struct record compact = record_watts("PS Redundancy", 10, 0x51, 1), locator = {.n = 16}, oem = {.n = 9};

    compact.bytes[3] = 0x02;
    locator.bytes[3] = 0x08;
    locator.bytes[4] = 11;
    oem.bytes[3] = 0xC0;
    oem.bytes[4] = 4;
    fake_add(compact);
    fake_add(locator);
    fake_add(oem);
}

#endif
