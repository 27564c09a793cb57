/* SPDX-License-Identifier: Apache-2.0 */
/* Accept headers: a q is a q, a name needs no more than any entry gives, and case does not matter. */
#include <ctype.h>
#include <string.h>

#include "check.h"
#include "net/http_server.h"
#include "sinks/prometheus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_token(const char *header, const char *shouted, const char *token)
{
    double q = http_accept_q(header, token), named = http_accept_named_q(header, token);

    CHECK(q >= 0 && q <= 1 && named >= 0 && named <= 1);
    CHECK(named <= 0 || (named <= q && named >= q)); /* a name wins over wildcards */
    CHECK(q >= http_accept_q(shouted, token) && q <= http_accept_q(shouted, token));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *header = strndup((const char *)data, size), *shouted = strndup((const char *)data, size);

    if (header && shouted) {
        for (char *p = shouted; *p; p++) /* a number's exponent has no case either */
            *p = (char)toupper((unsigned char)*p);
        check_token(header, shouted, "gzip");
        check_token(header, shouted, "text/plain");
        check_token(header, shouted, "application/openmetrics-text");
        if (!strcasestr(header, "openmetrics"))
            CHECK(prometheus_negotiate(header) == PROMETHEUS_TEXT_004);
    }
    free(header);
    free(shouted);
    return 0;
}
