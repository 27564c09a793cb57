/* SPDX-License-Identifier: Apache-2.0 */
/* Label sets: what is escaped, what is replaced, what is cut, and that a cut never breaks the line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "model/labels.h"

static void test_escape(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"back\\slash", "back\\\\slash"},
        {"quo\"te", "quo\\\"te"},
        {"new\nline", "new\\nline"},
        {"tab\there", "tab\xef\x9c\x89here"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xe2\x82\xac \xf0\x9f\x98\x80", "\xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xff", "\xef\x9f\xbf"},
        {"\xc3", "\xef\x9f\x83"},                                                 /* cut short */
        {"\xc0\xaf", "\xef\x9f\x80\xef\x9e\xaf"},                                 /* overlong */
        {"\xed\xa0\x80", "\xef\x9f\xad\xef\x9e\xa0\xef\x9e\x80"},                 /* surrogate */
        {"\xf4\x90\x80\x80", "\xef\x9f\xb4\xef\x9e\x90\xef\x9e\x80\xef\x9e\x80"}, /* beyond U+10FFFF */
        {"\xe2\x28\xa1", "\xef\x9f\xa2(\xef\x9e\xa1"},
        {"\xef\x9c\x89", "\xef\x9f\xaf\xef\x9e\x9c\xef\x9e\x89"}, /* our own stand-in is no way to look like another */
        {"\xef\xa3\xbf\xef\xbf\xbd", "\xef\xa3\xbf\xef\xbf\xbd"},
    };
    char out[64];

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        assert_int_equal(label_escape(cases[i][0], out, sizeof out), strlen(cases[i][1]));
        assert_string_equal(out, cases[i][1]);
    }
}

static void test_a_cut_is_never_inside_an_escape(void **state)
{
    char out[8];

    for (size_t size = 1; size <= sizeof out; size++) {
        size_t len = label_escape("\"\"\"\"\"\"", out, size);
        assert_true(len < size);
        assert_int_equal(len % 2, 0);
        assert_int_equal(strlen(out), len);
    }
    assert_int_equal(label_escape("a\xe2\x82\xac", out, 4), 1); /* no room for the three bytes of the euro */
}

static void test_put(void **state)
{
    char room[64];
    struct label_writer writer = {.out = room, .size = sizeof room};

    label_put(&writer, "cgroup", "/a\"b");
    label_put(&writer, "unit", "");
    assert_string_equal(room, "cgroup=\"/a\\\"b\",unit=\"\"");
    assert_int_equal(writer.len, strlen(room));
}

static void test_a_full_writer_stays_well_formed(void **state)
{
    for (size_t size = 1; size < 40; size++) {
        char room[40] = "";
        struct label_writer writer = {.out = room, .size = size};

        label_put(&writer, "first", "0123456789");
        label_put(&writer, "second", "abc");
        assert_true(strlen(room) < size);
        /* Whatever fitted, quotes come in pairs. */
        size_t quotes = 0;
        for (const char *p = room; *p; p++)
            quotes += *p == '"';
        assert_int_equal(quotes % 2, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_a_cut_is_never_inside_an_escape),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_a_full_writer_stays_well_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
