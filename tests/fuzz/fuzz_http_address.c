/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses to listen on: what is accepted is written in one way only, and reads the same when written again. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "net/http_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOST_SIZE 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    char host[HOST_SIZE] = "untouched", again[HOST_SIZE], address[HOST_SIZE + 16];
    struct carnot_err err = CARNOT_ERR_INIT;
    uint16_t port = 4711, port_again;

    if (!text)
        return 0;

    int r = http_parse_address(text, host, sizeof(host), &port, &err);
    if (r < 0) {
        CHECK(r == -EINVAL && err.code == EINVAL && err.msg[0]);
        CHECK(strcmp(host, "untouched") == 0 && port == 4711);
    } else {
        CHECK(r == 0 && strlen(host) < sizeof(host) && strpbrk(host, " \t\r\n[]/") == NULL);
        snprintf(address, sizeof(address), text[0] == '[' ? "[%s]:%u" : "%s:%u", host, port);
        CHECK(http_parse_address(address, again, sizeof(again), &port_again, &err) == 0);
        CHECK(strcmp(host, again) == 0 && port == port_again);
        /* A buffer that is one byte too small takes nothing. */
        CHECK(host[0] == '\0' || http_parse_address(text, again, strlen(host), &port_again, &err) == -EINVAL);
    }
    free(text);
    return 0;
}
