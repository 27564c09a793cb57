/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of the HTTP client: which are taken, whose they are, and where a relative one leads. */
#include <errno.h>
#include <string.h>

#include "net/http_client_internal.h"

/* What is cleaned up came from the library, so it is there. */
static void cleanup_urlp(CURLU **url)
{
    if (*url)
        curl_api_get(NULL)->url_cleanup(*url);
}

static void cleanup_curl_textp(char **text)
{
    if (*text)
        curl_api_get(NULL)->free(*text);
}

#define _cleanup_url_       CLEANUP(cleanup_urlp)
#define _cleanup_curl_text_ CLEANUP(cleanup_curl_textp)

/* Credentials are refused rather than used: a URL is shown in many places. */
static CURLUcode parse_url(const struct curl_api *api, const char *text, CURLU **ret_url)
{
    CURLU *url = api->url();
    CURLUcode code = url ? api->url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) : CURLUE_OUT_OF_MEMORY;

    if (code != CURLUE_OK) {
        api->url_cleanup(url);
        return code;
    }
    *ret_url = url;
    return CURLUE_OK;
}

int http_client_origin(const char *text, char *ret_origin, size_t size, struct carnot_err *err)
{
    _cleanup_url_ CURLU *url = NULL;
    _cleanup_curl_text_ char *scheme = NULL, *host = NULL, *port = NULL;
    const struct curl_api *api = curl_api_get(err);

    if (!api)
        return -ELIBACC;
    CURLUcode code = strlen(text) < HTTP_CLIENT_URL_MAX ? parse_url(api, text, &url) : CURLUE_MALFORMED_INPUT;
    if (code == CURLUE_USER_NOT_ALLOWED)
        return carnot_err_set(
            err, EINVAL,
            "a URL holds a user name or password, which may show up anywhere; take them out of it and "
            "give them by their own settings");
    if (code == CURLUE_OK)
        code = api->url_get(url, CURLUPART_SCHEME, &scheme, 0);
    if (code == CURLUE_OK)
        code = api->url_get(url, CURLUPART_HOST, &host, 0);
    if (code == CURLUE_OK && strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        return carnot_err_set(err, EINVAL, "a URL begins with \"%.20s:\"; only http: and https: are taken", scheme);
    if (code == CURLUE_OK)
        code = api->url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    if (code == CURLUE_OUT_OF_MEMORY)
        return carnot_err_set(err, ENOMEM, "out of memory for a URL");
    if (code != CURLUE_OK)
        return carnot_err_set(err, EINVAL, "\"%.100s\" is no URL (%s); write https://host[:port]/path", text,
                              api->url_strerror(code));

    char origin[HTTP_CLIENT_ORIGIN_MAX];
    int n = snprintf(origin, sizeof(origin), "%s://%s:%s", scheme, host, port);
    if (n < 0 || (size_t)n >= sizeof(origin) || (size_t)n >= size)
        return carnot_err_set(err, EINVAL, "the host of a URL is too long");
    memcpy(ret_origin, origin, (size_t)n + 1);
    return 0;
}

bool http_client_resolve(const struct curl_api *api, const char *location, char *url, size_t size)
{
    _cleanup_url_ CURLU *whole = NULL;
    _cleanup_curl_text_ char *text = NULL;

    if (!location[0] || parse_url(api, url, &whole) != CURLUE_OK ||
        api->url_set(whole, CURLUPART_URL, location, CURLU_DISALLOW_USER) != CURLUE_OK ||
        api->url_get(whole, CURLUPART_URL, &text, 0) != CURLUE_OK || strlen(text) >= size)
        return false;
    memcpy(url, text, strlen(text) + 1);
    return true;
}
