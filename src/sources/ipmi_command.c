/* SPDX-License-Identifier: Apache-2.0 */
/* See ipmi_command.h. The command lines are fixed at open; a password is in a file that ipmitool reads itself. */
#include "sources/ipmi_command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/commands.h"
#include "sources/ipmi_text.h"

#define NUMBER_MAX 21 /* a number of 64 bits */
#define DEVICE_MAX (sizeof("--driver-device=/dev/ipmi") + NUMBER_MAX)

struct ipmi_command {
    struct commands *commands;
    enum ipmi_way way;
    unsigned number;
    char host[64]; /* over the network; "" inside the machine. For describe() alone, hence cut without harm */
    struct buf out;
};

static const struct {
    const char *program;
    enum ipmi_dialect dialect;
    const char *by_hand; /* what the user can try */
} programs[] = {
    [IPMI_FREEIPMI] = {"ipmi-dcmi", IPMI_TEXT_DCMI, "ipmi-dcmi --get-system-power-statistics"},
    [IPMI_IPMITOOL] = {"ipmitool", IPMI_TEXT_TOOL, "ipmitool dcmi power reading"},
    [IPMI_IPMIUTIL] = {"ipmiutil", IPMI_TEXT_UTIL, "ipmiutil dcmi power"},
    [IPMI_CAPMC] = {"capmc", IPMI_TEXT_DCMI, "capmc get_system_power -w 600"},
};

/* --- the user's settings ---------------------------------------------------------------------------------------- */

static bool is_given(const char *s)
{
    return s && s[0];
}

/* It becomes an argument of its own, so only what could be taken for an option or spoil a message is refused. */
static int check_word(const char *name, const char *word, struct carnot_err *err)
{
    bool good = word[0] != '-' && strlen(word) < 256;

    for (const char *p = word; *p; p++)
        good = good && *p > ' ' && *p <= '~';
    return good ? 0
                : carnot_err_set(err, EINVAL, "%s: expected up to 255 printing characters, no blanks, no '-' in front",
                                 name);
}

/* Whoever can read the file can switch the machine off. It is opened here to be looked at; ipmitool reads it. */
static int check_password_file(const struct carnot_env *env, const char *path, struct carnot_err *err)
{
    struct stat st;

    if (path[0] != '/')
        return carnot_err_set(err, EINVAL, "ipmi.lan-password-file: expected a path from the root on, \"/etc/...\"");
    _cleanup_close_ int fd = fsroot_openat(&env->root, path + strspn(path, "/"), O_NONBLOCK | O_NOCTTY, err);
    if (fd < 0) {
        carnot_err_wrap(err, "ipmi.lan-password-file");
        return fd;
    }
    if (fstat(fd, &st) < 0)
        return carnot_err_errno(err, errno, "ipmi.lan-password-file: cannot look at %s", path);
    if (!S_ISREG(st.st_mode))
        return carnot_err_set(err, EINVAL, "ipmi.lan-password-file: %s is no ordinary file", path);
    if (st.st_mode & 077)
        return carnot_err_set(err, EACCES,
                              "ipmi.lan-password-file: others may read or write %s: `chmod 600 %s`, and change the "
                              "password if it may have been read",
                              path, path);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return carnot_err_set(err, EACCES, "ipmi.lan-password-file: %s belongs to another user: `chown root %s`", path,
                              path);
    return 0;
}

static int check_lan(const struct carnot_env *env, const struct ipmi_settings *settings, struct carnot_err *err)
{
    int r = check_word("ipmi.lan-host", settings->lan_host, err);

    if (r == 0 && is_given(settings->lan_user))
        r = check_word("ipmi.lan-user", settings->lan_user, err);
    if (r < 0)
        return r;
    if (!is_given(settings->lan_password_file))
        return carnot_err_set(err, EINVAL,
                              "ipmi.lan-host needs ipmi.lan-password-file: a file with the password of the BMC's "
                              "account on its first line, readable by root alone");
    return check_password_file(env, settings->lan_password_file, err);
}

int ipmi_command_check(const struct carnot_env *env, enum ipmi_way way, const struct ipmi_settings *settings,
                       struct carnot_err *err)
{
    if (is_given(settings->lan_host))
        return way == IPMI_AUTO || way == IPMI_IPMITOOL
                   ? check_lan(env, settings, err)
                   : carnot_err_set(err, EINVAL, "ipmi.lan-host goes with ipmi.way auto or ipmitool only");
    if (settings->device != 0 && way == IPMI_IPMIUTIL)
        return carnot_err_set(err, EINVAL,
                              "ipmi.device: ipmiutil knows device 0 only; ipmitool and ipmi-dcmi know all");
    return 0;
}

/* --- running ---------------------------------------------------------------------------------------------------- */

static int explain_output(const struct ipmi_command *command, int status, const struct command_end *end,
                          struct carnot_err *err)
{
    const char *by_hand = programs[command->way].by_hand;

    if (status == -ENODATA)
        return carnot_err_set(err, status, "%s says that the BMC does not measure power just now",
                              programs[command->way].program);
    if (status == -ERANGE)
        return carnot_err_set(err, status, "%s printed a power that no machine has: try `%s` by hand",
                              programs[command->way].program, by_hand);
    if (WIFSIGNALED(end->status))
        return carnot_err_set(err, EIO, "%s was ended by signal %d: try `%s` by hand", programs[command->way].program,
                              WTERMSIG(end->status), by_hand);
    if (end->status != 0)
        return carnot_err_set(err, EIO, "%s failed with exit status %d%s%.200s: try `%s` by hand",
                              programs[command->way].program, WEXITSTATUS(end->status), end->error[0] ? ": " : "",
                              end->error, by_hand);
    return carnot_err_set(err, EPROTO, "%s printed something else than its power reading: try `%s` by hand",
                          programs[command->way].program, by_hand);
}

/* What was printed counts before how the program ended: ipmiutil prints the power, then fails when the BMC knows no
 * power limit. */
int ipmi_command_ask(struct ipmi_command *command, struct ipmi_power *ret, struct carnot_err *err)
{
    struct command_end end = {0};
    int r;

    buf_reset(&command->out);
    r = commands_run(command->commands, command->number, &command->out, &end, err);
    if (r < 0)
        return r;
    struct text t = {buf_str(&command->out), command->out.len};
    if (command->way == IPMI_CAPMC) {
        r = ipmi_text_parse_capmc(t, ret, err);
        return r == -EPROTO ? explain_output(command, r, &end, err) : r;
    }
    r = ipmi_text_parse(programs[command->way].dialect, t, ret);
    return r < 0 ? explain_output(command, r, &end, err) : 0;
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

struct words {
    const char *argv[COMMAND_ARGS_MAX + 1];
    size_t n;
};

static void add(struct words *words, const char *word)
{
    words->argv[words->n++] = word; /* the longest of our lines has 18 words */
}

static void add_lan(struct words *words, const struct ipmi_settings *settings, const char *port)
{
    static const char *const privileges[] = {
        [IPMI_PRIVILEGE_USER] = "USER",
        [IPMI_PRIVILEGE_OPERATOR] = "OPERATOR",
        [IPMI_PRIVILEGE_ADMINISTRATOR] = "ADMINISTRATOR",
    };

    add(words, "-I");
    add(words, "lanplus");
    add(words, "-H");
    add(words, settings->lan_host);
    add(words, "-p");
    add(words, port);
    add(words, "-L");
    add(words, privileges[settings->lan_privilege]);
    if (settings->lan_cipher != IPMI_CIPHER_AUTO) {
        add(words, "-C");
        add(words, settings->lan_cipher == IPMI_CIPHER_3 ? "3" : "17");
    }
    if (is_given(settings->lan_user)) {
        add(words, "-U");
        add(words, settings->lan_user);
    }
    add(words, "-f");
    add(words, settings->lan_password_file);
}

static int add_command(const struct carnot_env *env, enum ipmi_way way, const struct ipmi_settings *settings,
                       unsigned *ret_number, struct carnot_err *err)
{
    static const struct command_limits limits = {.timeout_ns = IPMI_COMMAND_TIMEOUT_NS,
                                                 .output_max = IPMI_COMMAND_OUTPUT_MAX};
    char number[NUMBER_MAX], port[NUMBER_MAX], device[DEVICE_MAX];
    struct words words = {0};

    snprintf(number, sizeof(number), "%" PRIu64, settings->device);
    snprintf(port, sizeof(port), "%" PRIu64, settings->lan_port);
    snprintf(device, sizeof(device), "--driver-device=/dev/ipmi%" PRIu64, settings->device);
    add(&words, programs[way].program);
    if (way == IPMI_FREEIPMI && settings->device != 0) {
        add(&words, "--driver-type=OPENIPMI");
        add(&words, device);
    }
    if (way == IPMI_IPMITOOL && is_given(settings->lan_host)) {
        add_lan(&words, settings, port);
    } else if (way == IPMI_IPMITOOL && settings->device != 0) {
        add(&words, "-d");
        add(&words, number);
    }
    static const char *const tails[][5] = {
        [IPMI_FREEIPMI] = {"--get-system-power-statistics"},
        [IPMI_IPMITOOL] = {"dcmi", "power", "reading"},
        [IPMI_IPMIUTIL] = {"dcmi", "power"},
        [IPMI_CAPMC] = {"get_system_power", "-w", "600"},
    };
    for (size_t i = 0; tails[way][i]; i++)
        add(&words, tails[way][i]);
    add(&words, NULL);
    return commands_add(env->commands, words.argv, &limits, ret_number, err);
}

/* A BMC that restarts is away from the network for a minute; a program that fails inside the machine goes on failing.
 */
static bool passes(const struct ipmi_command *command, int r)
{
    return r == -ENODATA || r == -ETIMEDOUT || (r == -EIO && command->host[0]);
}

int ipmi_command_open(const struct carnot_env *env, enum ipmi_way way, const struct ipmi_settings *settings,
                      struct ipmi_command **ret_command, struct carnot_err *err)
{
    struct ipmi_command *command;
    struct ipmi_power power;
    unsigned number;
    int r;

    if (!env->commands)
        return carnot_err_set(err, ENODEV, "this program runs no others, and %s would be one; carnotd does",
                              programs[way].program);
    r = add_command(env, way, settings, &number, err);
    if (r < 0)
        return r;
    command = calloc(1, sizeof(*command));
    if (!command)
        return carnot_err_set(err, ENOMEM, "out of memory for what %s prints", programs[way].program);
    command->commands = env->commands;
    command->way = way;
    command->number = number;
    if (way == IPMI_IPMITOOL && is_given(settings->lan_host))
        snprintf(command->host, sizeof(command->host), "%s", settings->lan_host);
    buf_init(&command->out, IPMI_COMMAND_OUTPUT_MAX);
    r = ipmi_command_ask(command, &power, err);
    if (r < 0 && !passes(command, r)) {
        ipmi_command_close(command);
        return r;
    }
    if (r < 0 && err) /* overcome */
        *err = CARNOT_ERR_INIT;
    *ret_command = command;
    return 0;
}

struct ipmi_command *ipmi_command_close(struct ipmi_command *command)
{
    if (command)
        buf_done(&command->out);
    free(command);
    return NULL;
}

void ipmi_command_describe(const struct ipmi_command *command, struct buf *out)
{
    buf_printf(out, "what %s prints", programs[command->way].program);
    if (command->host[0])
        buf_printf(out, " of the BMC at %s", command->host);
}
