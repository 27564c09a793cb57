/* SPDX-License-Identifier: Apache-2.0 */
/* See nvidia_smi_xml.h. The parser is expat; we keep the path of names to where it is, and look it up where a leaf
 * ends. */
#include "sources/nvidia_smi_xml.h"

#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <string.h>

#include "sources/pci_address.h"
#include "sources/printable.h"

#define DEPTH_MAX 16  /* an answer of today is 7 deep */
#define PATH_ROOM 256 /* of the longest path that we look for 81; what does not fit is none of them */
#define ROOT      "nvidia_smi_log"

enum leaf {
    NAME,
    UUID,
    BUS_ID,
    MIG_MODE,
    POWER,
    INSTANCE_INDEX,
    INSTANCE_GPU,
    INSTANCE_COMPUTE,
    INSTANCE_SMS,
};

/* Power: the mean over about a second that newer drivers tell is best, since we add powers up over time; then what
 * older ones call the draw (a mean on some GPUs, a moment's value on others), then the moment's. A module's power
 * (module_power_readings, Grace Hopper) holds a processor, gpu_memory_power_readings are inside the GPU's. */
static const struct {
    const char *path;
    enum leaf leaf;
    unsigned rank; /* of several powers the lowest counts */
} leaves[] = {
    {"gpu/product_name", NAME, 0},
    {"gpu/uuid", UUID, 0},
    {"gpu/pci/pci_bus_id", BUS_ID, 0},
    {"gpu/mig_mode/current_mig", MIG_MODE, 0},
    {"gpu/gpu_power_readings/average_power_draw", POWER, 1}, /* R555 on */
    {"gpu/gpu_power_readings/power_draw", POWER, 2},         /* R530 to R550 */
    {"gpu/gpu_power_readings/instant_power_draw", POWER, 3}, /* R555 on */
    {"gpu/power_readings/power_draw", POWER, 4},             /* up to R525 */
    {"gpu/mig_devices/mig_device/index", INSTANCE_INDEX, 0},
    {"gpu/mig_devices/mig_device/gpu_instance_id", INSTANCE_GPU, 0},
    {"gpu/mig_devices/mig_device/compute_instance_id", INSTANCE_COMPUTE, 0},
    {"gpu/mig_devices/mig_device/device_attributes/shared/multiprocessor_count", INSTANCE_SMS, 0},
};

#define INSTANCE_PATH "gpu/mig_devices/mig_device"

struct state {
    XML_Parser parser;
    int error; /* the first; what comes after it is ignored */
    const char *complaint;
    unsigned depth;
    size_t path_len[DEPTH_MAX + 1]; /* of `path`, at each depth; the root adds nothing */
    char path[PATH_ROOM];
    size_t text_len; /* beyond NVIDIA_SMI_TEXT_MAX: too long */
    char text[NVIDIA_SMI_TEXT_MAX];
    unsigned rank;  /* of the GPU's power so far */
    unsigned known; /* bits of leaves that the instance has told */
    struct nvidia_smi_instance instance;
    struct nvidia_smi_gpu gpu;
    struct nvidia_smi_log log;
};

static void fail(struct state *state, int error, const char *complaint)
{
    if (state->error)
        return;
    state->error = error;
    state->complaint = complaint;
    XML_StopParser(state->parser, XML_FALSE);
}

/* --- what elements mean ------------------------------------------------------------------------------------------- */

/* "43.60 W"; anything else is no reading. */
static bool parse_power(struct text text, uint64_t *ret_uw)
{
    uint64_t power_uw;

    if (!text_ends(text, " W") || parse_fixed(text_trim((struct text){text.p, text.n - 1}), 6, &power_uw) < 0)
        return false;
    if (power_uw == 0 || power_uw > NVIDIA_SMI_MAX_UW)
        return false;
    *ret_uw = power_uw;
    return true;
}

static bool parse_id(struct text text, uint32_t *ret)
{
    uint64_t number;

    if (parse_u64(text, &number) < 0 || number >= UINT32_MAX)
        return false;
    *ret = (uint32_t)number;
    return true;
}

static void take_power(struct state *state, struct text text, unsigned rank)
{
    uint64_t power_uw;

    if ((state->rank && state->rank <= rank) || !parse_power(text, &power_uw))
        return;
    state->rank = rank;
    state->gpu.power_uw = power_uw;
}

static void take_id(struct state *state, struct text text, enum leaf leaf, uint32_t *out)
{
    if (parse_id(text, out))
        state->known |= 1U << leaf;
}

static void take_leaf(struct state *state, enum leaf leaf, unsigned rank, struct text text)
{
    struct nvidia_smi_gpu *gpu = &state->gpu;

    switch (leaf) {
    case NAME:
        printable_copy(gpu->name, sizeof(gpu->name), text);
        break;
    case UUID:
        printable_copy(gpu->uuid, sizeof(gpu->uuid), text);
        break;
    case BUS_ID:
        pci_address_parse(text, gpu->pci);
        break;
    case MIG_MODE:
        gpu->mig = text_is(text, "Enabled");
        break;
    case POWER:
        take_power(state, text, rank);
        break;
    case INSTANCE_INDEX:
        take_id(state, text, leaf, &state->instance.index);
        break;
    case INSTANCE_GPU:
        take_id(state, text, leaf, &state->instance.gpu_instance);
        break;
    case INSTANCE_COMPUTE:
        take_id(state, text, leaf, &state->instance.compute_instance);
        break;
    case INSTANCE_SMS:
        take_id(state, text, leaf, &state->instance.sms);
        break;
    }
}

/* One that does not tell who it is is none. */
static void end_instance(struct state *state)
{
    const unsigned needed = 1U << INSTANCE_INDEX | 1U << INSTANCE_GPU | 1U << INSTANCE_COMPUTE;

    if ((state->known & needed) == needed) {
        if (state->gpu.n_instances < NVIDIA_SMI_INSTANCES_MAX)
            state->gpu.instances[state->gpu.n_instances++] = state->instance;
        else
            state->log.left_out++;
    }
    state->known = 0;
    state->instance = (struct nvidia_smi_instance){0};
}

static void end_gpu(struct state *state)
{
    if (state->log.n < NVIDIA_SMI_GPUS_MAX)
        state->log.gpus[state->log.n++] = state->gpu;
    else
        state->log.left_out++;
    state->rank = 0;
    state->gpu = (struct nvidia_smi_gpu){0};
}

static void end_element(struct state *state)
{
    struct text text = text_trim((struct text){state->text, min_size(state->text_len, sizeof(state->text))});

    if (strcmp(state->path, "gpu") == 0)
        end_gpu(state);
    if (strcmp(state->path, INSTANCE_PATH) == 0)
        end_instance(state);
    for (size_t i = 0; i < ELEMENTSOF(leaves) && state->text_len < sizeof(state->text); i++)
        if (strcmp(leaves[i].path, state->path) == 0)
            take_leaf(state, leaves[i].leaf, leaves[i].rank, text);
}

/* --- what expat calls --------------------------------------------------------------------------------------------- */

/* The address stands in an attribute of the GPU; some drivers repeat it inside. */
static void take_attributes(struct state *state, const XML_Char **attributes)
{
    for (size_t i = 0; attributes[i]; i += 2)
        if (strcmp(attributes[i], "id") == 0)
            pci_address_parse(text_of(attributes[i + 1]), state->gpu.pci);
}

static void XMLCALL on_start(void *userdata, const XML_Char *name, const XML_Char **attributes)
{
    struct state *state = userdata;
    size_t at = state->path_len[state->depth];

    if (state->error)
        return;
    if (state->depth == DEPTH_MAX) {
        fail(state, E2BIG, "elements are nested too deep");
        return;
    }
    if (state->depth == 0 && strcmp(name, ROOT) != 0) {
        fail(state, EPROTO, "the outermost element is not " ROOT);
        return;
    }
    if (state->depth > 0) {
        int n = snprintf(state->path + at, sizeof(state->path) - at, "%s%s", at ? "/" : "", name);
        at = min_size(at + (size_t)n, sizeof(state->path) - 1);
    }
    state->path_len[++state->depth] = at;
    state->text_len = 0;
    if (strcmp(state->path, "gpu") == 0)
        take_attributes(state, attributes);
}

static void XMLCALL on_end(void *userdata, const XML_Char *name)
{
    struct state *state = userdata;

    if (state->error)
        return;
    end_element(state);
    state->depth--;
    state->path[state->path_len[state->depth]] = '\0';
    state->text_len = 0;
}

static void XMLCALL on_text(void *userdata, const XML_Char *text, int len)
{
    struct state *state = userdata;
    size_t room = sizeof(state->text) - min_size(state->text_len, sizeof(state->text));

    memcpy(state->text + (sizeof(state->text) - room), text, min_size((size_t)len, room));
    state->text_len += (size_t)len;
}

/* nvidia-smi declares none; one that grows when it is used is an attack. */
static void XMLCALL on_entity(void *userdata, const XML_Char *name, int is_parameter, const XML_Char *value, int len,
                              const XML_Char *base, const XML_Char *system_id, const XML_Char *public_id,
                              const XML_Char *notation)
{
    fail(userdata, EPROTO, "it declares an entity, which nvidia-smi never does");
}

static int explain(const struct state *state, struct carnot_err *err)
{
    unsigned long line = XML_GetCurrentLineNumber(state->parser);

    if (state->error)
        return carnot_err_set(err, state->error, "the answer of nvidia-smi is not understood at line %lu: %s", line,
                              state->complaint);
    enum XML_Error code = XML_GetErrorCode(state->parser);
    return carnot_err_set(err, code == XML_ERROR_NO_MEMORY ? ENOMEM : EPROTO,
                          "the answer of nvidia-smi is not understood at line %lu: %s", line, XML_ErrorString(code));
}

int nvidia_smi_xml_parse(struct text xml, struct nvidia_smi_log *ret_log, struct carnot_err *err)
{
    if (xml.n > NVIDIA_SMI_XML_MAX)
        return carnot_err_set(err, E2BIG, "the answer of nvidia-smi is longer than %zu bytes", NVIDIA_SMI_XML_MAX);

    _cleanup_free_ struct state *state = calloc(1, sizeof(*state));
    int r = 0;

    if (state)
        state->parser = XML_ParserCreate(NULL);
    if (!state || !state->parser)
        return carnot_err_set(err, ENOMEM, "out of memory for the answer of nvidia-smi");
    /* External entities, the DTD that the answer names among them, are not read: nobody handles them. */
    XML_SetUserData(state->parser, state);
    XML_SetElementHandler(state->parser, on_start, on_end);
    XML_SetCharacterDataHandler(state->parser, on_text);
    XML_SetEntityDeclHandler(state->parser, on_entity);
    if (XML_Parse(state->parser, xml.p ? xml.p : "", (int)xml.n, XML_TRUE) != XML_STATUS_OK)
        r = explain(state, err);
    else
        *ret_log = state->log;
    XML_ParserFree(state->parser);
    return r;
}
