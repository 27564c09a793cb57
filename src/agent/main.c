/* SPDX-License-Identifier: Apache-2.0 */
/* carnotd: the node agent. Only settings, exit statuses and the one sentence of an error are here. */
#include <errno.h>
#include <sysexits.h>

#include "agent/agent.h"
#include "base/log.h"

#define HELP_MAX 65536

static int print_help(const struct option_set *set)
{
    struct buf help;

    buf_init(&help, HELP_MAX);
    buf_puts(&help, "Usage: carnotd [OPTIONS]\n\nMeasures the energy of this machine, gives it to processes, control "
                    "groups and users, and serves the result\n"
                    "to Prometheus and to the command line (carnot top, carnot run).\n\n");
    option_help(set, &help);
    fwrite(help.data, 1, help.len, stdout);
    buf_done(&help);
    return fflush(stdout) == 0 ? 0 : EX_IOERR;
}

int main(int argc, char **argv)
{
    struct agent_settings settings;
    struct option_set set;
    struct carnot_err err = CARNOT_ERR_INIT;
    bool in_file;
    int status = 0, r;

    log_setup("carnotd", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    r = settings_load(argc, argv, &settings, &set, &in_file, &err);
    if (r < 0) {
        log_error("%s", err.msg);
        status = in_file && r == -EINVAL ? EX_CONFIG : carnot_err_exit_status(r);
    } else if (settings.help) {
        status = print_help(&set);
    } else if (settings.version) {
        printf("carnotd %s\n", CARNOT_VERSION);
    } else {
        log_setup("carnotd", (enum log_level)settings.log_level, (enum log_format)settings.log_format);
        r = agent_run(&settings, &err);
        if (r < 0) {
            log_error("%s", err.msg);
            status = carnot_err_exit_status(r);
        }
    }
    option_set_done(&set);
    return status;
}
