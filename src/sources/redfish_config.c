/* SPDX-License-Identifier: Apache-2.0 */
/* The options of the source redfish, and what becomes of them. See redfish_config.h; the other project's file is read
 * in redfish_ceems.c. */
#include "sources/redfish_config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "base/parse.h"
#include "net/http_client.h"
#include "sources/redfish_ceems.h"

#define SECRET_MAX 1024        /* of a password: what BMCs take has 16 to 128 characters */
#define ARENA_MAX  (64U << 10) /* a dozen strings */
#define URL_MAX    1024

struct redfish_settings redfish_default_settings = {
    .session = true, .timeout_ns = 5 * NS_PER_SEC, .interval_ns = NS_PER_SEC};

#define FIELD(member) offsetof(struct redfish_settings, member)

const struct carnot_option redfish_options[REDFISH_OPTIONS] = {
    {.name = "redfish.url",
     .type = OPTION_STRING,
     .offset = FIELD(url),
     .metavar = "URL",
     .help = "Redfish service of this machine's BMC (https://bmc-7); \"auto\": https at the address that IPMI tells."},
    {.name = "redfish.user",
     .type = OPTION_STRING,
     .offset = FIELD(user),
     .metavar = "NAME",
     .help = "User at the BMC; the right to read is enough."},
    {.name = "redfish.password-file",
     .type = OPTION_STRING,
     .offset = FIELD(password_file),
     .metavar = "FILE",
     .help = "Holds that user's password in its only line; others must not be able to read it."},
    {.name = "redfish.session",
     .type = OPTION_BOOL,
     .offset = FIELD(session),
     .def = "true",
     .help = "Log in once and renew the session when it ends; without it the password goes with each request."},
    {.name = "redfish.tls-ca-file",
     .type = OPTION_STRING,
     .offset = FIELD(ca_file),
     .metavar = "FILE",
     .help = "Authority of the BMC's certificate, or that certificate itself, instead of the system's authorities."},
    {.name = "redfish.tls-cert-file",
     .type = OPTION_STRING,
     .offset = FIELD(cert_file),
     .metavar = "FILE",
     .help = "Our own certificate, for a BMC that asks for one."},
    {.name = "redfish.tls-key-file",
     .type = OPTION_STRING,
     .offset = FIELD(key_file),
     .metavar = "FILE",
     .help = "Key of our own certificate."},
    {.name = "redfish.tls-insecure",
     .type = OPTION_BOOL,
     .offset = FIELD(insecure),
     .def = "false",
     .help = "Take any certificate: who is on the way to the BMC can then read the password."},
    {.name = "redfish.proxy",
     .type = OPTION_STRING,
     .offset = FIELD(proxy),
     .metavar = "URL",
     .help = "HTTP proxy (http://host:port); those of the environment are not used."},
    {.name = "redfish.timeout",
     .type = OPTION_DURATION,
     .offset = FIELD(timeout_ns),
     .def = "5s",
     .metavar = "TIME",
     .min = 100 * NS_PER_MS,
     .max = 60 * NS_PER_SEC,
     .help = "Longest that one reading may take, all its requests together."},
    {.name = "redfish.interval",
     .type = OPTION_DURATION,
     .offset = FIELD(interval_ns),
     .def = "1s",
     .metavar = "TIME",
     .min = NS_PER_SEC,
     .max = 60 * NS_PER_SEC,
     .help = "How often the BMC is asked; beyond 2s part of the energy has no known owner."},
    {.name = "redfish.chassis",
     .type = OPTION_LIST,
     .offset = FIELD(chassis),
     .metavar = "ID",
     .help = "Read only this chassis (repeatable); the first one is this machine."},
    {.name = "redfish.config-file",
     .type = OPTION_STRING,
     .offset = FIELD(config_file),
     .metavar = "FILE",
     .help = "Configuration of a CEEMS exporter (YAML, redfish_collector) instead of url, user, tls-* and the like."},
    {.name = "redfish.config-file-expand-env",
     .type = OPTION_BOOL,
     .offset = FIELD(expand_env),
     .def = "false",
     .help = "Replace $NAME and ${NAME} in that file's values by variables of the environment."},
};

static bool is_set(const char *s)
{
    return s && s[0];
}

/* --- secrets ---------------------------------------------------------------------------------------------------- */

int redfish_open_private(const char *path, const char *what, bool *ret_exposed, struct carnot_err *err)
{
    struct stat st;

    /* With rights that its caller has not, a program must not read files that its caller names. */
    if (getauxval(AT_SECURE))
        return carnot_err_set(
            err, EPERM,
            "the %s %s is not read by a program that has more rights than its user; run it as root, or "
            "let carnotd do it",
            what, path);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return carnot_err_errno(err, errno, "cannot open the %s %s", what, path);
    if (fstat(fd, &st) < 0)
        return carnot_err_errno(err, errno, "cannot look at the %s %s", what, path);
    if (!S_ISREG(st.st_mode))
        return carnot_err_set(err, EINVAL, "the %s %s is no regular file", what, path);
    *ret_exposed = (st.st_mode & (S_IRWXO | S_IWGRP)) || (st.st_uid != 0 && st.st_uid != geteuid());
    return TAKE_FD(fd);
}

void redfish_wipe(const char *secret)
{
    char *own;

    if (!secret)
        return;
    memcpy(&own, &secret, sizeof(own));
    explicit_bzero(own, strlen(own));
}

int redfish_explain_exposed(const char *what, const char *path, struct carnot_err *err)
{
    return carnot_err_set(err, EINVAL,
                          "the %s %s can be read or changed by others than its owner, or is neither root's nor ours: "
                          "chown root and chmod 600 (or 640) mend it",
                          what, path);
}

int redfish_read_secret(const char *path, struct arena *arena, const char **ret_secret, struct carnot_err *err)
{
    char text[SECRET_MAX + 1];
    bool exposed = false;
    _cleanup_close_ int fd = redfish_open_private(path, "password file", &exposed, err);

    if (fd < 0)
        return fd;
    if (exposed)
        return redfish_explain_exposed("password file", path, err);
    ssize_t n = fd_read_front(fd, text, sizeof(text));
    if (n < 0)
        return carnot_err_errno(err, (int)n, "cannot read the password file %s", path);

    struct text rest = {text, (size_t)n}, line = {"", 0};
    scan_line(&rest, &line);
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    bool good = line.n > 0 && rest.n == 0 && n <= SECRET_MAX && !memchr(line.p, '\0', line.n);
    char *secret = good ? arena_strndup(arena, line.p, line.n) : NULL;
    explicit_bzero(text, sizeof(text));
    if (!good)
        return carnot_err_set(err, EINVAL, "the password file %s must hold one line of 1 to %d characters", path,
                              SECRET_MAX);
    if (!secret)
        return carnot_err_set(err, ENOMEM, "out of memory for a password");
    *ret_secret = secret;
    return 0;
}

/* --- URLs ------------------------------------------------------------------------------------------------------- */

static const char *copy(struct redfish_config *config, const char *s)
{
    return is_set(s) ? arena_strdup(&config->arena, s) : NULL;
}

/* "https://gate/bmc-7/redfish/v1/" -> "https://gate/bmc-7" */
int redfish_set_base(struct redfish_config *config, const char *url, struct carnot_err *err)
{
    char origin[HTTP_CLIENT_ORIGIN_MAX];
    struct text base = text_of(url);
    int r = http_client_origin(url, origin, sizeof(origin), err);

    if (r < 0)
        return r;
    if (strpbrk(url, "?#"))
        return carnot_err_set(err, EINVAL,
                              "the URL of a Redfish service has no \"?\" or \"#\"; write https://host[:port]");
    static const char *const ends[] = {"/", "/redfish/v1", "/redfish", "/"};
    for (size_t i = 0; i < ELEMENTSOF(ends); i++)
        if (text_ends(base, ends[i]))
            base.n -= strlen(ends[i]);
    config->base = arena_strndup(&config->arena, base.p, base.n);
    return config->base ? 0 : carnot_err_set(err, ENOMEM, "out of memory for a URL");
}

int redfish_find_base(struct redfish_config *config, const char *protocol, const char *port,
                      const struct carnot_env *env, redfish_address_fn find_address, const char **ret_url,
                      struct carnot_err *err)
{
    char address[64], url[URL_MAX];

    if (!find_address) {
        *ret_url = "";
        return 0;
    }
    int r = find_address(env, 0, address, sizeof(address), err);
    if (r < 0)
        return r;
    bool v6 = strchr(address, ':') != NULL;
    int n = snprintf(url, sizeof(url), "%s://%s%s%s%s%s", protocol, v6 ? "[" : "", address, v6 ? "]" : "",
                     is_set(port) ? ":" : "", is_set(port) ? port : "");
    if (n < 0 || (size_t)n >= sizeof(url))
        return carnot_err_set(err, EINVAL, "the BMC's address is too long for a URL");
    *ret_url = arena_strdup(&config->arena, url);
    return *ret_url ? 0 : carnot_err_set(err, ENOMEM, "out of memory for a URL");
}

/* --- options ---------------------------------------------------------------------------------------------------- */

/* Whatever says where the BMC is and who we are comes from one place. */
static int check_one_way(const struct redfish_settings *settings, struct carnot_err *err)
{
    const struct {
        const char *name, *value;
    } others[] = {
        {"redfish.url", settings->url},
        {"redfish.user", settings->user},
        {"redfish.password-file", settings->password_file},
        {"redfish.tls-ca-file", settings->ca_file},
        {"redfish.tls-cert-file", settings->cert_file},
        {"redfish.tls-key-file", settings->key_file},
        {"redfish.proxy", settings->proxy},
        {"redfish.tls-insecure", settings->insecure ? "true" : NULL},
    };

    for (size_t i = 0; i < ELEMENTSOF(others); i++)
        if (is_set(others[i].value))
            return carnot_err_set(err, EINVAL,
                                  "--%s and --redfish.config-file are both given, but that file says it all; leave one "
                                  "of the two out",
                                  others[i].name);
    return 0;
}

static int take_options(const struct redfish_settings *settings, const struct carnot_env *env,
                        redfish_address_fn find_address, struct redfish_config *config, struct carnot_err *err)
{
    const char *url = settings->url;
    int r = 0;

    if (strcmp(url, "auto") == 0)
        r = redfish_find_base(config, "https", NULL, env, find_address, &url, err);
    if (r >= 0 && url[0])
        r = redfish_set_base(config, url, err);
    if (r < 0) {
        carnot_err_wrap(err, "redfish.url");
        return r;
    }
    config->user = copy(config, settings->user);
    if (is_set(settings->password_file)) {
        r = redfish_read_secret(settings->password_file, &config->arena, &config->password, err);
        if (r < 0)
            return r;
    }
    config->session = settings->session;
    config->ca_file = copy(config, settings->ca_file);
    config->cert_file = copy(config, settings->cert_file);
    config->key_file = copy(config, settings->key_file);
    config->insecure = settings->insecure;
    config->proxy = copy(config, settings->proxy);
    config->timeout_ns = settings->timeout_ns;
    return 0;
}

/* Variables that exporters take, so that a unit file can keep its lines. */
static int take_environment(struct redfish_config *config, struct carnot_err *err)
{
    const char *user = secure_getenv("REDFISH_WEB_USERNAME"), *password = secure_getenv("REDFISH_WEB_PASSWORD");

    if (is_set(user))
        config->user = copy(config, user);
    if (is_set(password))
        config->password = copy(config, password);
    if ((is_set(user) && !config->user) || (is_set(password) && !config->password))
        return carnot_err_set(err, ENOMEM, "out of memory for a password");
    return 0;
}

static int check(struct redfish_config *config, struct carnot_err *err)
{
    if (config->user && !config->password)
        return carnot_err_set(err, EINVAL,
                              "the user \"%.40s\" of the BMC has no password; give it with --redfish.password-file, or "
                              "REDFISH_WEB_PASSWORD",
                              config->user);
    if (config->password && !config->user)
        return carnot_err_set(err, EINVAL,
                              "a password for the BMC is given, but no user; name one with --redfish.user, or "
                              "REDFISH_WEB_USERNAME");
    if (!config->user)
        config->session = false;
    return 0;
}

int redfish_config_load(const struct redfish_settings *settings, const struct carnot_env *env,
                        redfish_address_fn find_address, struct redfish_config *ret_config, struct carnot_err *err)
{
    struct redfish_config config = {.interval_ns = settings->interval_ns, .chassis = &settings->chassis, .base = ""};
    int r;

    if (!is_set(settings->url) && !is_set(settings->config_file))
        return carnot_err_set(
            err, ENODEV,
            "no BMC is configured; to read it, give --redfish.url https://ADDRESS, --redfish.user and "
            "--redfish.password-file");
    arena_init(&config.arena, ARENA_MAX);
    if (is_set(settings->config_file)) {
        r = check_one_way(settings, err);
        if (r >= 0)
            r = redfish_ceems_load(settings, env, find_address, &config, err);
    } else {
        r = take_options(settings, env, find_address, &config, err);
    }
    if (r >= 0)
        r = take_environment(&config, err);
    if (r >= 0)
        r = check(&config, err);
    if (r < 0) {
        redfish_config_done(&config);
        return r;
    }
    *ret_config = config;
    return 0;
}

void redfish_config_done(struct redfish_config *config)
{
    redfish_wipe(config->password);
    arena_done(&config->arena);
    *config = (struct redfish_config){0};
}
