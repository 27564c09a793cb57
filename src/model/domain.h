/* SPDX-License-Identifier: Apache-2.0 */
/* Domains: the regions of a machine whose energy is counted, and how they overlap.
 *
 * The host contains everything; psys contains packages and DRAM; a package contains core and uncore; DRAM is beside the
 * package on servers (and never added when psys or host is taken as the total). Never sum domains blindly:
 * domains_mark_total() says which ones make the node, domain_rest() what of an outer one the inner ones explain. */
#ifndef CARNOT_MODEL_DOMAIN_H
#define CARNOT_MODEL_DOMAIN_H

#include "base/util.h"

enum domain_kind {
    DOMAIN_PACKAGE,
    DOMAIN_CORE,
    DOMAIN_UNCORE,
    DOMAIN_DRAM,
    DOMAIN_PSYS,
    DOMAIN_GPU,
    DOMAIN_HOST,
    DOMAIN_OTHER, /* a powercap zone whose name says nothing to us: reported, attributed, not in the total */
    DOMAIN_REST,  /* what a host draws beyond its known parts: fans, disks, network, losses of the power supply */
};

/* How a figure was got, best first. */
enum quality { QUALITY_MEASURED, QUALITY_DERIVED, QUALITY_MODELLED, QUALITY_DEFAULT };

#define DOMAIN_NAME_MAX 48
/* As idle power: whatever the domain uses is idle energy (memory modelled by its size). */
#define DOMAIN_ALL_IDLE UINT64_MAX

#define DOMAIN_ADDRESS_MAX 96 /* a powercap zone's name (31) and directory (47) */

#define DOMAINS_MAX    128 /* 8 packages x 4 dies x 4 zones; more is a parser gone wrong */
#define DOMAIN_PCI_MAX 16  /* "0000:c1:00.0" */

struct domain {
    char name[DOMAIN_NAME_MAX]; /* unique in a machine: "package-0", "package-0-die-1", "dram-0", "core-0", "psys" */
    enum domain_kind kind;
    enum quality quality;
    int package;              /* physical package id, -1: the whole machine */
    int die;                  /* -1: every die of the package */
    int node;                 /* NUMA node, -1: every node of the package */
    bool with_dram;           /* a package figure that holds its memory too (NVIDIA Grace) */
    char pci[DOMAIN_PCI_MAX]; /* of a card, in the kernel's form and lower case; "": unknown. Two GPU domains of one
                               * address are one card read twice; without an address a card is known by its name */
    const char *source;       /* static: "rapl_powercap" */
    char address[DOMAIN_ADDRESS_MAX]; /* what the source calls it where that says more than `name`: powercap's
                                       * "dram:intel-rapl:0:0", name and directory of the zone; else "" */
    bool lasting; /* its counter is the hardware's or the kernel's and runs on without us: what one run of the program
                   * read last and the next one first are two readings of one counter */
    uint64_t idle_uw; /* idle power where known (model, calibration), 0: unknown */
    uint64_t max_uw;  /* most it can plausibly draw, 0: unknown */
    bool in_total;    /* see domains_mark_total */
};

const char *domain_kind_name(enum domain_kind kind); /* "package" */
const char *quality_name(enum quality quality);      /* "measured" */
enum quality quality_worse(enum quality a, enum quality b);

/* True when the energy of `inner` is (part of) what `outer` counts. */
bool domain_contains(const struct domain *outer, const struct domain *inner);

/* Names become labels: what is no letter or digit and none of "-_.:" becomes "_". */
void domain_plain_name(char *name);

/* Gives domains[index] the name base + suffix, or base-2 + suffix, base-3 + suffix, ... where a domain before it has
 * that name: some firmware gives two regions one name. A base that does not fit is cut. */
void domain_set_unique_name(struct domain *domains, size_t index, const char *base, const char *suffix);

/* Sets in_total on the domains that make up the node with no overlap: packages, DRAM and GPUs (psys only where no
 * package is measured). Where there is a host it stands alone; if there is a DOMAIN_REST too, the host's parts and the
 * rest make the node instead, which is the same energy and known more finely. Two sources of the same region: the first
 * one counts. */
void domains_mark_total(struct domain *domains, size_t n);

/* The host of the total, that a DOMAIN_REST is the rest of: the first of the best quality. -ENOENT: no host. */
int domains_host(const struct domain *domains, size_t n);

/* What of a host or psys domain is explained by other figures, none of them twice. */
struct domain_rest {
    uint32_t parts[DOMAINS_MAX]; /* indices into the domains, ascending */
    size_t n_parts;
    enum quality quality; /* of outer minus parts: the worst of all of them */
};

/* Chooses the parts of domains[outer] as domains_mark_total() would if there were no host: packages, DRAM and GPUs, as
 * far as outer contains them; psys in the place of packages and DRAM where there is no package. Modelled figures are no
 * parts: what is subtracted from a measurement must be known. -EINVAL when outer is no host or psys; -ENODATA when
 * nothing is known of its inside, so that the rest would be the whole. */
int domain_rest(const struct domain *domains, size_t n, size_t outer, struct domain_rest *ret_rest);

/* outer_uj minus the parts' energies, [i] being that of domains[i], all over the same time. Meters disagree by some
 * percent and read at different moments: where the parts exceed the whole the rest is 0 and *ret_excess_uj says by how
 * much, so that parts + rest - excess is always outer_uj. */
uint64_t domain_rest_uj(const struct domain_rest *rest, uint64_t outer_uj, const uint64_t *energy_uj,
                        uint64_t *ret_excess_uj);

#endif
