/* SPDX-License-Identifier: Apache-2.0 */
/* From libcurl's codes to one sentence: which host, what failed, what to do. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "net/http_client_internal.h"

/* What CURLINFO_SSL_VERIFYRESULT means is up to the library that libcurl was built with: flags of GnuTLS's
 * gnutls_certificate_status_t, or one of OpenSSL's X509_V_ERR_*. */
enum tls_library { TLS_GNUTLS, TLS_OPENSSL, TLS_OTHER };

enum { FAULT_EXPIRED, FAULT_EARLY, FAULT_REVOKED, FAULT_WEAK, FAULT_SIGNER, FAULTS };

static const struct {
    int code;
    const char *text;
    long gnutls;     /* any of these flags */
    long openssl[6]; /* one of these, 0 at the end */
} certificate_faults[FAULTS] = {
    [FAULT_EXPIRED] = {EKEYEXPIRED,
                       "has expired; renew it on that host (and see whether the clocks are right)",
                       1 << 10,
                       {10}},
    [FAULT_EARLY] = {EKEYREJECTED, "is not valid yet; see whether the clocks of both machines are right", 1 << 9, {9}},
    [FAULT_REVOKED] = {EKEYREJECTED, "was revoked; put a new one on that host", 1 << 5, {23}},
    [FAULT_WEAK] = {EKEYREJECTED,
                    "is signed by a method that is no longer safe; renew it on that host",
                    1 << 8,
                    {66, 67, 68}},
    [FAULT_SIGNER] = {EKEYREJECTED,
                      "is signed by nobody that we trust (itself, maybe); give the file of its authority, or the "
                      "certificate itself, as the CA file",
                      1 << 6 | 1 << 7,
                      {2, 18, 19, 20, 21}},
};

/* Codes of which all is known at once. */
static const struct {
    CURLcode curl;
    int code;
    const char *text;
} plain[] = {
    {CURLE_COULDNT_RESOLVE_HOST, EHOSTUNREACH,
     "the name is not known to the resolver; correct it, or give the address itself"},
    {CURLE_COULDNT_RESOLVE_PROXY, EHOSTUNREACH, "the proxy's name is not known to the resolver; correct it"},
    {CURLE_SSL_CONNECT_ERROR, EPROTO,
     "no TLS connection comes about; see whether the port speaks https, and TLS 1.2 or later"},
    {CURLE_GOT_NOTHING, ECONNRESET, "the connection was closed without an answer; see whether the service is well"},
    {CURLE_SEND_ERROR, ECONNRESET, "the connection broke while the request was sent; see whether the service is well"},
    {CURLE_RECV_ERROR, ECONNRESET, "the connection broke while the answer came; see whether the service is well"},
    {CURLE_PARTIAL_FILE, ECONNRESET, "the answer ended before the length that was announced; it is not used"},
    {CURLE_WEIRD_SERVER_REPLY, EPROTO, "what came is no HTTP answer; see whether the port is right"},
    {CURLE_UNSUPPORTED_PROTOCOL, EPROTO, "what came is no HTTP/1 answer; see whether the port is right"},
    {CURLE_SSL_CERTPROBLEM, EINVAL, "our own certificate or its key cannot be used; correct the two files"},
    {CURLE_SSL_CACERT_BADFILE, EINVAL, "the CA file cannot be used; it must hold certificates in PEM"},
    {CURLE_OUT_OF_MEMORY, ENOMEM, "out of memory while asking"},
};

static enum tls_library tls_library(const struct curl_api *api)
{
    const char *name = api->version_info(CURLVERSION_NOW)->ssl_version;

    if (name && strncmp(name, "GnuTLS", 6) == 0)
        return TLS_GNUTLS;
    return name && strncmp(name, "OpenSSL", 7) == 0 ? TLS_OPENSSL : TLS_OTHER;
}

static bool is_fault(size_t fault, enum tls_library library, long verdict)
{
    const long *codes = certificate_faults[fault].openssl;

    if (library == TLS_GNUTLS)
        return verdict & certificate_faults[fault].gnutls;
    while (*codes && *codes != verdict)
        codes++;
    return verdict && *codes == verdict;
}

static int explain_certificate(const struct curl_api *api, CURL *curl, const struct http_client_failure *failure,
                               struct carnot_err *err)
{
    enum tls_library library = tls_library(api);
    long verdict = 0;

    if (library != TLS_OTHER && api->easy_getinfo(curl, CURLINFO_SSL_VERIFYRESULT, &verdict) == CURLE_OK) {
        for (size_t i = 0; i < FAULTS; i++)
            if (is_fault(i, library, verdict))
                return carnot_err_set(err, certificate_faults[i].code, "%s: its certificate %s", failure->origin,
                                      certificate_faults[i].text);
        /* A good certificate, for somebody else: none of these, or with OpenSSL the 1 that stands there before it has
         * been looked at. */
        if (verdict == 0 || (library == TLS_OPENSSL && verdict == 1))
            return carnot_err_set(err, EKEYREJECTED,
                                  "%s: its certificate is for another name; use the name that is in it, or put a new "
                                  "one on that host",
                                  failure->origin);
    }
    return carnot_err_set(err, EKEYREJECTED, "%s: its certificate is refused (%.200s); correct it, or the CA file",
                          failure->origin, failure->detail);
}

static int explain_refusal(const struct curl_api *api, CURL *curl, const struct http_client_failure *failure,
                           struct carnot_err *err)
{
    const char *by = failure->proxy[0] ? " (by the proxy)" : "";
    long code = 0;

    api->easy_getinfo(curl, CURLINFO_OS_ERRNO, &code);
    if (code == 0 || code == ECONNREFUSED)
        return carnot_err_set(err, ECONNREFUSED,
                              "%s: connection refused%s; see whether the service runs and the port is right",
                              failure->origin, by);
    return carnot_err_errno(err, (int)code, "%s: cannot connect%s", failure->origin, by);
}

static int explain_timeout(const struct curl_api *api, CURL *curl, const struct http_client_failure *failure,
                           struct carnot_err *err)
{
    curl_off_t sent_us = 0;
    uint64_t ms;

    api->easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
    if (sent_us == 0) {
        ms = min_u64(failure->connect_timeout_ns, failure->timeout_ns) / NS_PER_MS;
        return carnot_err_set(err, ETIMEDOUT,
                              "%s: no connection within %" PRIu64 " ms; see whether the host is on and a firewall lets "
                              "us through",
                              failure->origin, ms);
    }
    ms = failure->timeout_ns / NS_PER_MS;
    return carnot_err_set(err, ETIMEDOUT,
                          "%s: no whole answer within %" PRIu64 " ms; allow more time, or see why it is slow",
                          failure->origin, ms);
}

int http_client_explain(const struct curl_api *api, CURL *curl, const struct http_client_failure *failure,
                        struct carnot_err *err)
{
    switch (failure->code) {
    case CURLE_PEER_FAILED_VERIFICATION:
        return explain_certificate(api, curl, failure, err);
    case CURLE_COULDNT_CONNECT:
        return explain_refusal(api, curl, failure, err);
    case CURLE_OPERATION_TIMEDOUT:
        return explain_timeout(api, curl, failure, err);
    case CURLE_FILESIZE_EXCEEDED:
        return carnot_err_set(err, E2BIG,
                              "%s: the answer is larger than the %zu bytes that are taken; see whether the address is "
                              "the right one",
                              failure->origin, failure->body_max);
    default:
        break;
    }
    for (size_t i = 0; i < ELEMENTSOF(plain); i++)
        if (plain[i].curl == failure->code)
            return carnot_err_set(err, plain[i].code, "%s: %s%s%.160s%s", failure->origin, plain[i].text,
                                  failure->detail[0] ? " (" : "", failure->detail, failure->detail[0] ? ")" : "");
    return carnot_err_set(err, EIO, "%s: %s (%.160s); report this, please", failure->origin,
                          api->easy_strerror(failure->code), failure->detail);
}
