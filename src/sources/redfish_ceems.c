/* SPDX-License-Identifier: Apache-2.0 */
/* See redfish_ceems.h. Every key is read as text, so that variables can stand for numbers as well; they are put in
 * after the file was parsed, hence no value of the environment can add keys. */
#include "sources/redfish_ceems.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/parse.h"
#include "net/http_client.h"

#define FILE_BYTES_MAX (64U << 10) /* a dozen lines */
#define VALUE_MAX      2048        /* of one value with its variables put in */
#define HOST_MAX       256

#define DEFAULT_TIMEOUT_NS (5 * NS_PER_SEC)

struct ceems {
    const char *protocol, *hostname, *port, *external_url;
    const char *username, *password, *use_session_token, *timeout, *insecure;
    const char *ca_file, *cert_file, *key_file, *tls_insecure;
    const char *basic_user, *basic_password, *basic_password_file;
    const char *proxy_url, *proxy_from_environment;
    const char *follow_redirects, *enable_http2; /* known, and without meaning here */
};

#define KEY(prefix, key, member)                                                                                       \
    {                                                                                                                  \
        .name = prefix "." key, .type = OPTION_STRING, .offset = offsetof(struct ceems, member)                        \
    }

#define KEYS(prefix)                                                                                                   \
    {                                                                                                                  \
        KEY(prefix, "protocol", protocol), KEY(prefix, "hostname", hostname), KEY(prefix, "port", port),               \
            KEY(prefix, "external_url", external_url), KEY(prefix, "username", username),                              \
            KEY(prefix, "password", password), KEY(prefix, "use_session_token", use_session_token),                    \
            KEY(prefix, "timeout", timeout), KEY(prefix, "insecure_skip_verify", insecure),                            \
            KEY(prefix, "tls_config.ca_file", ca_file), KEY(prefix, "tls_config.cert_file", cert_file),                \
            KEY(prefix, "tls_config.key_file", key_file),                                                              \
            KEY(prefix, "tls_config.insecure_skip_verify", tls_insecure),                                              \
            KEY(prefix, "basic_auth.username", basic_user), KEY(prefix, "basic_auth.password", basic_password),        \
            KEY(prefix, "basic_auth.password_file", basic_password_file), KEY(prefix, "proxy_url", proxy_url),         \
            KEY(prefix, "proxy_from_environment", proxy_from_environment),                                             \
            KEY(prefix, "follow_redirects", follow_redirects), KEY(prefix, "enable_http2", enable_http2),              \
    }

static const struct carnot_option new_keys[] = KEYS("redfish_collector");
static const struct carnot_option old_keys[] = KEYS("redfish_web_config");

static bool is_set(const char *s)
{
    return s && s[0];
}

static const char **value_at(struct ceems *ceems, const struct carnot_option *key)
{
    return (const char **)((char *)ceems + key->offset);
}

/* --- variables -------------------------------------------------------------------------------------------------- */

/* Takes "NAME" or "{NAME}" off the front. False when it is neither. */
static bool take_name(struct text *rest, char *name, size_t size)
{
    bool braces = rest->n && rest->p[0] == '{';
    size_t begin = braces ? 1 : 0, n = begin;

    while (n < rest->n && (rest->p[n] == '_' || (rest->p[n] >= '0' && rest->p[n] <= '9' && n > begin) ||
                           (rest->p[n] >= 'A' && rest->p[n] <= 'Z') || (rest->p[n] >= 'a' && rest->p[n] <= 'z')))
        n++;
    if (n == begin || n - begin >= size || (braces && (n == rest->n || rest->p[n] != '}')))
        return false;
    memcpy(name, rest->p + begin, n - begin);
    name[n - begin] = '\0';
    n += braces ? 1 : 0;
    *rest = (struct text){rest->p + n, rest->n - n};
    return true;
}

/* "$$" is one "$". A variable that is not set is a mistake, not an empty text. */
static int expand(struct arena *arena, const char *file, const char *key, const char **value, struct carnot_err *err)
{
    struct text rest = text_of(*value), piece;
    struct buf out;
    char name[64];
    int r = 0;

    buf_init(&out, VALUE_MAX);
    while (r == 0 && rest.n) {
        const char *dollar = memchr(rest.p, '$', rest.n);
        piece = (struct text){rest.p, dollar ? (size_t)(dollar - rest.p) : rest.n};
        buf_append(&out, piece.p, piece.n);
        if (!dollar)
            break;
        rest = (struct text){dollar + 1, rest.n - piece.n - 1};
        if (rest.n && rest.p[0] == '$') {
            buf_putc(&out, '$');
            rest = (struct text){rest.p + 1, rest.n - 1};
        } else if (!take_name(&rest, name, sizeof(name))) {
            r = carnot_err_set(
                err, EINVAL, "%.130s: %s has a \"$\" that begins no $NAME or ${NAME}; write \"$$\" for one", file, key);
        } else if (!secure_getenv(name)) {
            r = carnot_err_set(err, EINVAL, "%.130s: %s names the variable %s, which the environment has not", file,
                               key, name);
        } else {
            buf_puts(&out, secure_getenv(name));
        }
    }
    if (r == 0 && buf_error(&out))
        r = carnot_err_set(err, buf_error(&out), "%.130s: the value of %s is too long", file, key);
    if (r == 0) {
        *value = arena_strdup(arena, buf_str(&out));
        r = *value ? 0 : carnot_err_set(err, ENOMEM, "out of memory for %.130s", file);
    }
    if (out.data)
        explicit_bzero(out.data, out.cap);
    buf_done(&out);
    return r;
}

static int expand_all(struct arena *arena, const char *file, const struct carnot_option *keys, struct ceems *ceems,
                      struct carnot_err *err)
{
    int r = 0;

    for (size_t i = 0; i < ELEMENTSOF(new_keys) && r == 0; i++) {
        const char **value = value_at(ceems, &keys[i]);
        if (*value)
            r = expand(arena, file, keys[i].name, value, err);
    }
    return r;
}

/* --- values ----------------------------------------------------------------------------------------------------- */

static int take_bool(const char *file, const char *key, const char *value, bool *ret, struct carnot_err *err)
{
    if (!is_set(value) || parse_bool(text_of(value), ret) == 0)
        return 0;
    return carnot_err_set(err, EINVAL, "%.130s: %s is \"%.40s\"; expected true or false", file, key, value);
}

static int take_timeout(const char *file, const char *value, uint64_t *ret_ns, struct carnot_err *err)
{
    uint64_t ms;

    *ret_ns = DEFAULT_TIMEOUT_NS;
    if (!is_set(value))
        return 0;
    if (parse_u64(text_of(value), &ms) < 0 || ms < 100 || ms > 60000)
        return carnot_err_set(err, EINVAL, "%.130s: timeout is \"%.40s\"; expected milliseconds from 100 to 60000",
                              file, value);
    *ret_ns = ms * NS_PER_MS;
    return 0;
}

/* "{hostname}-bmc" -> "node7-bmc" */
static int put_hostname(const struct carnot_env *env, const char *pattern, char *out, size_t size,
                        struct carnot_err *err)
{
    static const char mark[] = "{hostname}";
    const char *at = strstr(pattern, mark);
    char own[HOST_MAX] = "";

    if (at) {
        ssize_t n = fsroot_read_line(&env->proc, "sys/kernel/hostname", own, sizeof(own), err);
        if (n < 0)
            return (int)n;
    }
    int prefix = at ? (int)(at - pattern) : (int)strlen(pattern);
    int n = snprintf(out, size, "%.*s%s%s", prefix, pattern, own, at ? at + sizeof(mark) - 1 : "");
    if (n < 0 || (size_t)n >= size)
        return carnot_err_set(err, EINVAL, "the BMC's hostname is too long");
    return 0;
}

static int find_target(const char *file, const struct ceems *ceems, const struct carnot_env *env,
                       redfish_address_fn find_address, struct redfish_config *config, const char **ret_url,
                       struct carnot_err *err)
{
    const char *protocol = is_set(ceems->protocol) ? ceems->protocol : "https";
    char host[HOST_MAX], url[HOST_MAX + 64];

    if (strcmp(protocol, "http") != 0 && strcmp(protocol, "https") != 0)
        return carnot_err_set(err, EINVAL, "%.130s: protocol is \"%.40s\"; expected http or https", file, protocol);
    if (!is_set(ceems->hostname))
        return redfish_find_base(config, protocol, ceems->port, env, find_address, ret_url, err);
    int r = put_hostname(env, ceems->hostname, host, sizeof(host), err);
    if (r < 0)
        return r;
    bool bare_v6 = strchr(host, ':') && host[0] != '[';
    int n = snprintf(url, sizeof(url), "%s://%s%s%s%s%s", protocol, bare_v6 ? "[" : "", host, bare_v6 ? "]" : "",
                     is_set(ceems->port) ? ":" : "", is_set(ceems->port) ? ceems->port : "");
    if (n < 0 || (size_t)n >= sizeof(url))
        return carnot_err_set(err, EINVAL, "%.130s: hostname or port is too long", file);
    *ret_url = arena_strdup(&config->arena, url);
    return *ret_url ? 0 : carnot_err_set(err, ENOMEM, "out of memory for a URL");
}

/* Requests go to the BMC, or to a proxy of such that is told by a header which one is meant. */
static int take_urls(const char *file, const struct ceems *ceems, const struct carnot_env *env,
                     redfish_address_fn find_address, struct redfish_config *config, struct carnot_err *err)
{
    const char *url;
    char origin[HTTP_CLIENT_ORIGIN_MAX];
    int r = find_target(file, ceems, env, find_address, config, &url, err);

    if (r < 0 || !url[0])
        return r;
    r = redfish_set_base(config, url, err);
    if (r >= 0 && is_set(ceems->external_url)) {
        r = http_client_origin(url, origin, sizeof(origin), err);
        config->target = r < 0 ? NULL : arena_strdup(&config->arena, origin);
        if (r >= 0)
            r = redfish_set_base(config, ceems->external_url, err);
        if (r >= 0 && !config->target)
            r = carnot_err_set(err, ENOMEM, "out of memory for a URL");
    }
    if (r < 0)
        carnot_err_wrap(err, "%.130s", file);
    return r;
}

static int take_login(const char *file, const struct ceems *ceems, struct redfish_config *config, bool exposed,
                      struct carnot_err *err)
{
    bool basic = is_set(ceems->basic_user) && !is_set(ceems->username);
    const char *user = basic ? ceems->basic_user : ceems->username;
    const char *password = basic ? ceems->basic_password : ceems->password;

    if (exposed && (is_set(ceems->password) || is_set(ceems->basic_password)))
        return redfish_explain_exposed("configuration file, which holds a password,", file, err);
    config->user = is_set(user) ? arena_strdup(&config->arena, user) : NULL;
    config->password = is_set(password) ? arena_strdup(&config->arena, password) : NULL;
    if ((is_set(user) && !config->user) || (is_set(password) && !config->password))
        return carnot_err_set(err, ENOMEM, "out of memory for a password");
    config->session = !basic;
    if (basic && !config->password && is_set(ceems->basic_password_file))
        return redfish_read_secret(ceems->basic_password_file, &config->arena, &config->password, err);
    return basic ? 0 : take_bool(file, "use_session_token", ceems->use_session_token, &config->session, err);
}

static int take_transport(const char *file, const struct ceems *ceems, struct redfish_config *config,
                          struct carnot_err *err)
{
    bool deprecated = false, insecure = false;
    const struct {
        const char *from;
        const char **to;
    } texts[] = {
        {ceems->ca_file, &config->ca_file},
        {ceems->cert_file, &config->cert_file},
        {ceems->key_file, &config->key_file},
        {ceems->proxy_url, &config->proxy},
    };

    for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
        *texts[i].to = is_set(texts[i].from) ? arena_strdup(&config->arena, texts[i].from) : NULL;
        if (is_set(texts[i].from) && !*texts[i].to)
            return carnot_err_set(err, ENOMEM, "out of memory for %.130s", file);
    }
    int r = take_bool(file, "insecure_skip_verify", ceems->insecure, &deprecated, err);
    if (r >= 0)
        r = take_bool(file, "tls_config.insecure_skip_verify", ceems->tls_insecure, &insecure, err);
    if (r >= 0)
        r = take_bool(file, "proxy_from_environment", ceems->proxy_from_environment, &config->proxy_from_env, err);
    if (r >= 0)
        r = take_timeout(file, ceems->timeout, &config->timeout_ns, err);
    config->insecure = insecure || deprecated;
    return r;
}

/* --- the file --------------------------------------------------------------------------------------------------- */

static bool has_any(struct ceems *ceems, const struct carnot_option *keys)
{
    for (size_t i = 0; i < ELEMENTSOF(new_keys); i++)
        if (*value_at(ceems, &keys[i]))
            return true;
    return false;
}

static int parse_file(struct option_set *set, const char *file, bool *ret_exposed, struct carnot_err *err)
{
    _cleanup_close_ int fd = redfish_open_private(file, "configuration file", ret_exposed, err);
    _cleanup_free_ char *text = malloc(FILE_BYTES_MAX + 1);

    if (fd < 0)
        return fd;
    if (!text)
        return carnot_err_set(err, ENOMEM, "out of memory for %.130s", file);
    ssize_t n = fd_read_front(fd, text, FILE_BYTES_MAX + 1);
    if (n < 0)
        return carnot_err_errno(err, (int)n, "cannot read %s", file);
    int r = n > (ssize_t)FILE_BYTES_MAX
                ? carnot_err_set(err, E2BIG, "%s: larger than the %u bytes that are read", file, FILE_BYTES_MAX)
                : option_defaults(set, err);
    if (r >= 0)
        r = option_parse_yaml(set, file, text, (size_t)n, err);
    explicit_bzero(text, (size_t)n);
    return r;
}

int redfish_ceems_load(const struct redfish_settings *settings, const struct carnot_env *env,
                       redfish_address_fn find_address, struct redfish_config *config, struct carnot_err *err)
{
    const char *file = settings->config_file;
    struct ceems current = {0}, before = {0};
    const struct option_group groups[] = {
        {"redfish_collector", new_keys, ELEMENTSOF(new_keys), &current},
        {"redfish_web_config", old_keys, ELEMENTSOF(old_keys), &before},
    };
    struct option_set set;
    bool exposed = false;

    option_set_init(&set, groups, ELEMENTSOF(groups));
    int r = parse_file(&set, file, &exposed, err);
    bool is_old = r >= 0 && has_any(&before, old_keys), is_new = r >= 0 && has_any(&current, new_keys);
    struct ceems *ceems = is_old ? &before : &current;
    if (r >= 0 && is_old == is_new)
        r = carnot_err_set(err, EINVAL,
                           "%.130s: expected one mapping redfish_collector (or redfish_web_config), got %s", file,
                           is_old ? "both" : "none with a key in it");
    if (r >= 0 && settings->expand_env)
        r = expand_all(&set.arena, file, is_old ? old_keys : new_keys, ceems, err);
    if (r >= 0)
        r = take_urls(file, ceems, env, find_address, config, err);
    if (r >= 0)
        r = take_login(file, ceems, config, exposed, err);
    if (r >= 0)
        r = take_transport(file, ceems, config, err);
    redfish_wipe(ceems->password);
    redfish_wipe(ceems->basic_password);
    option_set_done(&set);
    return r;
}
