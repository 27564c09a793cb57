/* SPDX-License-Identifier: Apache-2.0 */
/* PCI addresses as drivers and programs write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "sources/pci_address.h"

static void texts(void **state)
{
    static const struct {
        const char *text;
        int result;
        const char *address;
    } cases[] = {
        {"0000:c1:00.0", 0, "0000:c1:00.0"},
        {"00000000:C1:1F.7", 0, "0000:c1:1f.7"},
        {"0001:2:3.4", 0, "0001:02:03.4"},
        {"10000:e1:00.0", 0, "10000:e1:00.0"}, /* a virtual bus of Intel VMD */
        {"FFFFFFF:E1:00.0", 0, "fffffff:e1:00.0"},
        {"FFFFFFFF:E1:00.0", -ERANGE, ""}, /* longer than any of the kernel's */
        {"0000:100:00.0", -ERANGE, ""},
        {"0000:c1:20.0", -ERANGE, ""},
        {"0000:c1:00.8", -ERANGE, ""},
        {"", -EINVAL, ""},
        {"0000:c1:00", -EINVAL, ""},
        {"0000:c1:00.", -EINVAL, ""},
        {":c1:00.0", -EINVAL, ""},
        {"c1:00.0", -EINVAL, ""},
        {"0000:c1:00.0 ", -EINVAL, ""},
        {"0000:c1:00.0:0", -EINVAL, ""},
        {"0x0000:c1:00.0", -EINVAL, ""},
        {"0000.c1.00.0", -EINVAL, ""},
        {"N/A", -EINVAL, ""},
        {"ACPI000D:00", -EINVAL, ""},
    };

    for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
        char address[DOMAIN_PCI_MAX] = "";

        assert_int_equal(pci_address_parse(text_of(cases[i].text), address), cases[i].result);
        assert_string_equal(address, cases[i].address);
    }
}

static void numbers(void **state)
{
    char address[DOMAIN_PCI_MAX] = "";

    assert_int_equal(pci_address_format(0, 0xc1, 0x1f, 7, address), 0);
    assert_string_equal(address, "0000:c1:1f.7");
    pci_address_to_card(address);
    assert_string_equal(address, "0000:c1:1f.0");
    assert_int_equal(pci_address_format(UINT64_C(1) << 32, 0, 0, 0, address), -ERANGE);
    assert_string_equal(address, "0000:c1:1f.0");
    address[0] = '\0';
    pci_address_to_card(address);
    assert_string_equal(address, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(texts), cmocka_unit_test(numbers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
