/* SPDX-License-Identifier: Apache-2.0 */
/* The table of parts. A figure is the TDP (Intel: "Processor Base Power") that the maker publishes; of a range, the
 * upper end. Add a line with the maker's page open, nothing from memory of benchmarks. */
#include "sources/cpu_table.h"

#include <string.h>

static const struct cpu_part parts[] = {
    /* Intel Xeon E3, E, E5 */
    {"E3-1230 v6", 72, 8},
    {"E3-1270 v6", 72, 8},
    {"E-2288G", 95, 16},
    {"E5-2670", 115, 16},
    {"E5-2680", 130, 16},
    {"E5-2690", 135, 16},
    {"E5-2670 v2", 115, 20},
    {"E5-2680 v2", 115, 20},
    {"E5-2690 v2", 130, 20},
    {"E5-2620 v3", 85, 12},
    {"E5-2630 v3", 85, 16},
    {"E5-2650 v3", 105, 20},
    {"E5-2680 v3", 120, 24},
    {"E5-2690 v3", 135, 24},
    {"E5-2699 v3", 145, 36},
    {"E5-2620 v4", 85, 16},
    {"E5-2630 v4", 85, 20},
    {"E5-2650 v4", 105, 24},
    {"E5-2680 v4", 120, 28},
    {"E5-2690 v4", 135, 28},
    {"E5-2695 v4", 120, 36},
    {"E5-2699 v4", 145, 44},
    /* Intel Xeon Scalable */
    {"Silver 4110", 85, 16},
    {"Silver 4114", 85, 20},
    {"Silver 4210", 85, 20},
    {"Silver 4214", 85, 24},
    {"Silver 4310", 120, 24},
    {"Silver 4314", 135, 32},
    {"Gold 5218", 125, 32},
    {"Gold 6130", 125, 32},
    {"Gold 6140", 140, 36},
    {"Gold 6148", 150, 40},
    {"Gold 6154", 200, 36},
    {"Gold 6226R", 150, 32},
    {"Gold 6230", 125, 40},
    {"Gold 6240", 150, 36},
    {"Gold 6248", 150, 40},
    {"Gold 6248R", 205, 48},
    {"Gold 6252", 150, 48},
    {"Gold 6326", 185, 32},
    {"Gold 6330", 205, 56},
    {"Gold 6338", 205, 64},
    {"Gold 6348", 235, 56},
    {"Gold 6430", 270, 64},
    {"Platinum 8160", 150, 48},
    {"Platinum 8168", 205, 48},
    {"Platinum 8180", 205, 56},
    {"Platinum 8260", 165, 48},
    {"Platinum 8268", 205, 48},
    {"Platinum 8280", 205, 56},
    {"Platinum 8358", 250, 64},
    {"Platinum 8360Y", 250, 72},
    {"Platinum 8368", 270, 76},
    {"Platinum 8380", 270, 80},
    {"Platinum 8468", 350, 96},
    {"Platinum 8480+", 350, 112},
    {"Platinum 8490H", 350, 120},
    {"Platinum 8592+", 350, 128},
    /* AMD EPYC */
    {"EPYC 7351", 170, 32},
    {"EPYC 7451", 180, 48},
    {"EPYC 7551", 180, 64},
    {"EPYC 7601", 180, 64},
    {"EPYC 7302", 155, 32},
    {"EPYC 7402", 180, 48},
    {"EPYC 7452", 155, 64},
    {"EPYC 7502", 180, 64},
    {"EPYC 7542", 225, 64},
    {"EPYC 7702", 200, 128},
    {"EPYC 7742", 225, 128},
    {"EPYC 7H12", 280, 128},
    {"EPYC 7313", 155, 32},
    {"EPYC 7413", 180, 48},
    {"EPYC 7443", 200, 48},
    {"EPYC 7513", 200, 64},
    {"EPYC 7543", 225, 64},
    {"EPYC 7643", 225, 96},
    {"EPYC 7713", 225, 128},
    {"EPYC 7763", 280, 128},
    {"EPYC 9124", 200, 32},
    {"EPYC 9254", 200, 48},
    {"EPYC 9334", 210, 64},
    {"EPYC 9354", 280, 64},
    {"EPYC 9454", 290, 96},
    {"EPYC 9534", 280, 128},
    {"EPYC 9554", 360, 128},
    {"EPYC 9654", 360, 192},
    {"EPYC 9754", 360, 256},
    {"EPYC 9755", 500, 256},
    {"EPYC 9965", 500, 384},
    /* desktops */
    {"i7-6700K", 91, 8},
    {"i7-7700K", 91, 8},
    {"i7-8700K", 95, 12},
    {"i5-9400", 65, 6},
    {"i9-9900K", 95, 16},
    {"i9-10900K", 125, 20},
    {"i5-12400", 65, 12},
    {"i7-12700K", 125, 20},
    {"i9-12900K", 125, 24},
    {"i9-13900K", 125, 32},
    {"i9-14900K", 125, 32},
    {"Ryzen 5 3600", 65, 12},
    {"Ryzen 7 3700X", 65, 16},
    {"Ryzen 9 3900X", 105, 24},
    {"Ryzen 9 3950X", 105, 32},
    {"Ryzen 5 5600X", 65, 12},
    {"Ryzen 7 5800X", 105, 16},
    {"Ryzen 7 5800X3D", 105, 16},
    {"Ryzen 9 5900X", 105, 24},
    {"Ryzen 9 5950X", 105, 32},
    {"Ryzen 5 7600X", 105, 12},
    {"Ryzen 7 7700X", 105, 16},
    {"Ryzen 7 7800X3D", 120, 16},
    {"Ryzen 9 7900X", 170, 24},
    {"Ryzen 9 7950X", 170, 32},
    {"Threadripper 3990X", 280, 128},
    /* laptops */
    {"i5-8250U", 15, 8},
    {"i7-8550U", 15, 8},
    {"i7-8565U", 15, 8},
    {"i7-8650U", 15, 8},
    {"i7-9750H", 45, 12},
    {"i5-10210U", 15, 8},
    {"i7-10510U", 15, 8},
    {"i7-10750H", 45, 12},
    {"i5-1135G7", 28, 8},
    {"i7-1165G7", 28, 8},
    {"i7-11800H", 45, 16},
    {"i5-1240P", 28, 16},
    {"i7-1260P", 28, 16},
    {"i7-1280P", 28, 20},
    {"i7-12700H", 45, 20},
    {"Ryzen 7 PRO 4750U", 15, 16},
    {"Ryzen 7 5800H", 45, 16},
    {"Ryzen 7 5800U", 15, 16},
};

/* A guest often hides the name ("AMD EPYC", "Intel Xeon Processor") and keeps family and model. */
static const struct cpu_generation generations[] = {
    {"GenuineIntel", 6, 45, 45, "Sandy Bridge", 135, 16},       /* E5-2690 */
    {"GenuineIntel", 6, 62, 62, "Ivy Bridge", 130, 24},         /* E5-2697 v2 */
    {"GenuineIntel", 6, 63, 63, "Haswell", 145, 36},            /* E5-2699 v3 */
    {"GenuineIntel", 6, 79, 79, "Broadwell", 145, 44},          /* E5-2699 v4 */
    {"GenuineIntel", 6, 85, 85, "Skylake", 205, 56},            /* Platinum 8180, 8280 */
    {"GenuineIntel", 6, 106, 106, "Ice Lake", 270, 80},         /* Platinum 8380 */
    {"GenuineIntel", 6, 143, 143, "Sapphire Rapids", 350, 120}, /* Platinum 8490H */
    {"GenuineIntel", 6, 207, 207, "Emerald Rapids", 350, 128},  /* Platinum 8592+ */
    {"GenuineIntel", 6, 173, 173, "Granite Rapids", 500, 256},  /* 6980P */
    {"AuthenticAMD", 23, 1, 1, "Naples", 180, 64},              /* 7601 */
    {"AuthenticAMD", 23, 49, 49, "Rome", 225, 128},             /* 7742 */
    {"AuthenticAMD", 25, 0, 1, "Milan", 280, 128},              /* 7763 */
    {"AuthenticAMD", 25, 16, 31, "Genoa", 360, 192},            /* 9654 */
    {"AuthenticAMD", 25, 160, 175, "Bergamo", 360, 256},        /* 9754 */
    {"AuthenticAMD", 26, 0, 15, "Turin", 500, 256},             /* 9755 */
    {"AuthenticAMD", 26, 16, 31, "Turin Dense", 500, 384},      /* 9965 */
};

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "E5-2690" stands in "... E5-2690 v4 @ ..." but not in "... E5-26901". */
static bool has_words(const char *name, const char *pattern)
{
    size_t len = strlen(pattern);

    for (const char *at = strstr(name, pattern); at; at = strstr(at + 1, pattern)) {
        if ((at == name || !is_alnum(at[-1])) && !is_alnum(at[len]))
            return true;
    }
    return false;
}

const struct cpu_part *cpu_table_find(const char *model_name)
{
    const struct cpu_part *best = NULL;

    for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
        if (has_words(model_name, parts[i].pattern) && (!best || strlen(parts[i].pattern) > strlen(best->pattern)))
            best = &parts[i];
    }
    return best;
}

const struct cpu_generation *cpu_table_generation(const char *vendor, uint32_t family, uint32_t model)
{
    for (size_t i = 0; i < ELEMENTSOF(generations); i++) {
        const struct cpu_generation *g = &generations[i];
        if (strcmp(g->vendor, vendor) == 0 && g->family == family && model >= g->model_first && model <= g->model_last)
            return g;
    }
    return NULL;
}
