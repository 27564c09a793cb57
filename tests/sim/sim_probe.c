/* SPDX-License-Identifier: Apache-2.0 */
/* sim-probe SYSDIR: the powercap reader and the delta, driven by lines on standard input. "read NS" reads every domain
 * at that monotonic time and prints "name status kind step_uj total_uj wraps resets gaps absurd" for each, then "."; an
 * error sentence follows "!" before it. Anything else ends it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attribution/delta.h"
#include "base/fsroot.h"
#include "base/parse.h"
#include "sources/registry.h"

static const char *kind_name(enum delta_kind kind)
{
    static const char *const names[] = {
        [DELTA_FIRST] = "first", [DELTA_FORWARD] = "forward", [DELTA_WRAPPED] = "wrapped",
        [DELTA_RESET] = "reset", [DELTA_GAP] = "gap",         [DELTA_ABSURD] = "absurd"};

    return names[kind];
}

static int read_all(void *source, struct delta *deltas, uint64_t now_ns)
{
    static struct reading readings[DOMAINS_MAX];
    struct carnot_err err = CARNOT_ERR_INIT;
    const struct domain *domains;

    source_rapl_powercap.domains(source, &domains);
    int n = source_rapl_powercap.read(source, now_ns, readings, &err);
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++) {
        const struct reading *r = &readings[i];
        struct delta *delta = &deltas[r->domain];
        const char *kind = "none";
        uint64_t step_uj = 0;

        if (r->status == 0)
            kind = kind_name(
                delta_step(delta, r->counter_uj, r->modulus_uj, domains[r->domain].max_uw, r->mono_ns, &step_uj));
        printf("%s %d %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
               domains[r->domain].name, r->status, kind, step_uj, delta->total_uj, delta->wraps, delta->resets,
               delta->gaps, delta->absurd);
    }
    if (err.code)
        printf("! %s\n", err.msg);
    puts(".");
    return fflush(stdout) == 0 ? 0 : -EIO;
}

static int run(void *source)
{
    static struct delta deltas[DOMAINS_MAX];
    char line[64];

    while (fgets(line, sizeof(line), stdin)) {
        struct text rest = text_trim(text_of(line)), word;
        uint64_t now_ns;

        if (!scan_word(&rest, &word) || !text_is(word, "read") || scan_u64(&rest, &now_ns) < 0)
            break;
        int r = read_all(source, deltas, now_ns);
        if (r < 0)
            return r;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct carnot_env env;
    struct carnot_err err = CARNOT_ERR_INIT;
    void *source = NULL;

    int r = argc == 2 ? carnot_env_open(NULL, argv[1], NULL, NULL, &env, &err)
                      : carnot_err_set(&err, EINVAL, "usage: sim-probe SYSDIR");
    if (r < 0) {
        fprintf(stderr, "sim-probe: %s\n", err.msg);
        return carnot_err_exit_status(r);
    }
    struct source_args args = {.env = &env};
    r = source_rapl_powercap.probe(&args, &err);
    if (r == 0)
        r = source_rapl_powercap.open(&args, &source, &err);
    if (r == 0)
        r = run(source);
    if (r < 0)
        fprintf(stderr, "sim-probe: %s\n", err.msg);
    source_rapl_powercap.close(source);
    carnot_env_close(&env);
    return carnot_err_exit_status(r);
}
