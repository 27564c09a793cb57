/* SPDX-License-Identifier: Apache-2.0 */
/* A client from its configuration: what is checked before, and what libcurl is told once and for all. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "net/http_client_internal.h"

#define CONNECTIONS_KEPT 2 /* one host, and a second while the first one's connection ends */

static bool is_set(const char *s)
{
    return s && s[0];
}

static int check_file(const char *what, const char *path, struct carnot_err *err)
{
    if (!is_set(path))
        return 0;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? carnot_err_errno(err, errno, "cannot read the %s %s", what, path) : 0;
}

static int check_config(const struct http_client_config *config, struct carnot_err *err)
{
    char origin[HTTP_CLIENT_ORIGIN_MAX];
    int r = check_file("CA file", config->ca_file, err);

    if (r >= 0)
        r = check_file("certificate", config->cert_file, err);
    if (r >= 0)
        r = check_file("certificate's key", config->key_file, err);
    if (r >= 0 && is_set(config->key_file) && !is_set(config->cert_file))
        return carnot_err_set(err, EINVAL, "the key %s has no certificate; give both", config->key_file);
    if (r >= 0 && is_set(config->user) && strchr(config->user, ':'))
        return carnot_err_set(err, EINVAL, "a user name with \":\" cannot be sent by basic authentication");
    if (r >= 0 && is_set(config->proxy)) {
        r = http_client_origin(config->proxy, origin, sizeof(origin), err);
        if (r < 0)
            carnot_err_wrap(err, "the proxy");
    }
    return r;
}

static CURLcode limit_protocols(const struct http_client *client)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    return client->api->easy_setopt(client->curl, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    return client->api->easy_setopt(client->curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static void set_tls(const struct http_client *client, const struct http_client_config *config)
{
    CURLcode (*const setopt)(CURL *, CURLoption, ...) = client->api->easy_setopt;
    CURL *curl = client->curl;

    setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    setopt(curl, CURLOPT_SSL_VERIFYPEER, config->insecure ? 0L : 1L);
    setopt(curl, CURLOPT_SSL_VERIFYHOST, config->insecure ? 0L : 2L);
    if (is_set(config->ca_file) || config->insecure) {
        /* Instead of the system's, not beside them; and 7 MB of authorities are not read for nothing. */
        setopt(curl, CURLOPT_CAINFO, is_set(config->ca_file) ? config->ca_file : NULL);
        setopt(curl, CURLOPT_CAPATH, NULL);
    }
    if (is_set(config->cert_file)) {
        setopt(curl, CURLOPT_SSLCERT, config->cert_file);
        setopt(curl, CURLOPT_SSLKEY, is_set(config->key_file) ? config->key_file : config->cert_file);
    }
}

static CURLcode set_login(const struct http_client *client, const struct http_client_config *config)
{
    CURLcode (*const setopt)(CURL *, CURLoption, ...) = client->api->easy_setopt;
    CURL *curl = client->curl;

    setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    CURLcode code = setopt(curl, CURLOPT_USERNAME, config->user);
    return code == CURLE_OK ? setopt(curl, CURLOPT_PASSWORD, config->password ? config->password : "") : code;
}

/* Options of numbers and pointers cannot fail; those that copy a text can, for want of memory. Of those that keep us
 * safe the library must know each. */
static int set_options(struct http_client *client, const struct http_client_config *config, struct carnot_err *err)
{
    CURLcode (*const setopt)(CURL *, CURLoption, ...) = client->api->easy_setopt;
    CURL *curl = client->curl;
    CURLcode code = limit_protocols(client);

    set_tls(client, config);
    setopt(curl, CURLOPT_NOSIGNAL, 1L);
    setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    setopt(curl, CURLOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    setopt(curl, CURLOPT_USERAGENT, "carnot/" CARNOT_VERSION);
    setopt(curl, CURLOPT_ERRORBUFFER, client->detail);
    setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)client->body_max);
    setopt(curl, CURLOPT_WRITEFUNCTION, http_client_take_body);
    setopt(curl, CURLOPT_WRITEDATA, client);
    setopt(curl, CURLOPT_HEADERFUNCTION, http_client_take_head);
    setopt(curl, CURLOPT_HEADERDATA, client);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A deadline that passes while a name is looked up: else libcurl waits for the resolver's own. */
    setopt(curl, CURLOPT_QUICK_EXIT, 1L);
#endif
    if (code == CURLE_OK && (is_set(config->proxy) || !config->proxy_from_env))
        code = setopt(curl, CURLOPT_PROXY, client->proxy); /* "" keeps it from looking into the environment */
    if (code == CURLE_OK && is_set(config->user))
        code = set_login(client, config);
    if (code == CURLE_UNKNOWN_OPTION)
        return carnot_err_set(err, ELIBACC,
                              "libcurl is older than the one that this program was built with; update it");
    return code == CURLE_OK ? 0 : carnot_err_set(err, ENOMEM, "out of memory for the HTTP client");
}

int http_client_new(const struct http_client_config *config, struct http_client **ret_client, struct carnot_err *err)
{
    const struct curl_api *api = curl_api_get(err);
    int r = api ? check_config(config, err) : -ELIBACC;

    if (r < 0)
        return r;
    struct http_client *client = calloc(1, sizeof(*client));
    if (client)
        *client = (struct http_client){.api = api, .curl = api->easy_init()};
    if (!client || !client->curl) {
        free(client);
        return carnot_err_set(err, ENOMEM, "out of memory for the HTTP client");
    }
    client->timeout_ns = config->timeout_ns ? config->timeout_ns : HTTP_CLIENT_TIMEOUT_NS;
    client->connect_timeout_ns = config->connect_timeout_ns ? config->connect_timeout_ns : client->timeout_ns / 2;
    client->body_max = config->body_max ? config->body_max : HTTP_CLIENT_BODY_MAX;
    client->redirects_max = config->redirects_max;
    buf_init(&client->body, client->body_max);
    if (is_set(config->proxy))
        r = http_client_origin(config->proxy, client->proxy, sizeof(client->proxy), err);
    if (r >= 0)
        r = set_options(client, config, err);
    if (r < 0) {
        http_client_free(client);
        return r;
    }
    *ret_client = client;
    return 0;
}

struct http_client *http_client_free(struct http_client *client)
{
    if (!client)
        return NULL;
    client->api->easy_cleanup(client->curl);
    buf_done(&client->body);
    explicit_bzero(client->values, sizeof(client->values)); /* a token, maybe */
    free(client);
    return NULL;
}
