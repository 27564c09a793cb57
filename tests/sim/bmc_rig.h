/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the simulated BMC (bmc.py) for one test program, tells it what to do, and reads what it was asked. */
#ifndef CARNOT_TESTS_SIM_BMC_RIG_H
#define CARNOT_TESTS_SIM_BMC_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/http_client.h"

#define BMC_START_MS 60000 /* Python and openssl on a machine that is busy with other things */

struct bmc {
    pid_t pid;
    int in_fd; /* closed: it ends */
    json_t *ports;
    struct http_client *control;
    char urls[4][256];
    unsigned next_url;
};

static inline void bmc_read_line(int fd, char *line, size_t size)
{
    size_t len = 0;

    while (len == 0 || line[len - 1] != '\n') {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        assert_true(len + 1 < size);
        assert_int_equal(poll(&ready, 1, BMC_START_MS), 1);
        assert_int_equal(read(fd, line + len, 1), 1);
        len++;
    }
    line[len] = '\0';
}

/* With a directory for certificates it serves HTTPS too. */
static inline void bmc_start(struct bmc *bmc, const char *tls_dir)
{
    const char *root = getenv("CARNOT_SOURCE_ROOT");
    const struct http_client_config config = {.timeout_ns = 20 * NS_PER_SEC};
    char script[PATH_MAX], python[] = "/usr/bin/python3", tls[] = "--tls", dir[PATH_MAX] = "", line[1024];
    char *argv[] = {python, script, tls_dir ? tls : NULL, dir, NULL};
    int in[2], out[2];
    posix_spawn_file_actions_t actions;

    *bmc = (struct bmc){.in_fd = -1};
    assert_true(snprintf(script, sizeof(script), "%s/tests/sim/bmc.py", root ? root : ".") < (int)sizeof(script));
    if (tls_dir)
        assert_true(snprintf(dir, sizeof(dir), "%s", tls_dir) < (int)sizeof(dir));
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    assert_int_equal(posix_spawn(&bmc->pid, python, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    bmc->in_fd = in[1];
    bmc_read_line(out[0], line, sizeof(line));
    close(out[0]);
    bmc->ports = json_loads(line, 0, NULL);
    assert_non_null(bmc->ports);
    assert_int_equal(http_client_new(&config, &bmc->control, NULL), 0);
}

static inline void bmc_stop(struct bmc *bmc)
{
    int status;

    http_client_free(bmc->control);
    json_decref(bmc->ports);
    close(bmc->in_fd);
    assert_int_equal(waitpid(bmc->pid, &status, 0), bmc->pid);
    assert_int_equal(status, 0);
}

/* "http://localhost:PORT/path" of a listener: one of a few static texts. */
static inline const char *bmc_url(struct bmc *bmc, const char *listener, const char *path)
{
    char *url = bmc->urls[bmc->next_url++ % ELEMENTSOF(bmc->urls)];
    bool plain = strcmp(listener, "http") == 0 || strcmp(listener, "other") == 0;
    const json_t *port = json_object_get(bmc->ports, listener);

    assert_non_null(port);
    assert_true(snprintf(url, sizeof(bmc->urls[0]), "%s://localhost:%d%s", plain ? "http" : "https",
                         (int)json_integer_value(port), path) < (int)sizeof(bmc->urls[0]));
    return url;
}

static inline json_t *bmc_control(struct bmc *bmc, const char *verb, const char *json)
{
    char url[128];
    int port = (int)json_integer_value(json_object_get(bmc->ports, "http"));
    struct carnot_err err = CARNOT_ERR_INIT;
    struct http_client_answer answer;
    const struct http_client_request request = {
        .method = "POST", .url = url, .content_type = "application/json", .body = text_of(json)};

    assert_true(snprintf(url, sizeof(url), "http://localhost:%d/control/%s", port, verb) < (int)sizeof(url));
    if (http_client_perform(bmc->control, &request, &answer, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(answer.status, 200);
    json_t *said = json_loadb(answer.body.p, answer.body.n, 0, NULL);
    assert_non_null(said);
    return said;
}

static inline void bmc_do(struct bmc *bmc, const char *verb, const char *json)
{
    json_decref(bmc_control(bmc, verb, json));
}

static inline void bmc_set(struct bmc *bmc, const char *path, const char *resource)
{
    char json[16384];

    assert_true(snprintf(json, sizeof(json), "{\"path\": \"%s\", \"json\": %s}", path, resource) < (int)sizeof(json));
    bmc_do(bmc, "set", json);
}

/* `rest` is what follows the path: "\"how\": \"slow\"". */
static inline void bmc_rule(struct bmc *bmc, const char *path, const char *rest)
{
    char json[16384];

    assert_true(snprintf(json, sizeof(json), "{\"path\": \"%s\", %s}", path, rest) < (int)sizeof(json));
    bmc_do(bmc, "rule", json);
}

static inline unsigned bmc_sessions(struct bmc *bmc)
{
    json_t *said = bmc_control(bmc, "count", "{}");
    unsigned n = (unsigned)json_integer_value(json_object_get(said, "sessions"));

    json_decref(said);
    return n;
}

/* The requests so far, a JSON array that the caller gives back with json_decref(). */
static inline json_t *bmc_log(struct bmc *bmc)
{
    return bmc_control(bmc, "log", "{}");
}

/* How many requests had that method and path; NULL: any. */
static inline unsigned bmc_asked(struct bmc *bmc, const char *method, const char *path)
{
    json_t *log = bmc_log(bmc), *one;
    unsigned n = 0;
    size_t i;

    json_array_foreach(log, i, one)
    {
        n += (!method || strcmp(json_string_value(json_object_get(one, "method")), method) == 0) &&
             (!path || strcmp(json_string_value(json_object_get(one, "path")), path) == 0);
    }
    json_decref(log);
    return n;
}

#endif
