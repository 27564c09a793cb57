/* SPDX-License-Identifier: Apache-2.0 */
/* PCI addresses in the kernel's form, domain.pci's: "0000:c1:00.0". Drivers and programs write them with more zeros, in
 * capitals, as numbers; two cards are the same only if the text is. Knows no device. */
#ifndef CARNOT_SOURCES_PCI_ADDRESS_H
#define CARNOT_SOURCES_PCI_ADDRESS_H

#include "base/parse.h"
#include "model/domain.h"

/* -ERANGE, with nothing written, when one of them is beyond PCI's or the kernel's range (a domain has 32 bits, of which
 * all but those of a handful of virtual buses use 16). */
int pci_address_format(uint64_t domain, uint64_t bus, uint64_t device, uint64_t function, char out[DOMAIN_PCI_MAX]);

/* Takes "00000000:C1:00.0" and the like. -EINVAL when it is no such address, -ERANGE as above. */
int pci_address_parse(struct text t, char out[DOMAIN_PCI_MAX]);

/* The address of function 0 of the same device: GPUs that are one card with partitions have, where the library puts the
 * partition's number into the function, addresses that nothing else knows. `address` is in the kernel's form. */
void pci_address_to_card(char address[DOMAIN_PCI_MAX]);

#endif
