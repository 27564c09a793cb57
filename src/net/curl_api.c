/* SPDX-License-Identifier: Apache-2.0 */
/* See curl_api.h. */
#include "net/curl_api.h"

#include <errno.h>
#include <pthread.h>

#include "base/dl_api.h"

#define SLOT(member) offsetof(struct curl_api, member)

static const struct dl_symbol symbols[] = {
    {"curl_global_init", SLOT(global_init), true},
    {"curl_version_info", SLOT(version_info), true},
    {"curl_easy_init", SLOT(easy_init), true},
    {"curl_easy_cleanup", SLOT(easy_cleanup), true},
    {"curl_easy_setopt", SLOT(easy_setopt), true},
    {"curl_easy_getinfo", SLOT(easy_getinfo), true},
    {"curl_easy_perform", SLOT(easy_perform), true},
    {"curl_easy_strerror", SLOT(easy_strerror), true},
    {"curl_slist_append", SLOT(slist_append), true},
    {"curl_slist_free_all", SLOT(slist_free_all), true},
    {"curl_free", SLOT(free), true},
    {"curl_url", SLOT(url), true},
    {"curl_url_cleanup", SLOT(url_cleanup), true},
    {"curl_url_set", SLOT(url_set), true},
    {"curl_url_get", SLOT(url_get), true},
    {"curl_url_strerror", SLOT(url_strerror), true},
};

static struct curl_api api;
static struct carnot_err failure;

/* The one built with GnuTLS first: the HTTP server has that TLS stack already. */
static void load(void)
{
    static const char *const names[] = {"libcurl-gnutls.so.4", "libcurl.so.4"};
    struct carnot_err why = CARNOT_ERR_INIT;
    int r = dl_api_load(names, ELEMENTSOF(names), symbols, ELEMENTSOF(symbols), &api, sizeof(api), &why);

    if (r >= 0 && api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        r = carnot_err_set(&why, EIO, "it cannot be initialised");
    if (r < 0)
        carnot_err_set(&failure, ELIBACC,
                       "libcurl, which asks over the network, cannot be used (%.200s): install libcurl3-gnutls, or "
                       "libcurl 7.80 or later",
                       why.msg);
}

const struct curl_api *curl_api_get(struct carnot_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    if (failure.code == 0)
        return &api;
    if (err)
        *err = failure;
    return NULL;
}
