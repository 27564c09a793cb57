/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses to listen on, and the Accept header. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/http_server.h"

static void test_addresses(void **state)
{
    static const struct {
        const char *address, *host;
        uint16_t port;
    } cases[] = {
        {"127.0.0.1:9010", "127.0.0.1", 9010},
        {":9010", "", 9010},
        {":0", "", 0},
        {"localhost:80", "localhost", 80},
        {"my-host.example_1.org:65535", "my-host.example_1.org", 65535},
        {"[::1]:9010", "::1", 9010},
        {"[fe80::1%eth0]:1", "fe80::1%eth0", 1},
        {"[::]:0", "::", 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char host[64] = "untouched";
        uint16_t port = 1;

        assert_int_equal(http_parse_address(cases[i].address, host, sizeof(host), &port, NULL), 0);
        assert_string_equal(host, cases[i].host);
        assert_int_equal(port, cases[i].port);
    }
}

static void test_no_addresses(void **state)
{
    static const struct {
        const char *address, *why;
    } cases[] = {
        {"", "no port"},
        {"9010", "no port"},
        {"host", "no port"},
        {"host:", "no port"},
        {":", "no port"},
        {"[::1]", "no port"},
        {"[::1]9010", "no port"},
        {"[::1]:", "no port"},
        {"[::1:9010", "not closed"},
        {"[]:9010", "no address in the brackets"},
        {"::1:9010", "brackets"},
        {"host:65536", "0 to 65535"},
        {"host:-1", "0 to 65535"},
        {"host:80x", "0 to 65535"},
        {"host: 80", "0 to 65535"},
        {"host:99999999999999999999", "0 to 65535"},
        {"ho st:80", "character"},
        {"host/path:80", "character"},
        {"http://host:80", "brackets"},
        {"[::1/64]:80", "character"},
        {"host\n:80", "character"},
        {"123456789012345678901234567890123456789012345678901234567890abcd:80", "too long"},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        struct carnot_err err = CARNOT_ERR_INIT;
        char host[64] = "untouched";
        uint16_t port = 1;

        assert_int_equal(http_parse_address(cases[i].address, host, sizeof(host), &port, &err), -EINVAL);
        if (!strstr(err.msg, cases[i].why))
            fail_msg("\"%s\" gives \"%s\", which does not say \"%s\"", cases[i].address, err.msg, cases[i].why);
        assert_non_null(strstr(err.msg, "127.0.0.1:9010")); /* what to do next */
        assert_string_equal(host, "untouched");
        assert_int_equal(port, 1);
    }
}

/* The host buffer is filled to its last byte and no further. */
static void test_host_just_fits(void **state)
{
    char host[5];
    uint16_t port;

    assert_int_equal(http_parse_address("abcd:1", host, sizeof(host), &port, NULL), 0);
    assert_string_equal(host, "abcd");
    assert_int_equal(http_parse_address("abcde:1", host, sizeof(host), &port, NULL), -EINVAL);
}

static void test_accept(void **state)
{
    static const struct {
        const char *header, *token;
        unsigned per_mille, named_per_mille;
    } cases[] = {
        {NULL, "gzip", 0, 0},
        {"", "gzip", 0, 0},
        {"gzip", "gzip", 1000, 1000},
        {"GZip", "gzip", 1000, 1000},
        {"deflate, gzip;q=0.5", "gzip", 500, 500},
        {"deflate,gzip ; Q=0.125 , br", "gzip", 125, 125},
        {"gzip;q=0", "gzip", 0, 0},
        {"gzip;q=0, *", "gzip", 0, 0},
        {"*, gzip;q=0", "gzip", 0, 0},
        {"*;q=0.3", "gzip", 300, 0},
        {"xgzip, gzipx", "gzip", 0, 0},
        {"gzip;q=1.000", "gzip", 1000, 1000},
        {"gzip;q=1.001", "gzip", 0, 0},
        {"gzip;q=2", "gzip", 0, 0},
        {"gzip;q=-1", "gzip", 0, 0},
        {"gzip;q=", "gzip", 0, 0},
        {"gzip;q", "gzip", 0, 0},
        {"gzip;q=nan", "gzip", 0, 0},
        {"gzip;q=.5", "gzip", 0, 0},
        {"gzip;q=1e0", "gzip", 1000, 1000}, /* not RFC 9110, and no harm */
        {"gzip;q=0.1, gzip;q=0.7, gzip;q=0.2", "gzip", 700, 700},
        {"text/html;q=0.8, text/plain;version=0.0.4;q=0.5", "text/plain", 500, 500},
        {"text/plain;charset=\"a;q=0.1\";q=0.5", "text/plain", 0, 0}, /* too odd: passed over */
        {"text/*;q=0.4, */*;q=0.1", "text/plain", 400, 0},
        {"*/*;q=0.1", "text/plain", 100, 0},
        {"*", "text/plain", 0, 0}, /* is for encodings */
        {"application/*", "text/plain", 0, 0},
        {"text/plain;q=0.2, text/*;q=0.9", "text/plain", 200, 200},
        {",,;;=,q=1,;q=1", "gzip", 0, 0},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        double q = http_accept_q(cases[i].header, cases[i].token);
        double named = http_accept_named_q(cases[i].header, cases[i].token);

        if ((unsigned)(q * 1000 + 0.5) != cases[i].per_mille ||
            (unsigned)(named * 1000 + 0.5) != cases[i].named_per_mille)
            fail_msg("\"%s\" gives %s %f, named %f", cases[i].header, cases[i].token, q, named);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_no_addresses),
        cmocka_unit_test(test_host_just_fits),
        cmocka_unit_test(test_accept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
