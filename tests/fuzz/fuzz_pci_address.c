/* SPDX-License-Identifier: Apache-2.0 */
/* The input as a PCI address: what is understood reads back as itself, and belongs to one card. */
#include <string.h>

#include "check.h"
#include "sources/pci_address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char address[DOMAIN_PCI_MAX] = "unchanged", again[DOMAIN_PCI_MAX] = "", card[DOMAIN_PCI_MAX];

    if (pci_address_parse((struct text){(const char *)data, size}, address) < 0) {
        CHECK(strcmp(address, "unchanged") == 0);
        return 0;
    }
    CHECK(strspn(address, "0123456789abcdef:.") == strlen(address) && strlen(address) < sizeof(address));
    CHECK(pci_address_parse(text_of(address), again) == 0 && strcmp(address, again) == 0);
    memcpy(card, address, sizeof(card));
    pci_address_to_card(card);
    CHECK(strncmp(card, address, strlen(address) - 1) == 0 && card[strlen(card) - 1] == '0');
    return 0;
}
