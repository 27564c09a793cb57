/* SPDX-License-Identifier: Apache-2.0 */
/* See amd_smi_json.h. The reader is jansson; paths of keys are looked up in its tree. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sources/amd_smi_json.h"
#include "sources/pci_address.h"
#include "sources/printable.h"

#define KEYS_MAX 4 /* of a path */

/* More is garbage: 300 years of a kilowatt. */
#define ENERGY_MAX_UJ 10000000000000000000ULL

enum figure { BUS, ID, PARTITION_KIND, PARTITION, COMPUTE_UNITS, POWER_W, ENERGY_J, ENERGY_STEPS };

struct row {
    const char *keys[KEYS_MAX]; /* from the device's object on */
    enum figure figure;
};

/* amd-smi, ROCm 5.7 to 7: the first of each figure that is told counts. socket_power is the one that the card has;
 * before it there were a current and an average one, of which a card has one. */
static const struct row amd_smi_rows[] = {
    {{"bus", "bdf"}, BUS},
    {{"bdf"}, BUS}, /* amd-smi list */
    {{"board", "product_serial"}, ID},
    {{"board", "serial_number"}, ID},
    {{"uuid"}, ID},
    {{"partition", "compute_partition"}, PARTITION_KIND},
    {{"partition", "accelerator_partition"}, PARTITION_KIND},
    {{"partition", "partition_id"}, PARTITION},
    {{"asic", "num_compute_units"}, COMPUTE_UNITS},
    {{"power", "socket_power"}, POWER_W},
    {{"power", "current_socket_power"}, POWER_W},
    {{"power", "current_power"}, POWER_W},
    {{"power", "average_socket_power"}, POWER_W},
    {{"power", "average_power"}, POWER_W},
    {{"energy", "total_energy_consumption"}, ENERGY_J},
};

/* rocm-smi. Its "Accumulated Energy (uJ)" is the counter times 15.3 where the step is 15.259: the counter is taken. */
static const struct row rocm_smi_rows[] = {
    {{"PCI Bus"}, BUS},
    {{"Serial Number"}, ID},
    {{"Unique ID"}, ID},
    {{"Compute Partition"}, PARTITION_KIND},
    {{"Current Socket Graphics Package Power (W)"}, POWER_W},
    {{"Average Graphics Package Power (W)"}, POWER_W},
    {{"Energy counter"}, ENERGY_STEPS},
};

/* --- values ------------------------------------------------------------------------------------------------------- */

static const json_t *find(const json_t *device, const struct row *row)
{
    const json_t *at = device;

    for (size_t i = 0; i < KEYS_MAX && row->keys[i] && at; i++)
        at = json_object_get(at, row->keys[i]);
    return at;
}

/* {"value": 140, "unit": "W"}: the value, if the unit is the expected one. */
static const json_t *unwrap(const json_t *value, const char *unit)
{
    const json_t *given;

    if (!json_is_object(value))
        return value;
    given = json_object_get(value, "unit");
    if (unit && json_is_string(given) && json_string_value(given)[0] && strcmp(json_string_value(given), unit) != 0)
        return NULL;
    return json_object_get(value, "value");
}

/* 140, 140.5, "140.5" or "140.5 W" as millionths; anything else ("N/A", "N/A (Secondary die)") is not told. */
static bool get_millionths(const json_t *value, const char *unit, uint64_t *ret)
{
    value = unwrap(value, unit);
    if (json_is_integer(value))
        return json_integer_value(value) >= 0 &&
               !__builtin_mul_overflow((uint64_t)json_integer_value(value), 1000000ULL, ret);
    if (json_is_real(value)) {
        double millionths = json_real_value(value) * 1e6;
        if (!(millionths >= 0 && millionths < (double)ENERGY_MAX_UJ))
            return false;
        *ret = (uint64_t)llround(millionths);
        return true;
    }
    if (!json_is_string(value))
        return false;
    struct text text = {json_string_value(value), json_string_length(value)}, number;
    if (!scan_word(&text, &number))
        return false;
    text = text_trim(text);
    return (text.n == 0 || text_is(text, unit)) && parse_fixed(number, 6, ret) == 0;
}

static bool get_whole(const json_t *value, uint64_t *ret)
{
    value = unwrap(value, NULL);
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *ret = (uint64_t)json_integer_value(value);
        return true;
    }
    return json_is_string(value) &&
           parse_u64(text_trim((struct text){json_string_value(value), json_string_length(value)}), ret) == 0;
}

/* A serial number that is none: many boards have none, and these are not one card. */
static bool is_told(struct text text)
{
    static const char *const none[] = {"", "N/A", "n/a", "None", "Unknown", "unknown", "0", "0x0"};

    for (size_t i = 0; i < ELEMENTSOF(none); i++)
        if (text_is(text, none[i]))
            return false;
    return true;
}

static bool is_partition_kind(struct text text)
{
    static const char *const kinds[] = {"DPX", "TPX", "QPX", "CPX"};

    for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
        if (text_is(text, kinds[i]))
            return true;
    return false;
}

static void take_text(struct amd_smi_json_gpu *gpu, enum figure figure, const json_t *value)
{
    if (!json_is_string(value))
        return;
    struct text text = text_trim((struct text){json_string_value(value), json_string_length(value)});

    if (figure == BUS && !gpu->device.pci[0])
        pci_address_parse(text, gpu->device.pci);
    else if (figure == ID && !gpu->device.id[0] && is_told(text))
        printable_copy(gpu->device.id, sizeof(gpu->device.id), text);
    else if (figure == PARTITION_KIND)
        gpu->partitioned |= is_partition_kind(text);
}

static void take_number(struct amd_smi_json_gpu *gpu, enum figure figure, const json_t *value)
{
    uint64_t number;

    switch (figure) {
    case PARTITION:
    case COMPUTE_UNITS:
        if (get_whole(value, &number) && number < UINT32_MAX)
            *(figure == PARTITION ? &gpu->partition : &gpu->compute_units) = (uint32_t)number;
        break;
    case POWER_W:
        if (!gpu->power_uw && get_millionths(value, "W", &number) && number <= AMD_MAX_UW)
            gpu->power_uw = number;
        break;
    case ENERGY_J:
        if (!gpu->energy_uj && get_millionths(value, "J", &number))
            gpu->energy_uj = number;
        break;
    case ENERGY_STEPS:
        if (get_whole(value, &number) && amd_energy_uj(number, 1e6 / (1 << AMD_STEP_SHIFT), &number) == 0)
            gpu->energy_uj = number;
        break;
    default:
        break;
    }
}

static void take_device(const json_t *device, uint32_t index, const struct row *rows, size_t n_rows,
                        struct amd_smi_json_list *list)
{
    struct amd_smi_json_gpu gpu = {.index = index};

    for (size_t i = 0; i < n_rows; i++) {
        const json_t *value = find(device, &rows[i]);
        if (!value)
            continue;
        if (rows[i].figure <= PARTITION_KIND)
            take_text(&gpu, rows[i].figure, value);
        else
            take_number(&gpu, rows[i].figure, value);
    }
    if (list->n < AMD_DEVICES_MAX)
        list->gpus[list->n++] = gpu;
    else
        list->left_out++;
}

/* --- the two forms ------------------------------------------------------------------------------------------------ */

static void take_amd_smi(const json_t *devices, struct amd_smi_json_list *list)
{
    for (size_t i = 0; i < json_array_size(devices); i++) {
        const json_t *device = json_array_get(devices, i);
        uint64_t index;

        if (get_whole(json_object_get(device, "gpu"), &index) && index < UINT32_MAX)
            take_device(device, (uint32_t)index, amd_smi_rows, ELEMENTSOF(amd_smi_rows), list);
    }
}

static int compare(const void *a, const void *b)
{
    const struct amd_smi_json_gpu *ga = a, *gb = b;

    return ga->index < gb->index ? -1 : ga->index > gb->index;
}

/* {"card0": {...}, "card1": {...}, "system": {...}}. It does not number partitions: they are counted within a card. */
static void take_rocm_smi(json_t *root, struct amd_smi_json_list *list)
{
    const char *key;
    json_t *device;

    json_object_foreach(root, key, device)
    {
        struct text number = text_of(key);
        uint64_t index;

        if (!text_starts(number, "card") || !json_is_object(device))
            continue;
        number = (struct text){number.p + 4, number.n - 4};
        if (parse_u64(number, &index) == 0 && index < UINT32_MAX)
            take_device(device, (uint32_t)index, rocm_smi_rows, ELEMENTSOF(rocm_smi_rows), list);
    }
    qsort(list->gpus, list->n, sizeof(*list->gpus), compare);
    for (size_t i = 1; i < list->n; i++) {
        struct amd_smi_json_gpu *gpu = &list->gpus[i];
        for (size_t k = i; gpu->partitioned && k-- > 0;) {
            if (!list->gpus[k].partitioned || !amd_device_is_same_card(&list->gpus[k].device, &gpu->device))
                continue;
            gpu->partition = list->gpus[k].partition + 1;
            break;
        }
    }
}

/* From the first line that begins like JSON. */
static struct text skip_warnings(struct text text)
{
    struct text rest = text, line;

    for (struct text before = rest; scan_line(&rest, &line); before = rest) {
        line = text_trim(line);
        if (line.n && (line.p[0] == '{' || line.p[0] == '['))
            return before;
    }
    return text;
}

int amd_smi_json_parse(struct text json, struct amd_smi_json_list *ret_list, struct carnot_err *err)
{
    json_error_t error;

    if (json.n > AMD_SMI_JSON_MAX)
        return carnot_err_set(err, E2BIG, "the answer is longer than %zu bytes", AMD_SMI_JSON_MAX);

    _cleanup_free_ struct amd_smi_json_list *list = calloc(1, sizeof(*list));
    if (!list)
        return carnot_err_set(err, ENOMEM, "out of memory for the answer");
    json = skip_warnings(json);
    json_t *root = json_loadb(json.p ? json.p : "", json.n, JSON_DISABLE_EOF_CHECK, &error);
    if (!root) {
        char said[JSON_ERROR_TEXT_LENGTH]; /* it quotes the answer */
        printable_copy(said, sizeof(said), text_of(error.text));
        return carnot_err_set(err, EPROTO, "the answer is no JSON: line %d: %s", error.line, said);
    }

    const json_t *wrapped = json_object_get(root, "gpu_data"); /* amd-smi from ROCm 7 on */
    if (json_is_array(root) || json_is_array(wrapped))
        take_amd_smi(wrapped ? wrapped : root, list);
    else
        take_rocm_smi(root, list);
    json_decref(root);
    if (list->n == 0)
        return carnot_err_set(err, EPROTO, "the answer tells of no GPU in a form that is known");
    qsort(list->gpus, list->n, sizeof(*list->gpus), compare);
    *ret_list = *list;
    return 0;
}
