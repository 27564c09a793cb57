/* SPDX-License-Identifier: Apache-2.0 */
/* The only process of a virtual machine: loads the kernel's IPMI driver and reads the machine's power through it with
 * the code that ships. The BMC behind is a simulator, the driver and its device are real. Says on the console what
 * happens, one "word text" a line, and switches the machine off. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "sources/ipmi.h"
#include "sources/registry.h"

#define DRIVER "/sys/bus/platform/drivers/ipmi_si/"

static struct carnot_env env;

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void say(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vdprintf(STDOUT_FILENO, fmt, args);
    va_end(args);
}

static void prepare(void)
{
    static const char *const mounts[][2] = {{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}};

    for (size_t i = 0; i < ELEMENTSOF(mounts); i++) {
        mkdir(mounts[i][1], 0755);
        mount(mounts[i][0], mounts[i][1], mounts[i][0], 0, NULL);
    }
    int fd = open("/dev/console", O_RDWR);
    dup2(fd, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
}

static void load(const char *module, const char *parameters)
{
    int fd = open(module, O_RDONLY | O_CLOEXEC);

    if (syscall(SYS_finit_module, fd, parameters, 0) < 0)
        say("fault cannot load %s: %s\n", module, strerror(errno));
    close(fd);
}

static void wait_for(const char *path)
{
    for (int i = 0; i < 200 && access(path, F_OK) < 0; i++)
        poll(NULL, 0, 50);
}

static void write_word(const char *path, const char *word)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (write(fd, word, strlen(word)) < 0)
        say("fault cannot write %s: %s\n", path, strerror(errno));
    close(fd);
}

static void *open_source(enum ipmi_way way)
{
    struct ipmi_settings settings = {.way = way};
    struct source_args args = {.env = &env, .settings = &settings};
    struct carnot_err err = CARNOT_ERR_INIT;
    void *self = NULL;
    struct buf out;

    if (source_ipmi.open(&args, &self, &err) < 0) {
        say("refused %s\n", err.msg);
        return NULL;
    }
    buf_init(&out, 4096);
    source_ipmi.describe(self, &out);
    say("describe %s", buf_str(&out));
    buf_done(&out);
    return self;
}

static void read_power(void *self)
{
    struct reading readings[DOMAINS_MAX];
    struct carnot_err err = CARNOT_ERR_INIT;
    uint64_t begin_ns = clock_now(env.clock).mono_ns;
    int n = self ? source_ipmi.read(self, begin_ns, readings, &err) : -ENODEV;

    if (n < 0 || readings[0].status < 0)
        say("failed %d %s\n", n < 0 ? n : readings[0].status, err.msg);
    else
        say("watts %u\n", (unsigned)(readings[0].power_uw / 1000000));
}

int main(void)
{
    struct carnot_err err = CARNOT_ERR_INIT;

    prepare();
    if (carnot_env_open(NULL, NULL, "/nothing", NULL, &env, &err) < 0)
        say("fault %s\n", err.msg);
    load("/ipmi_msghandler.ko", "");
    load("/ipmi_si.ko",
         "tryacpi=0"); /* the firmware's two ways to one BMC: only that of SMBIOS, which can be unbound */
    open_source(IPMI_AUTO);
    load("/ipmi_devintf.ko", "");
    wait_for("/dev/ipmi0");

    void *self = open_source(IPMI_SENSOR);
    read_power(self);
    source_ipmi.close(self);
    self = open_source(IPMI_AUTO);
    read_power(self);
    write_word(DRIVER "unbind", "dmi-ipmi-si.0");
    read_power(self);
    write_word(DRIVER "bind", "dmi-ipmi-si.0");
    wait_for("/dev/ipmi0");
    read_power(self);
    source_ipmi.close(self);
    say("end\n");
    reboot(RB_POWER_OFF);
    return 0;
}
