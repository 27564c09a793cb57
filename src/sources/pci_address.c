/* SPDX-License-Identifier: Apache-2.0 */
/* See pci_address.h. */
#include "sources/pci_address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int pci_address_format(uint64_t domain, uint64_t bus, uint64_t device, uint64_t function, char out[DOMAIN_PCI_MAX])
{
    char text[40];

    if (domain > UINT32_MAX || bus > 0xff || device > 0x1f || function > 7)
        return -ERANGE;
    int n = snprintf(text, sizeof(text), "%04x:%02x:%02x.%x", (unsigned)domain, (unsigned)bus, (unsigned)device,
                     (unsigned)function);
    if (n >= DOMAIN_PCI_MAX)
        return -ERANGE;
    memcpy(out, text, (size_t)n + 1);
    return 0;
}

int pci_address_parse(struct text t, char out[DOMAIN_PCI_MAX])
{
    static const char ends[] = {':', ':', '.'};
    uint64_t parts[ELEMENTSOF(ends) + 1];
    struct text part;

    for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
        size_t before = t.n;
        if (i == ELEMENTSOF(ends)) {
            part = t;
        } else if (!scan_until(&t, ends[i], &part) || part.n == before) {
            return -EINVAL;
        }
        /* parse_hex64 takes "0x", an address has none. */
        if (text_starts(part, "0x") || text_starts(part, "0X") || parse_hex64(part, &parts[i]) < 0)
            return -EINVAL;
    }
    return pci_address_format(parts[0], parts[1], parts[2], parts[3], out);
}

void pci_address_to_card(char address[DOMAIN_PCI_MAX])
{
    size_t n = strlen(address);

    if (n > 2 && address[n - 2] == '.')
        address[n - 1] = '0';
}
