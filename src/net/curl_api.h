/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl, loaded when the first client is made: it brings eighteen libraries along, which would cost every program of
 * ours 25 ms at its start and 2.6 MB, and most never ask anybody anything. Private to net/. */
#ifndef CARNOT_NET_CURL_API_H
#define CARNOT_NET_CURL_API_H

#include <curl/curl.h>

#include "base/err.h"

struct curl_api {
    CURLcode (*global_init)(long flags);
    curl_version_info_data *(*version_info)(CURLversion age);
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *curl);
    CURLcode (*easy_setopt)(CURL *curl, CURLoption option, ...);
    CURLcode (*easy_getinfo)(CURL *curl, CURLINFO info, ...);
    CURLcode (*easy_perform)(CURL *curl);
    const char *(*easy_strerror)(CURLcode code);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free_all)(struct curl_slist *list);
    void (*free)(void *memory);
    CURLU *(*url)(void);
    void (*url_cleanup)(CURLU *url);
    CURLUcode (*url_set)(CURLU *url, CURLUPart part, const char *text, unsigned flags);
    CURLUcode (*url_get)(const CURLU *url, CURLUPart part, char **ret_text, unsigned flags);
    const char *(*url_strerror)(CURLUcode code);
};

/* The library's functions, loaded at the first call, from any thread. NULL with the sentence, code -ELIBACC, where it
 * is not installed or too old. */
const struct curl_api *curl_api_get(struct carnot_err *err);

#endif
