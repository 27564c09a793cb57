/* SPDX-License-Identifier: Apache-2.0 */
/* Reads lines "key<tab>: value" in blocks, one block per processor. Knows the keys of x86 and tolerates all others. */
#include "model/cpuinfo.h"

#include <limits.h>

struct line {
    struct text key, value;
};

/* False for a line without a colon. */
static bool split_line(struct text text, struct line *ret)
{
    struct text key;

    if (!text.n || !memchr(text.p, ':', text.n) || !scan_until(&text, ':', &key))
        return false;
    *ret = (struct line){text_trim(key), text_trim(text)};
    return true;
}

/* Names go into labels and on terminals: what is not printable ASCII becomes a blank. */
static void copy_name(char *out, size_t size, struct text value)
{
    size_t n = min_size(value.n, size - 1);

    for (size_t i = 0; i < n; i++)
        out[i] = value.p[i] >= ' ' && value.p[i] <= '~' ? value.p[i] : ' ';
    out[n] = '\0';
}

static void take_u32(struct text value, uint32_t *out)
{
    uint64_t number;

    if (parse_u64(value, &number) == 0 && number <= UINT32_MAX)
        *out = (uint32_t)number;
}

static void take_id(struct text value, int *out)
{
    uint64_t number;

    if (parse_u64(value, &number) == 0 && number <= INT_MAX)
        *out = (int)number;
}

static bool has_word(struct text words, const char *wanted)
{
    struct text word;

    while (scan_word(&words, &word)) {
        if (text_is(word, wanted))
            return true;
    }
    return false;
}

void cpuinfo_parse_head(struct text text, struct cpuinfo_head *ret_head)
{
    struct cpuinfo_head head = {0};
    struct text raw;
    bool in_block = false;

    while (scan_line(&text, &raw)) {
        struct line line;

        if (!split_line(raw, &line)) {
            if (in_block)
                break;
            continue;
        }
        in_block = true;
        if (text_is(line.key, "vendor_id"))
            copy_name(head.vendor, sizeof(head.vendor), line.value);
        else if (text_is(line.key, "model name"))
            copy_name(head.model_name, sizeof(head.model_name), line.value);
        else if (text_is(line.key, "cpu family"))
            take_u32(line.value, &head.family);
        else if (text_is(line.key, "model"))
            take_u32(line.value, &head.model);
        else if (text_is(line.key, "flags")) {
            head.hypervisor = has_word(line.value, "hypervisor");
            head.sgx = has_word(line.value, "sgx");
        }
    }
    *ret_head = head;
}

bool cpuinfo_next(struct text *rest, struct cpuinfo_cpu *ret_cpu)
{
    struct cpuinfo_cpu cpu = {.package = -1, .core = -1};
    bool found = false;
    struct text text = *rest, raw;

    while (scan_line(&text, &raw)) {
        struct line line;

        if (!split_line(raw, &line)) {
            if (found)
                break;
            continue;
        }
        if (text_is(line.key, "processor")) {
            if (found)
                break; /* no blank line between two blocks; rest still stands before this one */
            found = parse_u64(line.value, &cpu.cpu) == 0;
        } else if (text_is(line.key, "physical id")) {
            take_id(line.value, &cpu.package);
        } else if (text_is(line.key, "core id")) {
            take_id(line.value, &cpu.core);
        }
        *rest = text;
    }
    if (found)
        *ret_cpu = cpu;
    return found;
}
