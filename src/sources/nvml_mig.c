/* SPDX-License-Identifier: Apache-2.0 */
/* See nvml_mig.h. A look is a row of stages; each does one call and says what comes next. */
#include "sources/nvml_mig.h"

#include <errno.h>
#include <string.h>

#include "sources/nvml_results.h"

enum stage { MODE, MAX, PROFILE, HANDLE, UUID, GPU_INSTANCE, COMPUTE_INSTANCE, ATTRIBUTES, DONE, GIVEN_UP };

struct looker {
    const struct nvml_api *api;
    struct nvml_device *gpu;
    struct nvml_mig_look *look;
    const struct nvml_mig *known;
    bool called;
};

static struct nvml_instance *current(const struct looker *l)
{
    return &l->look->found.instances[l->look->index];
}

static int call(struct looker *l, int result)
{
    l->called = true;
    return result;
}

static enum stage look_mode(struct looker *l)
{
    unsigned int now = 0, pending = 0;
    int result;

    if (!l->api->mig_mode || !l->api->mig_handle)
        return DONE;
    result = call(l, l->api->mig_mode(l->gpu, &now, &pending));
    if (result == NVML_NOT_SUPPORTED)
        return DONE;
    if (result != NVML_OK)
        return GIVEN_UP;
    l->look->found.on = now == 1;
    return now == 1 ? MAX : DONE;
}

static enum stage look_max(struct looker *l)
{
    unsigned int max = 0;

    if (l->api->mig_max && call(l, l->api->mig_max(l->gpu, &max)) == NVML_OK)
        l->look->max = (unsigned)min_u64(max, NVML_MIG_MAX);
    else
        l->look->max = NVML_MIG_MAX;
    return PROFILE;
}

static enum stage look_profile(struct looker *l)
{
    static const unsigned int whole[] = {NVML_PROFILE_7_SLICES, NVML_PROFILE_4_SLICES};
    struct nvml_profile profile;

    if (!l->api->profile || l->look->profile == ELEMENTSOF(whole))
        return HANDLE;
    memset(&profile, 0, sizeof(profile));
    if (call(l, l->api->profile(l->gpu, whole[l->look->profile++], &profile)) != NVML_OK)
        return PROFILE;
    l->look->found.sms = profile.sms;
    l->look->found.slices = profile.slices;
    return HANDLE;
}

static enum stage next_index(struct looker *l)
{
    l->look->index++;
    return HANDLE;
}

static enum stage look_handle(struct looker *l)
{
    struct nvml_device *handle = NULL;
    int result;

    if (l->look->index >= l->look->max)
        return DONE;
    result = call(l, l->api->mig_handle(l->gpu, l->look->index, &handle));
    if (result == NVML_NOT_FOUND || result == NVML_INVALID_ARGUMENT)
        return next_index(l);
    if (result != NVML_OK || !handle)
        return GIVEN_UP;
    if (l->known->instances[l->look->index].handle == handle) {
        *current(l) = l->known->instances[l->look->index];
        return ATTRIBUTES;
    }
    *current(l) = (struct nvml_instance){
        .handle = handle, .gpu_instance = NVML_NO_INSTANCE, .compute_instance = NVML_NO_INSTANCE};
    return UUID;
}

static enum stage look_uuid(struct looker *l)
{
    char text[NVML_UUID_MAX] = "";

    _Static_assert(NVML_UUID_MAX <= GPU_UUID_MAX, "it fits");

    if (l->api->uuid && call(l, l->api->uuid(current(l)->handle, text, sizeof(text))) == NVML_OK)
        nvml_copy_text(current(l)->uuid, sizeof(current(l)->uuid), text);
    return GPU_INSTANCE;
}

static enum stage look_gpu_instance(struct looker *l)
{
    unsigned int id;

    if (l->api->gpu_instance && call(l, l->api->gpu_instance(current(l)->handle, &id)) == NVML_OK)
        current(l)->gpu_instance = id;
    return COMPUTE_INSTANCE;
}

static enum stage look_compute_instance(struct looker *l)
{
    unsigned int id;

    if (l->api->compute_instance && call(l, l->api->compute_instance(current(l)->handle, &id)) == NVML_OK)
        current(l)->compute_instance = id;
    return ATTRIBUTES;
}

static enum stage look_attributes(struct looker *l)
{
    struct nvml_attributes attributes;

    memset(&attributes, 0, sizeof(attributes));
    if (l->api->attributes && call(l, l->api->attributes(current(l)->handle, &attributes)) == NVML_OK) {
        current(l)->sms = attributes.sms;
        current(l)->slices = attributes.compute_slices;
    }
    return next_index(l);
}

int nvml_mig_look(const struct nvml_api *api, struct nvml_device *gpu, struct nvml_mig_look *look,
                  struct nvml_mig *known)
{
    static enum stage (*const stages[])(struct looker *) = {
        [MODE] = look_mode,
        [MAX] = look_max,
        [PROFILE] = look_profile,
        [HANDLE] = look_handle,
        [UUID] = look_uuid,
        [GPU_INSTANCE] = look_gpu_instance,
        [COMPUTE_INSTANCE] = look_compute_instance,
        [ATTRIBUTES] = look_attributes,
    };
    struct looker looker = {.api = api, .gpu = gpu, .look = look, .known = known};

    while (!looker.called && look->stage < DONE)
        look->stage = stages[look->stage](&looker);
    if (look->stage < DONE)
        return 0;
    int r = look->stage == DONE ? 1 : -EAGAIN;
    if (r > 0)
        *known = look->found;
    *look = (struct nvml_mig_look){0};
    return r;
}
